"""What a caller knows of its requests: who asks, for whom, and what about. Kept in the context, not in the request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_current: ContextVar[Mapping[str, Any]] = ContextVar("tokentide_labels", default=NOTHING)

IDENTIFIERS: Final = {"user": "user_hash", "session": "session_hash", "api_key": "api_key_hash"}
"""Labels that become keyed hashes, and the fields for them. They never leave the process as they are."""

BESIDE: Final = ("route", "referer", "tags")
"""Labels that only the rules of categories look at."""


def given(**values: Any) -> dict[str, Any]:
    """Those that say something."""
    return {name: value for name, value in values.items() if value is not None and value != ""}


@contextmanager
def labels(
    *,
    category: str | None = None,
    subcategory: str | None = None,
    app: str | None = None,
    tenant: str | None = None,
    user: str | None = None,
    session: str | None = None,
    api_key: str | None = None,
    country: str | None = None,
    language: str | None = None,
    request_id: str | None = None,
    route: str | None = None,
    referer: str | None = None,
    tags: Sequence[str] | None = None,
) -> Iterator[None]:
    """Label the requests that begin inside the block, in this thread or asyncio task and in tasks begun there.

    Blocks nest: the inner one wins, label by label, and both win over what `instrument` was given. user, session,
    api_key: plain identifiers, which are hashed with the emitter's key. A value that no event can have (a country that
    is no ISO code) costs the event its labels, never the request or the event. route, referer, tags: for the rules of
    categories, not stored.
    """
    values = given(
        category=category,
        subcategory=subcategory,
        app=app,
        tenant=tenant,
        user=user,
        session=session,
        api_key=api_key,
        country=country,
        language=language,
        request_id=request_id,
        route=route,
        referer=referer,
        tags=tags,
    )
    outer = _current.get()
    token = _current.set(MappingProxyType({**outer, **values}))
    try:
        yield
    finally:
        try:
            _current.reset(token)
        except ValueError:
            # Left in another context than entered, as frameworks do with generators: put back what was there.
            _current.set(outer)


def current_labels() -> Mapping[str, Any]:
    """The labels of this context."""
    return _current.get()
