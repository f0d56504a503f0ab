"""Stage 2: reads the rollup topic, keeps the global windows, publishes shares, checkpoints, acknowledges.

Order as in stage 1: rows, then the checkpoint, then the acknowledgement. A version is (term, emission): each recovery
begins a term, which is durable before its first row is sent, so whatever a crash makes again has a higher version than
what was sent before it, and the newest incarnation's rows win.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pydantic import ValidationError

from tokentide_schemas import topics
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.cubes import MODEL_CUBE
from tokentide_schemas.rollups import (
    HEADER_CUBE,
    HEADER_KIND,
    KIND_PARTIALS,
    KIND_PROGRESS,
    Progress,
    RollupRecordError,
    decode_partials,
)
from tokentide_schemas.shares import KIND_SHARES, encode_shares
from tokentide_stream import shares_checkpoint
from tokentide_stream.global_windows import GlobalWindows
from tokentide_stream.settings import StreamSettings
from tokentide_stream.share_rows import ModelGroups, final_table, live_table

log = logging.getLogger(__name__)

EMISSION_BITS = 32
MAX_WAITING_ROWS = 100_000
"""Partial rows that wait to be merged; more are merged at once, so that catching up stays within bounds."""
FINALS_AT_ONCE = 60
"""Windows in one emission."""

Headers = list[tuple[str, bytes]]


class SharesOutlet(Protocol):
    """Where the worker writes; the Faust app implements it. Each call returns once the broker has the data."""

    async def send_shares(self, records: Sequence[tuple[Headers, bytes]]) -> None:
        """Append records to the shares topic, in order."""

    async def write_checkpoints(self, values: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Set (or with None delete) keys of the checkpoint table, in any order."""

    def checkpoints(self) -> dict[bytes, bytes]:
        """The recovered table."""

    def lag_records(self) -> int:
        """Records of the rollup topic that were not read yet, as far as known."""


