"""Watching a response whose body the caller reads as it is: `with_raw_response` and `with_streaming_response`."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from tokentide_producers.clients.observation import Observation, quietly
from tokentide_producers.clients.reading import get
from tokentide_producers.clients.streams import is_stream, watch_close, watch_stream

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""Of a body that is larger nothing is read: its usage counts as not reported."""
_EVENT_STREAM: Final = "text/event-stream"


def watch_raw(observation: Observation, raw: Any) -> None:
    """Observe a raw response: at once when its body is here, else as the caller reads it, parsed or not."""
    http = get(raw, "http_response") or raw
    observation.answered(http)
    if http.is_closed:
        quietly(_read_json, observation, http.content)
        observation.end()
        return
    body = _Body(observation, str(http.headers.get("content-type", "")))
    watch_close(observation, http)
    http.iter_bytes = body.watched(http.iter_bytes)
    http.aiter_bytes = body.awatched(http.aiter_bytes)
    if http is not raw:
        raw.parse = _parsing(observation, body, raw.parse)


def _parsing(observation: Observation, body: _Body, original: Callable[..., Any]) -> Callable[..., Any]:
    def seen(result: Any) -> Any:
        if is_stream(result) and not body.is_left_alone:
            # From here on its pieces are counted as the caller takes them, not as their bytes come in.
            body.is_left_alone = True
            quietly(watch_stream, observation, result)
        return result

    async def seen_later(result: Any) -> Any:
        return seen(await result)

    def parse(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        return seen_later(result) if inspect.isawaitable(result) else seen(result)

    return parse


class _Body:
    """Sees the bytes pass. is_left_alone: somebody else observes."""

    def __init__(self, observation: Observation, content_type: str) -> None:
        self.is_left_alone = False
        self._observation = observation
        self._events = EventStream() if _EVENT_STREAM in content_type else None
        self._kept = bytearray()
        self._is_too_large = False

    def watched(self, original: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
        def iter_bytes(*arguments: Any, **options: Any) -> Iterator[bytes]:
            if self.is_left_alone:
                yield from original(*arguments, **options)
                return
            inner = original(*arguments, **options)
            while True:
                self._observation.is_reading = True
                try:
                    data = next(inner)
                except StopIteration:
                    self._ended()
                    return
                except BaseException as error:
                    self._raised(error)
                    raise
                self._observation.is_reading = False
                quietly(self._came, data)
                yield data

        return iter_bytes

    def awatched(self, original: Callable[..., AsyncIterator[bytes]]) -> Callable[..., AsyncIterator[bytes]]:
        async def aiter_bytes(*arguments: Any, **options: Any) -> AsyncIterator[bytes]:
            inner = original(*arguments, **options)
            if self.is_left_alone:
                async for data in inner:
                    yield data
                return
            while True:
                self._observation.is_reading = True
                try:
                    data = await inner.__anext__()
                except StopAsyncIteration:
                    self._ended()
                    return
                except BaseException as error:
                    self._raised(error)
                    raise
                self._observation.is_reading = False
                quietly(self._came, data)
                yield data

        return aiter_bytes

    def _came(self, data: bytes) -> None:
        if self._events is not None:
            for event in self._events.feed(data):
                if event is None:
                    self._observation.answer.is_complete = True
                else:
                    self._observation.piece(event)
        elif len(self._kept) + len(data) > MAX_BODY_BYTES:
            self._is_too_large = True
            self._kept.clear()
        elif not self._is_too_large:
            self._kept += data

    def _raised(self, error: BaseException) -> None:
        self._observation.is_reading = False
        quietly(self._observation.fail, error)

    def _ended(self) -> None:
        self._observation.is_reading = False
        if self._kept:
            quietly(_read_json, self._observation, bytes(self._kept))
            self._kept.clear()
        quietly(self._observation.end)


def _read_json(observation: Observation, body: bytes) -> None:
    try:
        answer = json.loads(body)
    except ValueError:
        # No JSON: a proxy's page, or a format that was asked for. It says nothing to us.
        return
    if isinstance(answer, dict):
        observation.answer.whole(answer)


class EventStream:
    """Server-sent events, from bytes in any pieces, as JSON objects; None for the `[DONE]` at the end."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[dict[str, Any] | None]:
        """The events that are complete with this piece."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > MAX_BODY_BYTES:
            self._rest = b""
        for ended in lines:
            line = ended.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                text = b"\n".join(self._data)
                self._data.clear()
                if text.startswith(b"[DONE]"):
                    yield None
                    continue
                try:
                    event = json.loads(text)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event
