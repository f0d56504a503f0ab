"""What a gateway knows about a request and the event does not store: rules and the classifier may look at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

MAX_NAME_CHARS: Final = 512
"""Of a route, a referer and each tag; the rest is cut off."""
MAX_TAGS: Final = 32
MAX_USER_CHARS: Final = 1_600
MAX_SYSTEM_CHARS: Final = 400
_ENOUGH_USER_CHARS: Final = 80
_MAX_LOOKED_AT: Final = 40
"""Messages from the end in which the user's words are looked for."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The bounded text that a classifier sees. Never shown, logged or kept."""

    user: str = field(repr=False)
    system: str = field(repr=False, default="")

    def __bool__(self) -> bool:
        return bool(self.user.strip() or self.system.strip())


@dataclass(frozen=True, slots=True)
class CategoryInput:
    """Inputs of the category that are no fields of the event. None of them is stored.

    route: path of the gateway's API or the name of its route, without a query string. referer: the page or app that
    asks (HTTP-Referer). tags: the request's tags. messages: the conversation as the provider's API takes it (role and
    content; text parts of a list of parts are read). system, text: instead of it, or with it, the system prompt and
    the user's text. Text is read only for the sampled share of requests, at once, in this process, up to 2,000
    characters of it; it is in no repr.
    """

    route: str = ""
    referer: str = ""
    tags: Sequence[str] = ()
    messages: Sequence[Any] | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    system: str | None = field(default=None, repr=False)

    @property
    def has_text(self) -> bool:
        """Whether there is anything for a classifier."""
        return bool(self.messages or self.text or self.system)

    def names(self) -> Names:
        """Route, referer and tags, cut to their bounds."""
        return Names(_path(self.route), _page(self.referer), _tags(self.tags))

    def excerpt(self) -> Excerpt:
        """The start of the system prompt and the user's last words; of a long text its beginning and its end.

        A last message that says little ("go on") is read together with the user's messages before it.
        """
        user, system = self.text or "", self.system or ""
        if self.messages:
            if not user:
                user = _last_words(self.messages)
            if not system:
                system = next((_text(one) for one in self.messages[:3] if _role(one) in ("system", "developer")), "")
        return Excerpt(_ends(user, MAX_USER_CHARS), system[:MAX_SYSTEM_CHARS])


@dataclass(frozen=True, slots=True)
class Names:
    """The inputs of rules that are no fields of the event."""

    route: str = ""
    referer: str = ""
    tags: tuple[str, ...] = ()

    @property
    def referer_host(self) -> str:
        """Host of the referer, '' when it has none."""
        return host_of(self.referer)


NO_NAMES: Final = Names()
NO_INPUT: Final = CategoryInput()


def host_of(referer: str) -> str:
    """Host of a URL, or of what stands for one (`app.example.com/x`)."""
    try:
        return urlsplit(referer if "://" in referer else f"//{referer}").hostname or ""
    except ValueError:
        return ""


def _path(route: object) -> str:
    return route.partition("?")[0][:MAX_NAME_CHARS] if isinstance(route, str) else ""


def _page(referer: object) -> str:
    # Query and fragment may hold anything, also a person's words.
    return referer.partition("#")[0].partition("?")[0][:MAX_NAME_CHARS] if isinstance(referer, str) else ""


def _tags(tags: object) -> tuple[str, ...]:
    if isinstance(tags, str):
        tags = (tags,)
    if not isinstance(tags, Iterable):
        return ()
    return tuple(tag[:MAX_NAME_CHARS] for tag, _ in zip(tags, range(MAX_TAGS), strict=False) if isinstance(tag, str))


def _last_words(messages: Sequence[Any]) -> str:
    found: list[str] = []
    length = 0
    for message in list(messages[-_MAX_LOOKED_AT:])[::-1]:
        if isinstance(message, str):
            words = message
        elif _role(message) == "user":
            words = _text(message)
        else:
            continue
        if words.strip():
            found.append(words)
            length += len(words)
            if length >= _ENOUGH_USER_CHARS:
                break
    return "\n".join(reversed(found))


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _role(message: Any) -> str:
    role = _get(message, "role")
    return role if isinstance(role, str) else ""


def _text(message: Any) -> str:
    content = _get(message, "content")
    if isinstance(content, str):
        return content
    return "\n".join(_parts(content)) if isinstance(content, (list, tuple)) else ""


def _parts(content: Iterable[Any]) -> Iterator[str]:
    for part, _ in zip(content, range(_MAX_LOOKED_AT), strict=False):
        text = part if isinstance(part, str) else _get(part, "text")
        if isinstance(text, str):
            yield text


def _ends(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = limit * 3 // 4
    return f"{text[:head]}\n{text[head - limit :]}"
