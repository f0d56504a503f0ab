"""ClickHouse tables, views and dictionaries of the catalogue. Pure text; sinks/ runs it as migrations and loads it.

A load writes all its rows under a number of its own and becomes what readers see when its row in `catalogue_loads` is
written, so they see the old catalogue or the new one, never a mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tokentide_schemas.catalogue import ALIAS_COLUMNS, MODEL_COLUMNS, PRICE_COLUMNS

DICTIONARY_ACCOUNT: Final = "/* account */"
"""Replaced by USER and PASSWORD where a server's own reads of its tables need them; a comment everywhere else."""

MODELS_DICTIONARY: Final = "models"
COUNTRIES_DICTIONARY: Final = "countries"
UNKNOWN: Final = "unknown"

CATALOGUE_TABLES: Final[Mapping[str, tuple[Mapping[str, str], str]]] = {
    "catalogue_models": (MODEL_COLUMNS, "id"),
    "catalogue_aliases": (ALIAS_COLUMNS, "alias"),
    "catalogue_prices": (PRICE_COLUMNS, "provider, model, variant, valid_from, min_input_tokens"),
    "catalogue_countries": (
        {"country": "String", "continent": "LowCardinality(String)", "catalogue_version": "LowCardinality(String)"},
        "country",
    ),
}
"""View name -> its columns and the order of its rows. The rows are in the table named `stored_in`."""

LOADS: Final = """CREATE TABLE IF NOT EXISTS catalogue_loads
(
    load UInt64,
    catalogue_version String,
    loaded_at DateTime64(3, 'UTC'),
    models UInt32,
    aliases UInt32,
    prices UInt32,
    paths Array(String)
)
ENGINE = ReplacingMergeTree
ORDER BY load"""
"""Catalogues that are completely in the store. The one with the highest `load` is valid."""

_CURRENT: Final = "(SELECT max(load) FROM catalogue_loads)"

ATTRIBUTES: Final[Mapping[str, str]] = {
    "canonical_model": "",
    "author": UNKNOWN,
    "open_weights": UNKNOWN,
    "origin": UNKNOWN,
    "origin_group": UNKNOWN,
    "size_class": UNKNOWN,
    "reasoning_model": UNKNOWN,
}
"""Text attributes of the dictionary `models` with their value for a model that the catalogue does not know."""

_MODEL_NAMES: Final = f"""CREATE OR REPLACE VIEW catalogue_names AS
SELECT
    a.alias AS name,
    m.id AS canonical_model,
    toString(m.author) AS author,
    if(m.open_weights, 'yes', 'no') AS open_weights,
    toString(m.origin) AS origin,
    toString(m.origin_group) AS origin_group,
    toString(m.size_class) AS size_class,
    if(m.reasoning, 'yes', 'no') AS reasoning_model,
    m.release_date AS release_date,
    m.context_length_tokens AS context_length_tokens
FROM catalogue_aliases_loads AS a
INNER JOIN catalogue_models_loads AS m ON m.load = a.load AND m.id = a.model
WHERE a.load = {_CURRENT}"""


def stored_in(view: str) -> str:
    """The table that holds the rows of a catalogue view, old loads included."""
    return f"{view}_loads"


def _table(view: str) -> str:
    columns, order = CATALOGUE_TABLES[view]
    lines = ",\n".join(f"    {name} {kind}" for name, kind in {"load": "UInt64", **columns}.items())
    # A partition a load: an old one goes in one step.
    return f"""CREATE TABLE IF NOT EXISTS {stored_in(view)}
(
{lines}
)
ENGINE = MergeTree
PARTITION BY load
ORDER BY ({order})"""


def _view(view: str) -> str:
    columns = ", ".join(CATALOGUE_TABLES[view][0])
    return f"""CREATE OR REPLACE VIEW {view} AS
SELECT {columns}
FROM {stored_in(view)}
WHERE load = {_CURRENT}"""


def _dictionaries() -> list[str]:
    attributes = "\n".join(f"    {name} String DEFAULT '{default}'," for name, default in ATTRIBUTES.items())
    # A server's replicas renew it by themselves; the embedded store is told to by the loader.
    tail = "LAYOUT(COMPLEX_KEY_HASHED())\nLIFETIME(MIN 30 MAX 60)"
    return [
        f"""CREATE DICTIONARY IF NOT EXISTS {MODELS_DICTIONARY}
(
    name String,
{attributes}
    release_date Date DEFAULT '1970-01-01',
    context_length_tokens UInt32 DEFAULT 0
)
PRIMARY KEY name
SOURCE(CLICKHOUSE(TABLE 'catalogue_names' {DICTIONARY_ACCOUNT}))
{tail}""",
        f"""CREATE DICTIONARY IF NOT EXISTS {COUNTRIES_DICTIONARY}
(
    country String,
    continent String DEFAULT '{UNKNOWN}'
)
PRIMARY KEY country
SOURCE(CLICKHOUSE(TABLE 'catalogue_countries' {DICTIONARY_ACCOUNT}))
{tail}""",
    ]


def catalogue_statements() -> list[str]:
    """Everything of the catalogue that an empty database needs, in order, each safe to run again."""
    return [
        LOADS,
        *map(_table, CATALOGUE_TABLES),
        *map(_view, CATALOGUE_TABLES),
        _MODEL_NAMES,
        *_dictionaries(),
    ]


def model_columns(model: str) -> str:
    """Select list of a model's attributes; `model` is the SQL of its name. An unknown model keeps its own name."""
    key = f"tuple(lower({model}))"
    canonical = f"dictGetOrDefault('{MODELS_DICTIONARY}', 'canonical_model', {key}, toString({model}))"
    others = [f"dictGet('{MODELS_DICTIONARY}', '{name}', {key}) AS {name}" for name in list(ATTRIBUTES)[1:]]
    return ",\n    ".join([f"{canonical} AS canonical_model", *others])


def continent_column(country: str) -> str:
    """Select list entry of a country's continent; `country` is the SQL of its ISO 3166-1 code."""
    return f"dictGet('{COUNTRIES_DICTIONARY}', 'continent', tuple(toString({country}))) AS continent"


ROLLUP_MODELS_VIEWS: Final[Mapping[str, str]] = {f"rollup_models_{w}": f"rollup_{w}" for w in ("1m", "1h", "1d")}
"""View with the model's attributes -> the view of the model cube that it extends."""


def rollup_models_view(name: str, rollup: str) -> str:
    """A view of the model cube with each model's attributes, joined when it is read."""
    return f"""CREATE OR REPLACE VIEW {name} AS
SELECT
    *,
    {model_columns("model")}
FROM {rollup}"""
