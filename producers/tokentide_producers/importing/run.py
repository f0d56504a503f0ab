"""One import: rows to events, new ones to the pipeline, everything else counted with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tokentide_producers.importing.deciding import divide
from tokentide_producers.importing.delivering import Prepared
from tokentide_producers.importing.events import MAPPED_PREFIX, Context, Event, Format, Request, event_of
from tokentide_producers.importing.ledger import Ledger
from tokentide_producers.importing.mapped import Mapped
from tokentide_producers.importing.problems import BadRow, NotARequestError, Refusals, RowError
from tokentide_producers.importing.reading import SourceRow
from tokentide_producers.rows import InvalidEventError, RowBuilder
from tokentide_schemas.event import TOKEN_BUCKETS

BLOCK_ROWS: Final = 4_000
"""Rows that are looked up, journaled and sent together."""

InStore = Callable[[list[Event]], set[bytes]]
"""Keys of those events whose request the store has already."""


class Target(Protocol):
    """Where new events go."""

    def send(self, block: Sequence[Prepared]) -> None:
        """Take the events over."""
        ...


@dataclass(slots=True)
class Result:
    """What became of the rows; exact. repeated: imported before, or twice in the source. in_store: not in the ledger,
    and the store has the request from elsewhere. older: events before the instant `older_than_ms` of the run."""

    rows: int = 0
    new_events: int = 0
    repeated: int = 0
    in_store: int = 0
    older: int = 0
    tokens: int = 0
    cost_nanousd: int = 0
    without_usage: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    refusals: Refusals = field(default_factory=Refusals)
    samples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Options:
    """older_than_ms: raw rows before it are not kept. samples: how many new events to keep to be shown."""

    now_ms: Callable[[], int]
    older_than_ms: int | None = None
    samples: int = 0
    in_store: InStore | None = None
    on_rows: Callable[[int], None] = lambda _rows: None
    on_bad_row: Callable[[BadRow], None] = lambda _row: None


class Import:
    """Takes rows of one format. result: to add to. target None: a dry run; a ledger then tells what is known."""

    def __init__(
        self,
        kind: Format,
        context: Context,
        options: Options,
        ledger: Ledger | None,
        target: Target | None,
        result: Result | None = None,
    ) -> None:
        self.result = result if result is not None else Result()
        self._format = kind
        self._context = context
        self._options = options
        self._ledger = ledger
        self._target = target
        self._builder = RowBuilder()
        self._block: list[tuple[Event, Prepared]] = []

    def take(self, items: Iterable[SourceRow | BadRow]) -> None:
        """All rows of one source; when it returns they are journaled and sent, and may not be acknowledged yet."""
        if self._ledger is not None:
            self._ledger.begin_source()
        try:
            for item in items:
                self._one(item)
                if len(self._block) >= BLOCK_ROWS:
                    self._flush()
        finally:
            # Also what came before a source that breaks off: it is right, and repeating it is harmless.
            self._flush()

    def _one(self, item: SourceRow | BadRow) -> None:
        self.result.rows += 1
        if isinstance(item, BadRow):
            self._refuse(item)
            return
        try:
            request = self._format.request(item.row, self._context)
            event = event_of(
                request,
                self._source_id(request, item),
                self._context.gateway or self._gateway_of(request),
                self._options.now_ms(),
            )
            row, size = self._builder.from_fields(event.fields, event.occurred_ms)
        except NotARequestError as found:
            self.result.refusals.not_requests[str(found)] += 1
        except RowError as error:
            self._refuse(BadRow(item.place, error.column, error.problem))
        except InvalidEventError as error:
            self._refuse(BadRow(item.place, "", str(error)))
        else:
            self._block.append((event, Prepared(event.key, row, size)))

    def _source_id(self, request: Request, item: SourceRow) -> str:
        if request.source_id is not None:
            return request.source_id
        assert isinstance(self._format, Mapped)
        content = self._format.content_of(item.row)
        # Two equal rows are two requests; the same file again, or one that overlaps it, has the same ones again.
        number = self._ledger.occurrence(content) if self._ledger is not None else self.result.rows
        return f"content {number} {content}"

    def _gateway_of(self, request: Request) -> str:
        return str(request.fields.get("gateway") or request.namespace.removeprefix(MAPPED_PREFIX))

    def _refuse(self, row: BadRow) -> None:
        self.result.refusals.add(row)
        self._options.on_bad_row(row)

    def _flush(self) -> None:
        block, self._block = self._block, []
        if not block:
            return
        keys = [event.key for event, _prepared in block]
        known = self._ledger.known(keys) if self._ledger is not None else set()
        events = [event for event, _prepared in block]
        stored: set[bytes] = set()
        if self._options.in_store is not None:
            unknown = [event for event in events if event.key not in known]
            stored = self._options.in_store(unknown) if unknown else set()
        division = divide(events, known, stored)
        prepared = {event.key: one for event, one in reversed(block)}
        if self._target is not None:
            self._target.send([prepared[event.key] for event in division.fresh])
        self.result.repeated += division.repeated
        self.result.in_store += division.in_store
        for event in division.fresh:
            self._count(event)
        self._options.on_rows(len(block))

    def _count(self, event: Event) -> None:
        result, fields = self.result, event.fields
        result.new_events += 1
        result.tokens += sum(fields.get(bucket) or 0 for bucket in TOKEN_BUCKETS)
        result.cost_nanousd += fields.get("cost_nanousd") or 0
        result.without_usage += not fields["usage_reported"]
        result.first_ms = event.occurred_ms if result.first_ms is None else min(result.first_ms, event.occurred_ms)
        result.last_ms = event.occurred_ms if result.last_ms is None else max(result.last_ms, event.occurred_ms)
        if self._options.older_than_ms is not None and event.occurred_ms < self._options.older_than_ms:
            result.older += 1
        if len(result.samples) < self._options.samples:
            result.samples.append(fields)
