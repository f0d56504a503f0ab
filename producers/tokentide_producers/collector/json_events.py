"""Bodies of JSON and of NDJSON as parsed values, with the place of each. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from tokentide_producers.collector.problems import ProblemError
from tokentide_schemas.rejections import Reason

MAX_DEPTH: Final = 200
"""The parser refuses deeper nesting by itself."""

MAX_VALUES: Final = 5_000_000
"""Of one body: 100,000 complete events. Bounds what two bytes each (`[],[],...`) become in memory."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """Stands in a list of events for one that cannot be read. field: '' for the whole event."""

    reason: Reason
    field: str
    hint: str


def parsed(body: bytes) -> Any:
    """The one JSON value of a body. Raises ProblemError 400."""
    if not body.strip():
        raise ProblemError(400, "Empty body", "send one JSON object, a list of them, or NDJSON")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise ProblemError(
            413, "Body too large", f"over {MAX_VALUES} values in one body: send fewer events in one request"
        )
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="keys")
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "Not JSON", f"{_short(error)}; nothing of this request was stored") from None


def lines(body: bytes) -> Iterator[Any]:
    """The value of each line that is not blank; a BadEvent (as a value) for a line that is not JSON."""
    for line in body.split(b"\n"):
        if not line.strip():
            continue
        try:
            yield from_json(line, allow_inf_nan=False, cache_strings="keys")
        except (ValueError, RecursionError) as error:
            yield BadEvent(Reason.INVALID_JSON, "", f"{_short(error)} of this line")


def _short(error: Exception) -> str:
    """The parser's words: kind of the fault, line and column, never a part of the text."""
    return str(error)[:160]
