"""How a LiteLLM call ended: exception class and status, never a message. Pure."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from tokentide_producers.litellm.reading import items, part
from tokentide_producers.otlp.endings import OTHER_ERROR, plain_finish_reason
from tokentide_schemas.event import MAX_COUNT16, Outcome

_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
CLIENT_CLOSED: Final = 499
"""nginx's status for a client that went away before the answer; LiteLLM's as well."""


def ending_of_error(error: Any) -> dict[str, Any]:
    """outcome, error_type and http_status of a failed attempt. http_status is LiteLLM's: 408 for its own time-out."""
    status = _status(error)
    if isinstance(error, asyncio.CancelledError | GeneratorExit) or status == CLIENT_CLOSED:
        return {"outcome": Outcome.CANCELLED.value, "http_status": status}
    name = type(error).__name__ if isinstance(error, BaseException) else ""
    return {
        "outcome": Outcome.ERROR.value,
        "error_type": name if _CLASS.fullmatch(name) else OTHER_ERROR,
        "http_status": status,
    }


def _status(error: Any) -> int:
    for name in ("status_code", "code"):
        value = str(part(error, name))
        if _STATUS.fullmatch(value):
            return int(value)
    return 0


def finish_reason_of(response: Any) -> str:
    """The first choice's finish reason in plain words, or a Responses object's status; '' when there is none."""
    choices = items(response, "choices")
    reason = part(choices[0], "finish_reason") if choices else part(response, "stop_reason") or part(response, "status")
    return plain_finish_reason(reason)


def tool_calls_in(response: Any) -> int:
    """How many tools the answer calls; the calls are counted and not read."""
    calls = 0
    for choice in items(response, "choices"):
        message = part(choice, "message")
        found = len(items(message, "tool_calls"))
        calls += found or (1 if part(message, "function_call") is not None else 0)
    calls += sum(1 for item in items(response, "output") if part(item, "type") == "function_call")
    calls += sum(1 for item in items(response, "content") if part(item, "type") == "tool_use")
    return min(calls, MAX_COUNT16)
