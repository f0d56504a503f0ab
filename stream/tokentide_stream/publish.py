"""From a partition's changes to columns of the rollup topic. Pure."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

from tokentide_schemas.cubes import Cube
from tokentide_schemas.dimensions import DERIVED
from tokentide_schemas.rollups import partials_schema


def partials(
    cube: Cube, rows: pl.DataFrame, *, epoch: str, partition: int, version: int, emitted_at_ms: int
) -> pa.Table:
    """Partial sums with where they come from, in the cube's `partials_schema`."""
    n = len(rows)
    label = pa.dictionary(pa.int32(), pa.utf8())
    arrays = [pa.array(rows["window_start_s"].to_numpy()).cast(pa.timestamp("s")).cast(pa.timestamp("s", "UTC"))]
    for name in cube.dimensions:
        if name in DERIVED:
            arrays.append(pa.array(rows[name].to_numpy()))
            continue
        arrays.append(rows[name].to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.utf8()).dictionary_encode())
    zeros = pa.array(np.zeros(n, np.int32))
    arrays.append(pa.DictionaryArray.from_arrays(zeros, pa.array([epoch])))
    arrays.append(pa.array(np.full(n, partition, np.uint16)))
    arrays.append(pa.array(rows["segment"].to_numpy().astype(np.uint32)))
    arrays.append(pa.array(np.full(n, version, np.uint64)))
    arrays += [pa.array(rows[name].to_numpy()) for name in cube.measures]
    arrays.append(pa.array(np.full(n, emitted_at_ms, np.int64)).cast(pa.timestamp("ms", "UTC")))
    schema = partials_schema(cube)
    cast = [a.cast(label) if pa.types.is_dictionary(f.type) else a for a, f in zip(arrays, schema, strict=True)]
    return pa.Table.from_arrays(cast, schema=schema)
