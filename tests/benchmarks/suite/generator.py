"""The simulator with a chosen number of models: `python -m tests.benchmarks.suite.generator --models 1000 --rate ...`.

Everything else is `tokentide_producers.simulator`, whose options follow. Models are renamed `bench/model-0000` and so
on: fewer than the catalogue has share a name, and for more of them the traffic of each is spread over several names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tokentide_producers import simulator
from tokentide_producers.event_columns import with_used_values
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas.arrow import EVENT_SCHEMA

_MODEL, _REQUESTED = (EVENT_SCHEMA.get_field_index(name) for name in ("model", "request_model"))


class CountedModels(TrafficModel):
    """Traffic over exactly `count` model names."""

    count = 30

    def generate(self, n: int, rng: np.random.Generator, *arguments: Any) -> pa.RecordBatch:
        """As TrafficModel, with other names."""
        block = super().generate(n, rng, *arguments)
        column = block.column(_MODEL)
        code = np.array([self._numbers[name] for name in column.dictionary.to_pylist()])[column.indices.to_numpy()]
        spread = -(-self.count // len(self._numbers))
        code = (code * spread + rng.integers(0, spread, n)) % self.count
        renamed = with_used_values(code.astype(np.int16), self._names, np.int16)
        columns = block.columns
        columns[_MODEL] = columns[_REQUESTED] = renamed
        return pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._numbers = {name: i for i, name in enumerate(sorted({cell.model.id for cell in self.cells}))}
        self._names = pa.array([f"bench/model-{number:04d}" for number in range(self.count)])


def main(arguments: Sequence[str]) -> int:
    """Run; gives the simulator's exit status."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--models", type=int, default=None)
    given, rest = parser.parse_known_args(arguments)
    if given.models is not None:
        CountedModels.count = given.models
        simulator.TrafficModel = CountedModels  # type: ignore[misc]
    return simulator.main(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
