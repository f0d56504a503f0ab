"""Rows of any table, by a mapping file. Pure."""

from __future__ import annotations

import json
from typing import Any, Final

from tokentide_producers.importing import cells
from tokentide_producers.importing.cells import Row
from tokentide_producers.importing.events import MAPPED_PREFIX, Context, Request
from tokentide_producers.importing.mapping_file import (
    COUNT_FIELDS,
    DURATION_FIELDS,
    FLAG_FIELDS,
    TEXT_FIELDS,
    Mapping,
)
from tokentide_producers.importing.problems import RowError
from tokentide_producers.token_usage import without_parts
from tokentide_schemas.event import CategorySource, CostSource, Outcome

_TOTALS: Final = ("input_total_tokens", "output_total_tokens", "total_tokens")
_OUTCOMES: Final = frozenset(Outcome)


class Mapped:
    """The format of one mapping file."""

    name = "mapped"

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._zone = mapping.zone
        self.columns = tuple(dict.fromkeys((*mapping.id, *mapping.columns.values())))
        # A mapping that names a column needs it: a name that is not in the file is a mistake in the mapping.
        self.required = tuple((column,) for column in self.columns)

    def request(self, row: Row, context: Context) -> Request:
        """The row's request; without id columns it is identified by the mapped cells."""
        mapping = self._mapping
        ids = [cells.required_text(row, column) for column in mapping.id]
        given = self._values(row)
        zone = context.zone if context.zone is not None else self._zone
        times = {
            name: cells.instant_ms(row, mapping.columns[name], zone, mapping.units.get(name, "iso"))
            for name in ("occurred_at", "started_at")
            if name in mapping.columns
        }
        occurred_ms, started_ms = times.get("occurred_at"), times.get("started_at")
        if occurred_ms is None:
            raise RowError(mapping.columns["occurred_at"], "is empty; a time is needed")
        fields: dict[str, Any] = {name: given[name] for name in TEXT_FIELDS if given.get(name)}
        for name in ("request_model", "provider"):
            if name not in fields:
                raise RowError(mapping.columns.get(name, name), "is empty; a value is needed")
        fields["model"] = context.naming.model(fields["request_model"], fields.get("model", "")) or fields.get(
            "model", ""
        )
        fields["provider"] = context.naming.provider(fields["provider"])
        if ids and "request_id" not in fields:
            fields["request_id"] = " ".join(ids)[:256]
        for name in ("user", "session", "api_key"):
            fields[f"{name}_hash"] = context.naming.hashed(given.get(name) or "")
        fields |= {name: given[name] for name in FLAG_FIELDS if given.get(name) is not None}
        fields |= {name: given[name] for name in DURATION_FIELDS if given.get(name) is not None}
        if "latency_ms" not in fields and started_ms is not None and started_ms <= occurred_ms:
            fields["latency_ms"] = occurred_ms - started_ms
        fields |= {name: given[name] for name in COUNT_FIELDS if name not in _TOTALS and given.get(name) is not None}
        fields |= _tokens(given)
        fields["outcome"] = self._outcome(fields)
        if fields.get("category"):
            fields["category_source"] = CategorySource.GATEWAY.value
        if given.get("cost_usd") is not None:
            fields |= {"cost_nanousd": given["cost_usd"], "cost_source": CostSource.REPORTED.value}
        source_id = json.dumps(ids) if ids else None
        return Request(MAPPED_PREFIX + mapping.namespace, source_id, occurred_ms, fields)

    def content_of(self, row: Row) -> str:
        """What identifies a row without an id: all its mapped cells."""
        return json.dumps([str(row.get(column)) for column in self.columns])

    def _values(self, row: Row) -> dict[str, Any]:
        mapping = self._mapping
        found: dict[str, Any] = {}
        for name, column in mapping.columns.items():
            if name in ("occurred_at", "started_at"):
                continue
            found[name] = _read(name, self._replaced(name, column, row), column)
        for name, value in mapping.constants.items():
            found[name] = _read(name, {name: value}, name)
        return found

    def _replaced(self, name: str, column: str, row: Row) -> Row:
        replacements = self._mapping.values.get(name)
        if not replacements:
            return row
        value = row.get(column)
        known = replacements.get(str(value) if value is not None else "")
        return row if known is None else {column: known}

    def _outcome(self, fields: dict[str, Any]) -> str:
        given = fields.get("outcome")
        if given is None:
            return Outcome.ERROR.value if fields.get("error_type") else Outcome.OK.value
        if given not in _OUTCOMES:
            column = self._mapping.columns.get("outcome", "outcome")
            raise RowError(column, "is none of ok, error, cancelled; translate its values under [values.outcome]")
        return str(given)


def _read(name: str, row: Row, column: str) -> Any:
    if name in COUNT_FIELDS:
        return cells.count(row, column)
    if name in DURATION_FIELDS:
        return cells.milliseconds(row, column)
    if name in FLAG_FIELDS:
        return cells.flag(row, column)
    if name == "cost_usd":
        return cells.nanousd(row, column)
    return cells.text(row, column)


def _tokens(given: dict[str, Any]) -> dict[str, Any]:
    """Disjoint buckets: totals include what caches served or stored, and reasoning."""
    caches = sum(given.get(name) or 0 for name in ("input_cache_read_tokens", "input_cache_write_tokens"))
    whole_in, whole_out = given.get("input_total_tokens"), given.get("output_total_tokens")
    uncached, visible = given.get("input_uncached_tokens"), given.get("output_tokens")
    if uncached is None and whole_in is not None:
        uncached = without_parts(whole_in, caches)
    if visible is None and whole_out is not None:
        visible = without_parts(whole_out, given.get("output_reasoning_tokens") or 0)
    is_reported = uncached is not None and visible is not None
    if not is_reported:
        return {**dict.fromkeys(_BUCKETS, 0), "usage_reported": False}
    return {"input_uncached_tokens": uncached, "output_tokens": visible, "usage_reported": True}


_BUCKETS: Final = (
    *("input_uncached_tokens", "input_cache_read_tokens", "input_cache_write_tokens"),
    *("output_tokens", "output_reasoning_tokens", "audio_tokens", "image_tokens"),
)
