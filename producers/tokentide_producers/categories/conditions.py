"""Conditions of a rule: an exact text, a prefix, a glob or a regular expression. Pure.

Regular expressions are RE2's, whose time is linear in the text: no pattern can hold a request up. Upper and lower case
are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

KINDS: Final = ("exact", "prefix", "glob", "regex")
MAX_VALUES: Final = 1_000
"""Of one condition."""
MAX_PATTERN_CHARS: Final = 1_000
_RE2_BYTES: Final = 256 * 1024
"""Memory of one compiled pattern; a larger one is refused."""


@dataclass(frozen=True)
class Condition:
    """True for a text that one of `values` fits. Raises ValueError for a pattern that cannot be used."""

    kind: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        self.compiled()

    def compiled(self) -> Callable[[str], bool]:
        """The test of a text that is casefolded already."""
        folded = tuple(value.casefold() for value in self.values)
        if self.kind == "exact":
            return frozenset(folded).__contains__
        if self.kind == "prefix":
            return lambda text: text.startswith(folded)
        if self.kind == "glob":
            return _any_of([_compiled(_glob(value), value) for value in folded])
        return _any_of([_compiled(value, value) for value in self.values])

    def __str__(self) -> str:
        shown = " or ".join(repr(value) for value in self.values[:5]) + (" or ..." if len(self.values) > 5 else "")
        return f"{'=' if self.kind == 'exact' else self.kind} {shown}"


def parse_condition(given: object) -> Condition:
    """A text, a list of texts, or {exact|prefix|glob|regex: text or list}. Raises ValueError: `fault (what to do)`."""
    if isinstance(given, Condition):
        return given
    if not isinstance(given, Mapping):
        values = _texts(given)
        odd = next((value for value in values if "*" in value), None)
        if odd is not None:
            raise ValueError(f"{odd!r} is taken exactly, with its asterisk (write {{glob: {odd!r}}})")
        return Condition("exact", values)
    if len(given) != 1:
        raise ValueError(f"has {len(given)} keys (give one of {', '.join(KINDS)})")
    kind, value = next(iter(given.items()))
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of condition (give one of {', '.join(KINDS)})")
    return Condition(kind, _texts(value))


def _texts(given: Any) -> tuple[str, ...]:
    values: Sequence[Any] = given if isinstance(given, (list, tuple)) else (given,)
    if not values:
        raise ValueError("is an empty list (give at least one value, or leave the condition out)")
    if len(values) > MAX_VALUES:
        raise ValueError(f"has {len(values)} values (at most {MAX_VALUES} are taken)")
    return tuple(map(_one_text, values))


def _one_text(value: Any) -> str:
    if value is None:
        raise ValueError("has no value (give one, or leave the condition out)")
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise ValueError(f"{value!r} is not text (put it in quotes)")
    if len(text) > MAX_PATTERN_CHARS:
        raise ValueError(f"has {len(text)} characters (at most {MAX_PATTERN_CHARS})")
    return text


def _compiled(pattern: str, written: str) -> Any:
    # Imported here: an emitter without rules must not need it.
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _RE2_BYTES
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be compiled"
        reason = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{written!r}: {reason} (RE2's syntax: no look-around and no back references)") from None


def _any_of(patterns: Sequence[Any]) -> Callable[[str], bool]:
    return lambda text: any(pattern.search(text) is not None for pattern in patterns)


def _glob(pattern: str) -> str:
    """`*` is any text, `?` one character, everything else itself; the whole text must fit."""
    import re2

    parts = {"*": ".*", "?": "."}
    return "(?s)^(?:" + "".join(parts.get(char) or re2.escape(char) for char in pattern) + ")$"
