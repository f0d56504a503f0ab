"""Reading answers that are models of a client library, or plain JSON: unknown and absent fields are no errors. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokentide_schemas.event import MAX_LABEL_CHARS


def get(source: Any, name: str) -> Any:
    """A field of a model or of a JSON object; None when it is not there."""
    if source is None:
        return None
    if isinstance(source, Mapping):
        return source.get(name)
    return getattr(source, name, None)


def items(source: Any, name: str) -> Sequence[Any]:
    """A list in a field; empty when it is not there or no list."""
    value = get(source, name)
    return value if isinstance(value, list | tuple) else ()


def word(value: Any) -> str:
    """A value as a label: what could not be one is ''."""
    if not isinstance(value, str) or len(value) > MAX_LABEL_CHARS or not value.isprintable():
        return ""
    return value
