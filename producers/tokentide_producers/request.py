"""One LLM request as a context manager: times it, and emits its event however it ends.

    with emitter.request(request_model="gpt-4o", provider="openai", category="programming") as request:
        for chunk in request.stream(response):
            ...
        request.update(input_uncached_tokens=812, output_tokens=64, finish_reason="stop")

The event is emitted once, when the block ends: as ok, as cancelled when the client has gone away or the task was
cancelled, as an error for every other exception, which passes on unchanged. Without any token field the event says that
no usage was reported, instead of claiming zero tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.outcomes import EmitResult
from tokentide_schemas.event import TOKEN_BUCKETS, Outcome

if TYPE_CHECKING:
    from tokentide_producers.emitter import Emitter

T = TypeVar("T")

CANCELLED: Final = (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt, BrokenPipeError, ConnectionResetError)
"""What a client that goes away looks like from within the request."""
_MAX_MS: Final = 2**32 - 1


class Request:
    """Use with `with` or `async with`. fields: of the event, as `Emitter.emit` takes them.

    result: what `emit` said, None before the end. clock: seconds, monotonic.
    """

    def __init__(self, emitter: Emitter, fields: dict[str, Any], clock: Callable[[], float] = time.monotonic) -> None:
        self.result: EmitResult | None = None
        self._emitter = emitter
        self._fields = fields
        self._clock = clock
        self._started_s = clock()
        self._first_token_s: float | None = None
        self._category_input: CategoryInput | None = None

    def update(self, **fields: Any) -> None:
        """Add what has become known: token counts, finish_reason, cost, tool calls, or any other field."""
        self._fields.update(fields)

    def categorize(
        self,
        *,
        route: str = "",
        referer: str = "",
        tags: Sequence[str] = (),
        messages: Sequence[Any] | None = None,
        text: str | None = None,
        system: str | None = None,
    ) -> None:
        """What the emitter's `categories` may look at besides the event's fields; see `CategoryInput`. Not stored."""
        self._category_input = CategoryInput(route, referer, tags, messages, text, system)

    def first_token(self) -> None:
        """The first token has come; later calls change nothing."""
        if self._first_token_s is None:
            self._first_token_s = self._clock()

    def failed(self, error_type: str, http_status: int | None = None) -> None:
        """The provider answered with an error that is not raised as an exception."""
        self._fields |= {"outcome": Outcome.ERROR, "error_type": error_type}
        if http_status is not None:
            self._fields["http_status"] = http_status

    def cancelled(self) -> None:
        """The client has gone away, and no exception says so."""
        self._fields["outcome"] = Outcome.CANCELLED

    def stream(self, chunks: Iterable[T]) -> Iterator[T]:
        """The same chunks; the first one is the first token, and a reader that stops early has cancelled."""
        self._fields.setdefault("streamed", True)
        try:
            for chunk in chunks:
                self.first_token()
                yield chunk
        except GeneratorExit:
            self.cancelled()
            raise

    async def astream(self, chunks: AsyncIterable[T]) -> AsyncIterator[T]:
        """`stream` for asyncio."""
        self._fields.setdefault("streamed", True)
        try:
            async for chunk in chunks:
                self.first_token()
                yield chunk
        except GeneratorExit:
            self.cancelled()
            raise

    def end(self, error: BaseException | None = None) -> EmitResult:
        """Emit the event; what a `with` block does at its end. A second call changes nothing."""
        if self.result is None:
            given, self._category_input = self._category_input, None
            self.result = self._emitter.emit(category_input=given, **self._complete(error))
        return self.result

    def _complete(self, error: BaseException | None) -> dict[str, Any]:
        fields = self._fields
        if isinstance(error, CANCELLED):
            fields["outcome"] = Outcome.CANCELLED
        elif error is not None:
            fields["outcome"] = Outcome.ERROR
            fields.setdefault("error_type", type(error).__name__)
        fields.setdefault("outcome", Outcome.OK)
        fields.setdefault("usage_reported", any(fields.get(bucket) is not None for bucket in TOKEN_BUCKETS))
        fields.setdefault("input_uncached_tokens", 0)
        fields.setdefault("output_tokens", 0)
        fields.setdefault("latency_ms", self._since_start_ms(self._clock()))
        if self._first_token_s is not None:
            fields.setdefault("time_to_first_token_ms", self._since_start_ms(self._first_token_s))
        return fields

    def _since_start_ms(self, now_s: float) -> int:
        return min(_MAX_MS, max(0, round((now_s - self._started_s) * 1000)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.end(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: TracebackType | None) -> None:
        self.end(error)
