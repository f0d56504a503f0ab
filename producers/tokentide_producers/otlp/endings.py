"""How a model call ended, from a span's attributes: finish reason, outcome, error type. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from tokentide_producers.otlp import names
from tokentide_producers.otlp.numbers import as_count, first, first_text
from tokentide_producers.otlp.spans import ERROR_STATUS, Span
from tokentide_schemas.event import Outcome

OTHER_ERROR: Final = "_OTHER"
"""OpenTelemetry's error.type for an error that has no better name."""

_FINISH: Final = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "complete", "completed", "finished"), "stop"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call", "tool-calls"), "tool_calls"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "incomplete"), "length"),
    **dict.fromkeys(
        ("content_filter", "content-filter", "safety", "refusal", "recitation", "prohibited_content", "blocklist"),
        "content_filter",
    ),
    **dict.fromkeys(("error", "failed"), "error"),
    **dict.fromkeys(("cancelled", "canceled", "abort", "aborted"), "cancelled"),
}
_PLAIN: Final = re.compile(r"[a-z][a-z_]{0,31}")
_IN_LIST: Final = re.compile(r'\[\s*"([A-Za-z_-]{1,32})"')
_ERROR_NAME: Final = re.compile(r"[A-Za-z0-9_.:$/-]{1,128}")
_CANCELLED: Final = re.compile(r"cancel|generatorexit|clientdisconnect|client_disconnect|(^|\.)aborterror$|^499$", re.I)


def finish_reason_of(attributes: dict[str, Any]) -> str:
    """`stop`, `tool_calls`, `length`, `content_filter`, `error`, `cancelled`, another plain word, or ''."""
    value = first(attributes, names.FINISH_REASON)
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, str) and (found := _IN_LIST.match(value)):
        value = found[1]
    return plain_finish_reason(value)


def plain_finish_reason(value: Any) -> str:
    """One provider's word for the ending in the words above; '' for what is no word."""
    if not isinstance(value, str):
        return ""
    word = value.rpartition(".")[2].lower()
    # Other words pass only when they are words: the attribute is free text.
    return _FINISH.get(word) or (word if _PLAIN.fullmatch(word) else "")


def ending_of(span: Span, finish_reason: str) -> tuple[Outcome, str, int]:
    """Outcome, error type ('' when there was none) and HTTP status (0 when unknown)."""
    error = first_text(span.attributes, names.ERROR_TYPE) or span.exception_type
    if error and not _ERROR_NAME.fullmatch(error):
        error = OTHER_ERROR
    status = as_count(first(span.attributes, names.HTTP_STATUS)) or 0
    if not status and len(error) == 3:
        status = as_count(error) or 0
    if finish_reason == "cancelled" or _CANCELLED.search(error):
        return Outcome.CANCELLED, "", status
    if span.status == ERROR_STATUS or error or finish_reason == "error":
        return Outcome.ERROR, error or OTHER_ERROR, status
    return Outcome.OK, "", status
