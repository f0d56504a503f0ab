"""JSON texts one after another, and the elements of an array one by one, without holding all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, Final

CHUNK_CHARS: Final = 1 << 20
MAX_VALUE_CHARS: Final = 256 * 1024 * 1024
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_IN_NUMBER: Final = re.compile(r"[0-9.eE+-]*\Z")
_DECODER: Final = json.JSONDecoder()


class JsonError(Exception):
    """The text is not JSON. position: characters before the fault."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def values_in(begin: str, rest: IO[str]) -> Iterator[Any]:
    """The values of a text that begins with `begin`: elements of top-level arrays, other values as they are.

    Raises JsonError at the first fault, after the values before it.
    """
    text = _Text(begin, rest)
    while (character := text.peek()) is not None:
        if character != "[":
            yield text.value()
            continue
        text.skip()
        if text.peek() == "]":
            text.skip()
            continue
        while True:
            yield text.value()
            following = text.peek()
            text.skip()
            if following == "]":
                break
            if following != ",":
                raise text.error("a comma or the array's end is expected")


class _Text:
    def __init__(self, begin: str, rest: IO[str]) -> None:
        self._buffer = begin
        self._rest = rest
        self._place = 0
        self._before = 0
        self._is_whole = False

    def peek(self) -> str | None:
        """The next character that is not blank, None at the end."""
        while True:
            blank = _BLANK.match(self._buffer, self._place)
            self._place = blank.end() if blank else self._place
            if self._place < len(self._buffer):
                return self._buffer[self._place]
            if not self._more():
                return None

    def skip(self) -> None:
        self._place += 1

    def value(self) -> Any:
        if self.peek() is None:
            raise self.error("the text ends early")
        while True:
            try:
                found, end = _DECODER.raw_decode(self._buffer, self._place)
            except ValueError as error:
                # The value may only be cut off here.
                if self._more():
                    continue
                message = error.msg if isinstance(error, json.JSONDecodeError) else "not JSON"
                raise self.error(message) from None
            # Of `1.5` cut off behind the point the `1` is a number already.
            is_open = isinstance(found, int | float) and _IN_NUMBER.match(self._buffer, end)
            if (is_open or end == len(self._buffer)) and self._more():
                continue
            self._place = end
            return found

    def error(self, message: str) -> JsonError:
        return JsonError(message, self._before + self._place)

    def _more(self) -> bool:
        if self._is_whole:
            return False
        if len(self._buffer) - self._place > MAX_VALUE_CHARS:
            raise self.error(f"one value has over {MAX_VALUE_CHARS} characters")
        # As much again as there is: a long value is tried a few times only.
        chunk = self._rest.read(max(CHUNK_CHARS, len(self._buffer) - self._place))
        self._is_whole = not chunk
        self._before += self._place
        self._buffer = self._buffer[self._place :] + chunk
        self._place = 0
        return bool(chunk)
