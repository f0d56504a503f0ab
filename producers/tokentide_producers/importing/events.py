"""What a format makes of a row: a request with its identity, as fields of a usage event. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tokentide_producers.importing.cells import Row
from tokentide_producers.importing.problems import RowError
from tokentide_producers.otlp.identity import stable_event_id
from tokentide_producers.otlp.mapping import Naming
from tokentide_schemas.event import EARLIEST_OCCURRED_AT, Source

UNKNOWN_PROVIDER: Final = "unknown"
KEY_BYTES: Final = 16
MAPPED_PREFIX: Final = "mapped:"
"""Namespaces of mapping files: their ids need not be anybody else's."""
CLOCK_SKEW_MS: Final = 60_000
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EARLIEST_MS: Final = int(EARLIEST_OCCURRED_AT.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Context:
    """What rows do not say. zone: of times without one, None refuses them. gateway: '' takes the format's own name."""

    naming: Naming
    zone: dt.tzinfo | None
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. namespace, source_id: identify it among all requests of all formats that share the namespace;
    `source_id` None: nothing identifies it but its content. fields: without ids, source and time."""

    namespace: str
    source_id: str | None
    occurred_ms: int
    fields: dict[str, Any]


class Format(Protocol):
    """A kind of export. columns: all that are ever read. required: groups of which one column has to be there."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """See above."""
        ...

    @property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """See above."""
        ...

    def request(self, row: Row, context: Context) -> Request:
        """The row's request. Raises RowError, NotARequestError."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """A request that is ready to be sent. key: its identity in the import ledger. is_globally_named: `request_id` is
    the gateway's own, by which the store may have it from elsewhere."""

    key: bytes
    occurred_ms: int
    fields: dict[str, Any]
    is_globally_named: bool = False


def key_of(namespace: str, source_id: str) -> bytes:
    """The identity that the ledger keeps: a hash, so that it holds no identifier."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    name = namespace.encode()
    digest.update(len(name).to_bytes(2, "big") + name + source_id.encode("utf-8", "surrogatepass"))
    return digest.digest()


def event_of(request: Request, source_id: str, gateway: str, now_ms: int) -> Event:
    """The event of a request. Raises RowError for a time that no usage event may have."""
    if request.occurred_ms > now_ms + CLOCK_SKEW_MS:
        raise RowError("", "the time is in the future; is it the right time zone or unit?")
    if request.occurred_ms < _EARLIEST_MS:
        raise RowError("", f"the time is before {EARLIEST_OCCURRED_AT:%Y}; is it the right unit?")
    key = key_of(request.namespace, source_id)
    fields = {
        **request.fields,
        "event_id": stable_event_id(request.occurred_ms, key),
        "source": Source.IMPORT.value,
        "gateway": gateway,
        "occurred_at": _EPOCH + dt.timedelta(milliseconds=request.occurred_ms),
    }
    return Event(key, request.occurred_ms, fields, not request.namespace.startswith(MAPPED_PREFIX))
