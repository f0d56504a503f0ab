"""What an answer says of itself, whole or piece by piece: never its text. Pure.

An answer is read from the client library's models, or from JSON where the caller takes the body as it is.
"""

from __future__ import annotations

import re
from typing import Any, Final, Protocol

from tokentide_producers.clients.reading import get, items, word
from tokentide_producers.clients.usage import Cost, anthropic_usage, cost_of, openai_usage
from tokentide_producers.otlp.endings import OTHER_ERROR, plain_finish_reason
from tokentide_producers.otlp.numbers import as_count
from tokentide_producers.token_usage import Usage

_ERROR_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TEXT: Final = ("content", "reasoning", "reasoning_content", "reasoning_details", "refusal", "audio", "text")
_HTTP_STATUSES: Final = range(100, 600)


class Answer(Protocol):
    """What is known so far. is_complete: the provider has said that it is at its end."""

    model: str
    response_id: str
    provider: str
    finish_reason: str
    error_type: str
    error_status: int
    is_complete: bool

    def whole(self, answer: Any) -> None:
        """Read an answer that came in one piece."""

    def piece(self, piece: Any) -> bool:
        """Read one piece of a stream; True when it carries something of the answer: the first such is the first
        token."""

    def usage(self) -> Usage:
        """The tokens."""

    def cost(self) -> Cost:
        """The cost."""

    def tool_calls(self) -> int:
        """How many calls of tools the model asked for, or made itself."""


class _Known:
    def __init__(self) -> None:
        self.model = self.response_id = self.provider = self.finish_reason = self.error_type = ""
        self.error_status = 0
        self.is_complete = False
        self._usage: Any = None

    def _identity(self, answer: Any) -> None:
        self.model = word(get(answer, "model")) or self.model
        self.response_id = word(get(answer, "id")) or self.response_id
        self.provider = word(get(answer, "provider")) or self.provider

    def _failed(self, error: Any) -> None:
        """An error that came in the body of an answer with status 200: its code or type, never its message."""
        if error is None:
            return
        code = get(error, "code")
        status = as_count(code)
        if status in _HTTP_STATUSES:
            self.error_status = status or 0
        for name in (code, get(error, "type")):
            if isinstance(name, str | int) and _ERROR_NAME.fullmatch(str(name)):
                self.error_type = str(name)
                return
        self.error_type = OTHER_ERROR

    def _finished(self, reason: Any) -> None:
        if reason is not None:
            self.finish_reason = plain_finish_reason(reason) or self.finish_reason
            self.is_complete = True

    def usage(self) -> Usage:
        return openai_usage(self._usage)

    def cost(self) -> Cost:
        return cost_of(self._usage)


class ChatAnswer(_Known):
    """Chat completions, legacy completions and embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: set[tuple[Any, Any]] = set()

    def whole(self, answer: Any) -> None:
        self._identity(answer)
        self._usage = get(answer, "usage")
        self._failed(get(answer, "error"))
        for choice in items(answer, "choices"):
            self._choice(choice, get(choice, "message"))
        self.is_complete = True

    def piece(self, piece: Any) -> bool:
        self._identity(piece)
        self._failed(get(piece, "error"))
        usage = get(piece, "usage")
        if usage is not None:
            self._usage = usage
        carries = False
        for choice in items(piece, "choices"):
            delta = get(choice, "delta")
            self._choice(choice, delta)
            carries = carries or bool(get(choice, "text")) or any(bool(get(delta, name)) for name in _TEXT)
            carries = carries or bool(items(delta, "tool_calls")) or get(delta, "function_call") is not None
        return carries

    def _choice(self, choice: Any, message: Any) -> None:
        self._finished(get(choice, "finish_reason"))
        self._failed(get(choice, "error"))
        place = get(choice, "index")
        for number, call in enumerate(items(message, "tool_calls")):
            index = get(call, "index")
            self._calls.add((place, number if index is None else index))
        if get(message, "function_call") is not None:
            self._calls.add((place, "function_call"))

    def tool_calls(self) -> int:
        return len(self._calls)


class ResponsesAnswer(_Known):
    """The responses API."""

    _ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})

    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def whole(self, answer: Any) -> None:
        self._identity(answer)
        self._usage = get(answer, "usage")
        self._calls = sum(str(get(item, "type")).endswith("_call") for item in items(answer, "output"))
        status = get(answer, "status")
        if status == "failed":
            self._failed(get(answer, "error") or {})
        if status == "incomplete":
            reason = get(get(answer, "incomplete_details"), "reason")
            self._finished(reason or "length")
        elif status in ("completed", "failed", "cancelled"):
            self._finished("tool_calls" if status == "completed" and self._asked_for_tools(answer) else status)
        # A background answer is queued: its end is not seen here.
        self.is_complete = True

    @staticmethod
    def _asked_for_tools(answer: Any) -> bool:
        return any(get(item, "type") in ("function_call", "custom_tool_call") for item in items(answer, "output"))

    def piece(self, piece: Any) -> bool:
        kind = str(get(piece, "type") or "")
        if kind in self._ENDS:
            self.whole(get(piece, "response"))
        elif kind == "response.created":
            self._identity(get(piece, "response"))
        elif kind == "error":
            self._failed(piece)
        elif kind == "response.output_item.done":
            self._calls += str(get(get(piece, "item"), "type")).endswith("_call")
        return kind.endswith(".delta")

    def tool_calls(self) -> int:
        return self._calls


class MessagesAnswer(_Known):
    """Anthropic's messages."""

    def __init__(self) -> None:
        super().__init__()
        self._usages: list[Any] = []
        self._is_final = False
        self._calls = 0

    def whole(self, answer: Any) -> None:
        self._identity(answer)
        self._usages = [get(answer, "usage")]
        self._is_final = self.is_complete = True
        self._failed(get(answer, "error"))
        self._finished(get(answer, "stop_reason"))
        self._calls = sum(str(get(block, "type")).endswith("tool_use") for block in items(answer, "content"))

    def piece(self, piece: Any) -> bool:
        kind = get(piece, "type")
        if kind == "message_start":
            message = get(piece, "message")
            self._identity(message)
            # What later pieces say is kept beside it: the client's helper may change this very object.
            self._usages = [_counts(get(message, "usage"))]
        elif kind == "message_delta":
            self._finished(get(get(piece, "delta"), "stop_reason"))
            self._usages = [*self._usages[:1], get(piece, "usage")]
            self._is_final = True
        elif kind == "message_stop":
            self.is_complete = True
        elif kind == "error":
            self._failed(get(piece, "error") or {})
        elif kind == "content_block_start":
            block = get(piece, "content_block")
            is_call = str(get(block, "type") or "").endswith("tool_use")
            self._calls += is_call
            return is_call
        return bool(kind == "content_block_delta")

    def usage(self) -> Usage:
        return anthropic_usage(self._usages, is_final=self._is_final)

    def cost(self) -> Cost:
        return cost_of(self._usages[-1]) if self._usages else Cost()

    def tool_calls(self) -> int:
        return self._calls


def _counts(usage: Any) -> dict[str, Any]:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens", "cost")
    return {name: get(usage, name) for name in (*names, "is_byok")}
