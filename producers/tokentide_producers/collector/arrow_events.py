"""An Arrow IPC stream as events for the intake: bounded and validated by the schema's own reader. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tokentide_producers.collector.problems import ProblemError
from tokentide_schemas.arrow_stream import known_columns, plain_rows, read_stream
from tokentide_schemas.event import CONTENT_FIELDS
from tokentide_schemas.rejections import EnvelopeError, Reason


def rows_of(body: bytes, max_events: int) -> tuple[Iterator[dict[str, Any]], int]:
    """The stream's rows as plain values, and how many content fields were dropped with their columns.

    Raises ProblemError: 413 for too many rows, 400 for what is no stream, 422 for columns that no event has.
    """
    try:
        table = read_stream(body, max_events).table
        content = [name for name in table.column_names if name.lower() in CONTENT_FIELDS]
        if len(content) == table.num_columns:
            raise EnvelopeError(Reason.MISSING_FIELD, "it has no column of a usage event")
        known = known_columns(table.drop_columns(content) if content else table, newer=False)
        return plain_rows(known), len(content) * table.num_rows
    except EnvelopeError as error:
        reason = error.rejection.reason
        status = {Reason.TOO_LARGE: 413, Reason.INVALID_ARROW: 400, Reason.EMPTY: 400}.get(reason, 422)
        raise ProblemError(
            status, "Unusable Arrow stream", error.rejection.detail, extra={"reason": reason.value}
        ) from None
