"""A broker, a consumer group and workers that can die between any two durable writes, all in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.stream.worlds import CUBES, World

from tokentide_schemas.envelope import Record
from tokentide_stream import checkpoint_parts
from tokentide_stream.settings import StreamSettings
from tokentide_stream.worker import RollupWorker

EPOCH = "epoch-1"
EMIT_INTERVAL_S = 1.0
CHECKPOINT_INTERVAL_S = 3.0


class CrashError(Exception):
    """The process is gone."""


@dataclass
class Broker:
    """What survives crashes. committed: next offset of each partition, as the group's owner acknowledged it."""

    world: World
    committed: dict[int, int] = field(default_factory=dict)
    checkpoints: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    rollups: dict[int, list[tuple[dict[str, bytes], bytes]]] = field(default_factory=dict)
    owner: dict[int, Member] = field(default_factory=dict)

    def furthest_checkpoint(self, partition: int, epoch: str = EPOCH) -> int:
        return checkpoint_parts.furthest(self.checkpoints.get(partition, {}), epoch).applied_offset


class Outlet:
    """The worker's outlet with a fuse: after `fuse` durable writes the process dies, before or after the next one."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.fuse: int | None = None
        self.write_before_death = False
        self.dead = False

    def _durable(self, write: Any) -> None:
        if self.dead:
            raise CrashError
        if self.fuse == 0:
            self.dead = True
            if self.write_before_death:
                write()
            raise CrashError
        if self.fuse is not None:
            self.fuse -= 1
        write()

    async def send_rollups(self, partition: int, records: Sequence[tuple[list[tuple[str, bytes]], bytes]]) -> None:
        for headers, value in records:
            log = self.broker.rollups.setdefault(partition, [])
            self._durable(lambda log=log, row=(dict(headers), value): log.append(row))
            await asyncio.sleep(0)

    async def write_checkpoint(self, partition: int, key: bytes, value: bytes | None) -> None:
        table = self.broker.checkpoints.setdefault(partition, {})
        self._durable(lambda: table.pop(key, None) if value is None else table.__setitem__(key, value))
        await asyncio.sleep(0)

    def checkpoints(self, partition: int) -> dict[bytes, bytes]:
        return dict(self.broker.checkpoints.get(partition, {}))

    def next_record(self, partition: int, offset: int) -> int | None:
        offsets = [record.offset for record in self.broker.world.partitions[partition].records]
        return min((found for found in offsets if found >= offset), default=None)

    def end_offset(self, partition: int) -> int:
        records = self.broker.world.partitions[partition].records
        return records[-1].offset + 1 if records else 0


class Event:
    """A delivered record. Its acknowledgement must come after a checkpoint that includes it."""

    def __init__(self, member: Member, record: Record) -> None:
        self.member = member
        self.offset = record.offset
        self.message = SimpleNamespace(
            partition=record.partition,
            offset=record.offset,
            timestamp=record.appended_at_ms / 1000,
            value=record.value,
            headers=record.headers,
        )

    def ack(self) -> None:
        partition = self.message.partition
        broker = self.member.broker
        self.member.outlet._durable(lambda: self.member.acknowledged.setdefault(partition, set()).add(self.offset))
        furthest = broker.furthest_checkpoint(partition, self.member.worker.epoch)
        assert furthest >= self.offset, "acknowledged before a checkpoint includes it"
        self.member.commit(partition)


class Member:
    """One process of the group: a worker and what it was given to read."""

    def __init__(self, broker: Broker, settings: StreamSettings, clock: Any) -> None:
        self.broker = broker
        self.outlet = Outlet(broker)
        self.worker = RollupWorker(settings, CUBES, EPOCH, self.outlet, clock)
        self.positions: dict[int, int] = {}
        self.acknowledged: dict[int, set[int]] = {}

    def assign(self, partition: int, rewind: int) -> None:
        """Become the owner: read from the committed offset, or from further back."""
        # A member that still held the partition from before was told in the same rebalance that it had lost it.
        self.worker.drop([partition])
        self.broker.owner[partition] = self
        self.acknowledged[partition] = set()
        records = self.broker.world.partitions[partition].records
        done = sum(record.offset < self.broker.committed.get(partition, 0) for record in records)
        self.positions[partition] = max(0, done - rewind)

    def revoke(self, partition: int) -> None:
        self.worker.drop([partition])
        self.positions.pop(partition, None)

    def commit(self, partition: int) -> None:
        """Commit the unbroken run of acknowledged offsets; the group refuses it from anyone but the owner."""
        if self.broker.owner.get(partition) is not self:
            return
        committed = self.broker.committed.get(partition, 0)
        for record in self.broker.world.partitions[partition].records:
            if record.offset >= committed:
                if record.offset not in self.acknowledged[partition]:
                    break
                committed = record.offset + 1
        self.broker.committed[partition] = committed

    async def read(self, partition: int, count: int) -> None:
        if partition not in self.positions:
            return
        records = self.broker.world.partitions[partition].records
        for record in records[self.positions[partition] :][:count]:
            self.positions[partition] += 1
            await self.worker.receive(Event(self, record))
            if partition not in self.positions:
                return


class Cluster:
    """Two members at most share the partitions; a dead one is replaced at once by a new incarnation."""

    def __init__(self, world: World) -> None:
        self.broker = Broker(world)
        self.now_s = 1_790_000_000.0
        self.settings = StreamSettings(
            kafka_bootstrap_servers="unused:0",
            stream_allowed_lateness_s=world.lateness_s,
            stream_batch_records=3,
            stream_emit_interval_s=EMIT_INTERVAL_S,
            stream_checkpoint_interval_s=CHECKPOINT_INTERVAL_S,
        )
        self.members = [self._member(), self._member()]
        for log in world.partitions:
            self.members[log.number % 2].assign(log.number, 0)
        self.crashes = 0

    def _member(self) -> Member:
        return Member(self.broker, self.settings, lambda: self.now_s)

    async def survive(self, index: int, work: Any, rewind: int) -> None:
        """Let a member work; when it dies in it, a new incarnation takes over what it owned."""
        member = self.members[index]
        try:
            await work
        except CrashError:
            self.replace(index, rewind)
        else:
            assert not member.outlet.dead

    def replace(self, index: int, rewind: int) -> None:
        self.crashes += 1
        dead = self.members[index]
        dead.outlet.dead = True
        self.members[index] = self._member()
        for partition, owner in list(self.broker.owner.items()):
            if owner is dead:
                self.members[index].assign(partition, rewind)

    async def step(self, kind: str, index: int, partition: int, amount: int) -> None:
        partition %= len(self.broker.world.partitions)
        member = self.members[index]
        if kind == "read":
            owner = self.members.index(self.broker.owner[partition])
            await self.survive(owner, self.members[owner].read(partition, amount // 2 + 1), amount)
        elif kind == "read on":
            # Often not the owner: one that hung, or one that has never had the partition.
            await self.survive(index, member.read(partition, amount // 2 + 1), amount)
        elif kind == "tick":
            self.now_s += (0.5, EMIT_INTERVAL_S, CHECKPOINT_INTERVAL_S, CHECKPOINT_INTERVAL_S)[amount % 4]
            await self.survive(index, member.worker.step(), amount)
        elif kind == "finish":
            await self.survive(index, member.worker.finish(), amount)
        elif kind == "fuse":
            member.outlet.fuse, member.outlet.write_before_death = amount // 2, amount % 2 == 1
        elif kind == "kill":
            self.replace(index, amount)
        elif kind in ("move", "steal"):
            if kind == "move":
                self.broker.owner[partition].revoke(partition)
            # Stolen: the old owner hangs, believes that it still has the partition, and goes on with it.
            self.members[index].assign(partition, amount)

    async def complete(self) -> None:
        """The faults stop; the owners read to the end and stop cleanly."""
        for member in self.members:
            member.outlet.fuse = None
        for partition, owner in self.broker.owner.items():
            await owner.read(partition, len(self.broker.world.partitions[partition].records))
        for member in self.members:
            await member.worker.finish()