class SharesWorker:
    """The one process that sees all partitions of the rollup topic."""

    def __init__(
        self,
        settings: StreamSettings,
        catalogue: Catalogue,
        topic_id: str,
        partitions: int,
        outlet: SharesOutlet,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.groups = ModelGroups(catalogue)
        self.topic_id = topic_id
        self.partitions = partitions
        self.outlet = outlet
        self.clock = clock
        self.windows: GlobalWindows | None = None
        self.emitted_rows = 0
        self.final_windows = 0
        self._received: list[Any] = []
        self._unacknowledged: list[Any] = []
        self._shared_at = 0.0
        self._shared_state: tuple[int, int] = (0, 0)
        self._checkpointed_at = 0.0
        self._term = 0
        self._emissions = 0
        self._blocks = shares_checkpoint.Blocks("", {})
        self._lock = asyncio.Lock()

    def use(self, catalogue: Catalogue) -> None:
        """Take authors, origins and the like from another catalogue, from the next publication on."""
        self.groups = ModelGroups(catalogue)
        self._shared_state = (0, 0)

    async def receive(self, event: Any) -> None:
        """Take one record from the stream; merges when enough have come."""
        self._received.append(event)
        if len(self._received) >= self.settings.stream_batch_records:
            await self.step()

    async def step(self) -> None:
        """Merge what has come; publish and checkpoint when due."""
        async with self._lock:
            windows = await self._apply()
            if windows is None:
                return
            now = self.clock()
            due = now - self._shared_at >= self.settings.stream_share_interval_s
            if due or windows.waiting_rows >= MAX_WAITING_ROWS:
                await self._merge(windows, due)
            if now - self._checkpointed_at >= self.settings.stream_share_checkpoint_interval_s:
                await self._checkpoint(windows)

    async def finish(self) -> None:
        """Publish and checkpoint everything that has come: the last act of a clean stop."""
        async with self._lock:
            windows = await self._apply()
            if windows is not None:
                await self._merge(windows, True)
                await self._checkpoint(windows)

    def drop(self) -> None:
        """Forget everything: the partitions were taken away, and the next owner starts from the checkpoint."""
        self.windows = None
        self._received.clear()
        self._unacknowledged.clear()

    async def _apply(self) -> GlobalWindows | None:
        if not self._received:
            return self.windows
        windows = self.windows or await self._recover()
        if self.windows is not windows:
            return None  # taken away during the recovery; what has come since belongs to the next one
        events, self._received = self._received, []
        now_ms = int(self.clock() * 1000)
        for event in events:
            _apply_record(windows, event.message, now_ms)
        self._unacknowledged += events
        return windows

    async def _recover(self) -> GlobalWindows:
        values = self.outlet.checkpoints()
        settings = self.settings
        windows = GlobalWindows(
            self.partitions,
            settings.stream_allowed_lateness_s,
            settings.stream_idle_timeout_s,
            int(self.clock() * 1000),
        )
        head, rank = shares_checkpoint.best_head(values, self.topic_id)
        if head is not None:
            shares_checkpoint.load(head, values, windows)
        # A name of its own for each incarnation: one that was believed dead cannot overwrite its successor's values.
        self._blocks = shares_checkpoint.Blocks(uuid.uuid4().hex, {})
        self._term, self._emissions = rank.term + 1, 0
        self._shared_state = (0, 0)
        log.info("shares: term %d, after offsets %s", self._term, windows.offsets)
        self.windows = windows
        await self._checkpoint(windows)
        await self.outlet.write_checkpoints(
            [(key, None) for key in shares_checkpoint.foreign(values, self._blocks.incarnation)]
        )
        return windows

    async def _merge(self, windows: GlobalWindows, is_due: bool) -> None:
        now_ms = int(self.clock() * 1000)
        windows.absorb(now_ms)
        finals = windows.take_due_finals()
        for start in range(0, len(finals), FINALS_AT_ONCE):
            part = finals[start : start + FINALS_AT_ONCE]
            minimum = self.settings.stream_mover_min_requests
            await self._send(final_table(windows, self.groups, part, self._version(), now_ms, minimum))
            self.final_windows += len(part)
        windows.archive()
        state = (windows.partial_rows, windows.as_of_ms)
        if is_due:
            self._shared_at = self.clock()
            if state != self._shared_state and windows.as_of_ms:
                self._shared_state = state
                minimum = self.settings.stream_mover_min_requests
                await self._send(live_table(windows, self.groups, self._version(), now_ms, minimum))

    def _version(self) -> int:
        self._emissions += 1
        return self._term << EMISSION_BITS | self._emissions

    async def _send(self, table: Any) -> None:
        if table.num_rows:
            self.emitted_rows += table.num_rows
            await self.outlet.send_shares(
                [([(HEADER_KIND, KIND_SHARES)], value) for value in encode_shares(table)],
            )

    async def _checkpoint(self, windows: GlobalWindows) -> None:
        if windows.waiting_rows:
            await self._merge(windows, False)
        self._checkpointed_at = self.clock()
        done, self._unacknowledged = self._unacknowledged, []
        rank = shares_checkpoint.Rank(self._term, self._emissions)
        writes = shares_checkpoint.dump(windows, self._blocks, rank, self.topic_id)
        size = len(writes.head[1])
        if size > topics.MAX_CHECKPOINT_BYTES:
            raise shares_checkpoint.SharesCheckpointError(
                f"the open windows have {size} bytes, the topic takes {topics.MAX_CHECKPOINT_BYTES}; "
                "lower the allowed lateness or the cube's limits"
            )
        await self.outlet.write_checkpoints(writes.blocks)
        await self.outlet.write_checkpoints([writes.head])
        await self.outlet.write_checkpoints([(key, None) for key in writes.obsolete])
        for event in done:
            event.ack()

    def status(self) -> dict[str, Any]:
        """Counters for the status file. `is_active` is false for an instance that stands by."""
        windows = self.windows
        status: dict[str, Any] = {"is_active": windows is not None, "lag_records": self.outlet.lag_records()}
        if windows is not None:
            status |= {
                "partial_rows_total": windows.partial_rows,
                "emitted_rows_total": self.emitted_rows,
                "final_windows_total": self.final_windows,
                "open_rows": len(windows.open_rows),
                "too_old_rows_total": windows.too_old_rows,
                "unreadable_records_total": windows.unreadable_records,
                "skipped_windows_total": windows.skipped_windows,
                "watermark_ms": windows.watermark_ms,
                "as_of_ms": windows.as_of_ms,
                "ring_bytes": sum(ring.size_bytes for ring in windows.rings.values()),
            }
        return status


def _apply_record(windows: GlobalWindows, message: Any, now_ms: int) -> None:
    """A record of the rollup topic. One that cannot be read must not stop all shares, as after an upgrade that
    changed the records: a report is passed over, since the next one says more, and partials count as missing."""
    partition, offset = message.partition, message.offset
    raw = message.headers or {}
    headers: dict[str, bytes] = dict(raw.items() if isinstance(raw, dict) else raw)
    kind = headers.get(HEADER_KIND)
    value: bytes = message.value or b""
    try:
        if kind == KIND_PROGRESS:
            windows.apply_progress(partition, offset, Progress.model_validate_json(value), now_ms)
        elif kind == KIND_PARTIALS and headers.get(HEADER_CUBE) == MODEL_CUBE.name.encode():
            table = decode_partials({MODEL_CUBE.name: MODEL_CUBE}, headers, value)[1]
            windows.apply_partials(partition, offset, table)
        else:
            windows.pass_over(partition, offset)
    except ValidationError as error:
        log.warning("%s[%d]@%d: unreadable report, passed over: %s", topics.ROLLUPS, partition, offset, error)
        windows.pass_over(partition, offset)
    except RollupRecordError as error:
        log.error(
            "%s[%d]@%d: unreadable partial sums; windows up to now get no final shares: %s",
            *(topics.ROLLUPS, partition, offset, error),
        )
        windows.miss(partition, offset)
