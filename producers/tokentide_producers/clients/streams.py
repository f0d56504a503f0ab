"""Watching a stream that stays what it was: the same object, its methods, its pieces and its errors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Self

from tokentide_producers.clients.observation import Observation, quietly
from tokentide_producers.clients.reading import get

Hides = Callable[[Any], bool]
"""True for a piece that the caller has not asked for."""


def is_stream(result: Any) -> bool:
    """A stream of either library, sync or asyncio."""
    return hasattr(result, "response") and (hasattr(result, "__next__") or hasattr(result, "__anext__"))


def watch_stream(observation: Observation, stream: Any, hides: Hides | None = None) -> None:
    """Observe the pieces as the caller takes them, and the end, also by `close` of the stream or of its response."""
    observation.answered(stream.response)
    watch_close(observation, stream.response)
    watched = _AsyncPieces if hasattr(stream, "__anext__") else _Pieces
    stream._iterator = watched(stream._iterator, observation, hides)


def watch_close(observation: Observation, response: Any) -> None:
    """See a response closed before its end. response: httpx's, whose `close` or `aclose` is called in every case."""
    for name in ("close", "aclose"):
        original = getattr(response, name, None)
        if original is not None:
            setattr(response, name, (_closing if name == "close" else _aclosing)(observation, response, original))


def _closing(observation: Observation, response: Any, original: Callable[[], None]) -> Callable[[], None]:
    def close() -> None:
        try:
            original()
        finally:
            quietly(_closed, observation, response)

    return close


def _aclosing(observation: Observation, response: Any, original: Callable[[], Any]) -> Callable[[], Any]:
    async def aclose() -> None:
        try:
            await original()
        finally:
            quietly(_closed, observation, response)

    return aclose


def _closed(observation: Observation, response: Any) -> None:
    # Ours refer to the response, which would leave it to the garbage collector.
    for name in ("close", "aclose"):
        with contextlib.suppress(AttributeError):
            delattr(response, name)
    if not observation.is_reading:
        observation.end_early()


class _Watched:
    def __init__(self, inner: Any, observation: Observation, hides: Hides | None) -> None:
        self._inner = inner
        self._observation = observation
        self._hides = hides

    def _came(self, piece: Any) -> bool:
        """True for a piece that the caller gets."""
        quietly(self._observation.piece, piece)
        return self._hides is None or not self._hides(piece)

    def _raised(self, error: BaseException) -> None:
        self._observation.is_reading = False
        quietly(self._observation.fail, error)

    def _ended(self) -> None:
        self._observation.is_reading = False
        quietly(self._observation.end)

    def __getattr__(self, name: str) -> Any:
        # Whatever else the client's own iterator can do.
        return getattr(self._inner, name)

    def __del__(self) -> None:
        observation = self.__dict__.get("_observation")
        if observation is not None:
            quietly(observation.end_early)


class _Pieces(_Watched):
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        observation = self._observation
        while True:
            observation.is_reading = True
            try:
                piece = next(self._inner)
            except StopIteration:
                self._ended()
                raise
            except BaseException as error:
                self._raised(error)
                raise
            observation.is_reading = False
            if self._came(piece):
                return piece


class _AsyncPieces(_Watched):
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        observation = self._observation
        while True:
            observation.is_reading = True
            try:
                piece = await self._inner.__anext__()
            except StopAsyncIteration:
                self._ended()
                raise
            except BaseException as error:
                self._raised(error)
                raise
            observation.is_reading = False
            if self._came(piece):
                return piece


def is_usage_only(piece: Any) -> bool:
    """The last piece of a chat stream that was asked for usage."""
    return get(piece, "usage") is not None and not get(piece, "choices")
