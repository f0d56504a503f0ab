"""Categories at the collector: an event's own label, else a rule's. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tokentide_producers.categories.categorizer import Categorizer
from tokentide_producers.categories.inputs import NO_NAMES, CategoryInput, Names
from tokentide_schemas.event import CONTENT_FIELDS, CategorySource

CATEGORY_INPUT: Final = "category_input"
"""Key beside an event's fields with what rules may look at: route, referer, tags. It is not stored."""
_KEYS: Final = ("route", "referer", "tags")
_CONTENT: Final = CONTENT_FIELDS | {"text", "system", "messages"}


class CategoryInputError(Exception):
    """`category_input` is not what it should be. The message says what to do and repeats no value."""


class Labelling:
    """How a collector labels events. categories: none, no rules. resolve_model: to the canonical name."""

    def __init__(self, categories: Categorizer | None, resolve_model: Callable[[str], str] = str) -> None:
        self._categories = categories
        self._resolve_model = resolve_model

    def apply(self, event: dict[str, Any], gateway: str) -> int:
        """Label an event where it has no label, and take `category_input` out of it.

        gateway: of an event that names none. Returns the number of content fields that were dropped, unread. Raises
        CategoryInputError.
        """
        names, dropped = NO_NAMES, 0
        if CATEGORY_INPUT in event:
            names, dropped = _names(event.pop(CATEGORY_INPUT))
        if event.get("category"):
            event.setdefault("category_source", CategorySource.GATEWAY.value)
        elif self._categories is not None:
            is_named = bool(event.get("gateway")) or not gateway
            self._categories.label_fields(event, names, self._resolve_model, gateway="" if is_named else gateway)
        return dropped


WITHOUT_RULES: Final = Labelling(None)


def _names(given: Any) -> tuple[Names, int]:
    if given is None:
        return NO_NAMES, 0
    if not isinstance(given, dict):
        raise CategoryInputError("give an object with route, referer, tags")
    content = [key for key in given if isinstance(key, str) and key.lower() in _CONTENT]
    known = {key: value for key, value in given.items() if key not in content}
    if not known.keys() <= set(_KEYS):
        raise CategoryInputError(f"it has a key besides {', '.join(_KEYS)}: leave it out")
    for key in ("route", "referer"):
        if not isinstance(known.get(key, ""), str):
            raise CategoryInputError(f"its {key} is not text")
    tags = known.get("tags", ())
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise CategoryInputError("its tags are not a list of texts")
    return CategoryInput(known.get("route", ""), known.get("referer", ""), tags).names(), len(content)
