"""Brings the catalogue into the store: all of it or nothing, and again only when it changed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.catalogue_tables import (
    CATALOGUE_TABLES,
    COUNTRIES_DICTIONARY,
    MODELS_DICTIONARY,
    stored_in,
)
from tokentide_schemas.countries import load_continents
from tokentide_sinks.store import Store

KEPT_LOADS: Final = 2
"""The present load and the one before it, which a query that has just begun may still read."""

_ARROW: Final[dict[str, pa.DataType]] = {
    "String": pa.utf8(),
    "Bool": pa.bool_(),
    "Float64": pa.float64(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Date": pa.date32(),
    "DateTime64(3, 'UTC')": pa.timestamp("ms", "UTC"),
    "Array(String)": pa.list_(pa.utf8()),
}
_LOAD_COLUMNS: Final = {
    "load": "UInt64",
    "catalogue_version": "String",
    "loaded_at": "DateTime64(3, 'UTC')",
    "models": "UInt32",
    "aliases": "UInt32",
    "prices": "UInt32",
    "paths": "Array(String)",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The catalogue that is in the store. `is_new`: this call brought it there."""

    load: int
    version: str
    models: int
    prices: int
    is_new: bool


def load_into_store(store: Store, catalogue: Catalogue, paths: Sequence[Path], now_ms: int) -> Loaded:
    """Make `catalogue` the one that the store's views and dictionaries show. Does nothing when it already is.

    Readers see the one before until all rows are written. Raises StoreError; what a failure leaves behind is not
    visible and goes with the next load.
    """
    rows = _rows(catalogue)
    current = store.rows("SELECT load, catalogue_version FROM catalogue_loads ORDER BY load DESC LIMIT 1")
    models, prices = len(catalogue.models), len(rows["catalogue_prices"])
    if current and current[0][1] == catalogue.version:
        reload_dictionaries(store)
        return Loaded(int(current[0][0]), catalogue.version, models, prices, False)
    load = max(now_ms, int(current[0][0]) + 1 if current else 0)
    for view, entries in rows.items():
        store.insert(stored_in(view), _table(CATALOGUE_TABLES[view][0], entries, load))
    row = {
        "catalogue_version": catalogue.version,
        "loaded_at": now_ms,
        "models": models,
        "aliases": len(rows["catalogue_aliases"]),
        "prices": prices,
        "paths": [str(path) for path in paths],
    }
    store.insert("catalogue_loads", _table(_LOAD_COLUMNS, [row], load))
    reload_dictionaries(store)
    _drop_old(store, load)
    return Loaded(load, catalogue.version, models, prices, True)


def reload_dictionaries(store: Store) -> None:
    """Let the dictionaries of this server take up the present tables at once."""
    for name in (MODELS_DICTIONARY, COUNTRIES_DICTIONARY):
        store.command(f"SYSTEM RELOAD DICTIONARY {name}")


def learn_names(store: Store, catalogue: Catalogue) -> dict[str, str]:
    """Add spellings that only the catalogue's rules resolve (dates, routes, `:free`) from what is in the traffic.

    The dictionary knows names, not rules. Returns the new names with their models. Raises StoreError.
    """
    known = "SELECT alias FROM catalogue_aliases"
    seen = store.rows(
        f"SELECT DISTINCT lower(toString(model)) AS name FROM rollup_model_1d_partials WHERE name NOT IN ({known})"
    )
    found = {str(name): catalogue.resolve(str(name)) for (name,) in seen}
    learnt = {name: model for name, model in sorted(found.items()) if model in catalogue.models}
    current = store.rows("SELECT load, catalogue_version FROM catalogue_loads ORDER BY load DESC LIMIT 1")
    if not learnt or not current or current[0][1] != catalogue.version:
        return {}
    rows = [{"alias": name, "model": model, "catalogue_version": catalogue.version} for name, model in learnt.items()]
    columns = CATALOGUE_TABLES["catalogue_aliases"][0]
    store.insert(stored_in("catalogue_aliases"), _table(columns, rows, int(current[0][0])))
    store.command(f"SYSTEM RELOAD DICTIONARY {MODELS_DICTIONARY}")
    return learnt


def _rows(catalogue: Catalogue) -> dict[str, list[dict[str, Any]]]:
    countries = [
        {"country": country, "continent": continent, "catalogue_version": catalogue.version}
        for country, continent in sorted(load_continents().items())
    ]
    return {
        "catalogue_models": catalogue.model_rows(),
        "catalogue_aliases": catalogue.alias_rows(),
        "catalogue_prices": catalogue.price_rows(),
        "catalogue_countries": countries,
    }


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], load: int) -> pa.Table:
    arrays: dict[str, pa.Array] = {"load": pa.array([load] * len(rows), pa.uint64())}
    for name, kind in columns.items():
        if name == "load":
            continue
        wrapped = re.fullmatch(r"(?:LowCardinality|Nullable)\((.*)\)", kind)
        arrays[name] = pa.array([row[name] for row in rows], _ARROW[wrapped[1] if wrapped else kind])
    return pa.table(arrays)


def _drop_old(store: Store, newest: int) -> None:
    kept = store.rows(f"SELECT load FROM catalogue_loads ORDER BY load DESC LIMIT {KEPT_LOADS}")
    oldest = min((int(load) for (load,) in kept), default=newest)
    for view in CATALOGUE_TABLES:
        for (load,) in store.rows(f"SELECT DISTINCT load FROM {stored_in(view)} WHERE load < {oldest}"):
            store.command(f"ALTER TABLE {stored_in(view)} DROP PARTITION {int(load)}")
