"""Why an event or an envelope is refused, and how that is said without repeating any of the sender's text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from tokentide_schemas.columns import TextEnum
from tokentide_schemas.event import CONTENT_FIELDS, SCHEMA_VERSION, UsageEvent


class Reason(TextEnum):
    """Why an event or a whole envelope was not accepted. Every rejection has one; each is a label in metrics."""

    EMPTY = "empty"
    INVALID_HEADER = "invalid_header"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNSUPPORTED_SCHEMA = "unsupported_schema"
    TOO_LARGE = "too_large"
    COUNT_MISMATCH = "count_mismatch"
    INVALID_ARROW = "invalid_arrow"
    INVALID_JSON = "invalid_json"
    CONTENT_FIELD = "content_field"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    INVALID_VALUE = "invalid_value"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    STORE_REJECTED = "store_rejected"
    EXPIRED = "expired"


REASON_MEANINGS: Final[dict[Reason, str]] = {
    Reason.EMPTY: "The record has no value, or carries no events.",
    Reason.INVALID_HEADER: "A `tokentide-*` header is malformed, or producer and sequence do not come together.",
    Reason.UNSUPPORTED_CONTENT_TYPE: "The `content-type` header names none of the three formats.",
    Reason.UNSUPPORTED_SCHEMA: "The `tokentide-schema` header has another major version.",
    Reason.TOO_LARGE: "The record, its number of events, or one event is over a limit.",
    Reason.COUNT_MISMATCH: "`tokentide-count` is not the number of events in the record.",
    Reason.INVALID_ARROW: "The Arrow stream is cut off, damaged, or uses what an envelope does not allow.",
    Reason.INVALID_JSON: "The line or the record is not JSON.",
    Reason.CONTENT_FIELD: "A field that carries prompt or completion text: refused by its name, unread.",
    Reason.UNKNOWN_FIELD: "A field that this schema version does not have.",
    Reason.MISSING_FIELD: "A required field is absent.",
    Reason.INVALID_VALUE: "A value has the wrong type or is out of its range.",
    Reason.TIMESTAMP_IN_FUTURE: "`occurred_at` is later than the broker's append time allows.",
    Reason.TIMESTAMP_TOO_OLD: "`occurred_at` is before 2015: usually a mistaken unit.",
    Reason.STORE_REJECTED: "The store refused the row although it passed every check before.",
    Reason.EXPIRED: "The topic deleted the records before they were stored; `events` counts records.",
}
"""One sentence for each reason, for people; docs/events.md prints them."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why something was refused: `row` counts from 0 in the envelope, None for the whole envelope. No input values.

    occurred_at_ms: only for a row that passed every check and was refused by the store: it is in the rollups, so its
    window has to be known.
    """

    reason: Reason
    detail: str
    row: int | None = None
    occurred_at_ms: int | None = None


class EnvelopeError(Exception):
    """The whole envelope is refused. `events`: how many it carries, when that is known by now."""

    def __init__(self, reason: Reason, detail: str, events: int | None = None) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, detail)
        self.events = events


_FAMILIAR: Final[dict[str, str]] = {
    "id": "event_id or request_id",
    "timestamp": "occurred_at",
    "time": "occurred_at",
    "created_at": "occurred_at",
    "prompt_tokens": "input_uncached_tokens",
    "input_tokens": "input_uncached_tokens",
    "cached_tokens": "input_cache_read_tokens",
    "completion_tokens": "output_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "total_tokens": "the disjoint token buckets",
    "cost": "cost_nanousd",
    "cost_usd": "cost_nanousd",
    "user": "user_hash",
    "user_id": "user_hash",
    "status": "outcome",
    "status_code": "http_status",
    "latency": "latency_ms",
    "duration_ms": "latency_ms",
    "ttft_ms": "time_to_first_token_ms",
    "model_name": "request_model",
}
"""Names that gateways use for what the schema calls otherwise: harmless to repeat, and answered with the right one."""


def shown(name: str) -> str:
    """A field's name fit for a message. Names are the sender's text as well, so only known ones are repeated."""
    lowered = name.lower()
    if name in UsageEvent.model_fields:
        return name
    return lowered if lowered in CONTENT_FIELDS or lowered in _FAMILIAR else "(name not shown)"


def unknown_field(name: str) -> str:
    """The message for a field that the schema does not have."""
    instead = _FAMILIAR.get(name.lower(), "")
    advice = f": give {instead}" if instead else "; docs/events.md lists the fields"
    return f"field {shown(name)} is not in schema {SCHEMA_VERSION}{advice}"


def content_field(name: str) -> str:
    """The message for a field that carries text of a prompt or a completion."""
    return f"field {shown(name)} carries content and is never accepted: leave it out"


def explain(error: ValidationError) -> tuple[Reason, str]:
    """Reason and message of a model's refusal, most serious first, without any input value."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    extras = [str(item["loc"][-1]) for item in problems if item["type"] == "extra_forbidden"]
    for name in extras:
        if name.lower() in CONTENT_FIELDS:
            return Reason.CONTENT_FIELD, content_field(name)
    first = problems[0]
    if first["type"] == "json_invalid":
        return Reason.INVALID_JSON, first["msg"]
    if extras:
        return Reason.UNKNOWN_FIELD, unknown_field(extras[0])
    if first["type"] == "missing":
        missing = ", ".join(shown(str(item["loc"][-1])) for item in problems if item["type"] == "missing")
        return Reason.MISSING_FIELD, f"required and absent: {missing}"
    where = shown(str(first["loc"][0])) if first["loc"] else "the event"
    # The parser's own words about a UUID quote a character of it.
    message = "Input should be a valid UUID" if first["type"] == "uuid_parsing" else first["msg"]
    return Reason.INVALID_VALUE, f"{where}: {message}"
