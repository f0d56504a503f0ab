"""What pydantic says about an entry of a file, in words that help to mend it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from tokentide_schemas.alerting.values import Section
from tokentide_schemas.catalogue.problems import did_you_mean


def _fields(kind: type[Section], loc: Sequence[str | int]) -> list[str]:
    """The keys, as written, that are allowed where `loc` points."""
    current: Any = kind
    for part in loc[:-1]:
        if isinstance(part, str):
            by_key = {info.alias or name: info for name, info in current.model_fields.items()}
            annotation = by_key[part].annotation
            options = (annotation, *getattr(annotation, "__args__", ()))
            current = next((a for a in options if hasattr(a, "model_fields")), current)
    return [info.alias or name for name, info in current.model_fields.items()]


def in_words(kind: type[Section], detail: ErrorDetails) -> tuple[str, str]:
    """A fault that pydantic found in a section of a file, and what to do about it."""
    what = detail["type"]
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    if what == "extra_forbidden":
        known = _fields(kind, detail["loc"])
        return "unknown key", did_you_mean(last, known, f"use one of {', '.join(known)}")
    if what == "missing":
        return "is missing", f"add '{last}: ...'"
    given = detail["input"]
    # What was written in place of an address or a secret may be one.
    hidden = isinstance(given, (dict, list)) or any("url" in str(p) or "secret" in str(p) for p in detail["loc"])
    shown = "" if hidden else f" (got {given!r})"
    context = detail.get("ctx", {})
    if what in ("enum", "literal_error"):
        expected = str(context.get("expected", ""))
        names = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
        return f"not one of the known values{shown}", did_you_mean(str(given), names, f"use {expected}")
    if what in ("value_error", "assertion_error"):
        message, bracket, hint = detail["msg"].removeprefix("Value error, ").rpartition(" (")
        return (message, hint.rstrip(")")) if bracket else (hint, "correct it")
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{shown}", "correct the value"
