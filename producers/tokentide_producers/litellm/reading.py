"""Safe reading of LiteLLM's objects: dicts or pydantic models, of which any part may be absent. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_LABEL: Final = re.compile(r"[\w][\w .:/@+-]{0,127}")
_NOTHING: Final[Mapping[str, Any]] = {}


def part(owner: Any, name: str) -> Any:
    """The item or the attribute of that name; None when there is none."""
    if isinstance(owner, Mapping):
        return owner.get(name)
    return getattr(owner, name, None) if owner is not None else None


def mapping(owner: Any, *path: str) -> Mapping[str, Any]:
    """The mapping at a path; empty when there is none."""
    for name in path:
        owner = part(owner, name)
    return owner if isinstance(owner, Mapping) else _NOTHING


def text(*candidates: Any) -> str:
    """The first candidate that is a text with something in it; ''."""
    return next((value for value in candidates if isinstance(value, str) and value.strip()), "")


def label(*candidates: Any) -> str:
    """The first candidate that reads like a name: one line, at most 128 characters, no prose punctuation; ''.

    Clients fill these fields: what may be a sentence stays out.
    """
    return next((value for value in candidates if isinstance(value, str) and _LABEL.fullmatch(value)), "")


def items(owner: Any, name: str) -> list[Any]:
    """The list or tuple of that name; empty when there is none."""
    found = part(owner, name)
    return list(found) if isinstance(found, list | tuple) else []
