"""Random worlds through the pure core: whatever the batches, crashes and rebalances, the rows are the oracle's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from tests.stream.oracle import account, plain, without_segments
from tests.stream.replacing import ReplacingTable, rows_of
from tests.stream.worlds import CUBES, GROUPINGS, PartitionLog, World, cases, partition_logs, worlds

from tokentide_stream import checkpoint
from tokentide_stream.partition import Changes, PartitionState

KINDS = {
    "apply": 3,
    "flush": 2,
    "checkpoint": 3,
    "crash": 2,
    "crash in flush": 1,
    "read again": 1,
    "read twice": 1,
    "rebalance": 1,
    "zombie": 1,
    "zombie checkpoint": 1,
}
STEPS = st.lists(
    st.tuples(st.sampled_from([kind for kind, weight in KINDS.items() for _ in range(weight)]), st.integers(0, 4)),
    min_size=4,
    max_size=14,
)


@dataclass
class Replica:
    """One worker's copy of a partition: its state and where it reads next (an index into the log)."""

    state: PartitionState
    position: int = 0


@dataclass
class Simulation:
    """One partition's life. `emitted` holds flushes in the order in which they were made."""

    log: PartitionLog
    lateness_s: int
    emitted: list[Changes] = field(default_factory=list)
    durable: dict[str, bytes] = field(default_factory=dict)
    zombies: list[Replica] = field(default_factory=list)
    incarnations: int = 0

    def __post_init__(self) -> None:
        self.replica = self.recovered(0)

    def recovered(self, rewind: int) -> Replica:
        """A new incarnation: state of the furthest checkpoint, reading from what follows it or from further back."""
        self.incarnations += 1
        best = max(self.durable.values(), key=lambda value: checkpoint.peek(value)[1], default=None)
        state = (
            PartitionState(CUBES, self.lateness_s) if best is None else checkpoint.load(best, CUBES, self.lateness_s)
        )
        included = sum(record.offset <= state.applied_offset for record in self.log.records)
        return Replica(state, max(0, included - rewind))

    def apply(self, replica: Replica, count: int, again: int = 0) -> None:
        """Read `count` records, the last `again` of those before once more in the same batch."""
        start = max(0, replica.position - again)
        replica.position = min(len(self.log.records), replica.position + count)
        replica.state.apply(self.log.records[start : replica.position])

    def flush(self, replica: Replica) -> None:
        self.emitted.append(replica.state.flush())

    def write_checkpoint(self, replica: Replica, key: str) -> None:
        """Rows first, then the checkpoint."""
        self.flush(replica)
        self.durable[key] = checkpoint.dump(replica.state, "epoch")

    def step(self, kind: str, amount: int) -> None:
        if kind == "apply":
            self.apply(self.replica, amount // 2 + 1)
        elif kind == "flush":
            self.flush(self.replica)
        elif kind == "checkpoint":
            self.write_checkpoint(self.replica, f"worker {self.incarnations}")
        elif kind == "crash":
            self.replica = self.recovered(amount)
        elif kind == "crash in flush":
            # The rows were made but never left the process.
            self.replica.state.flush()
            self.replica = self.recovered(amount)
        elif kind == "read again":
            self.apply(self.replica, amount, again=amount + 1)
        elif kind == "read twice":
            start = self.replica.position
            self.replica.position = min(len(self.log.records), start + amount)
            batch = self.log.records[start : self.replica.position]
            self.replica.state.apply([*batch, *batch])
        elif kind == "rebalance":
            self.zombies.append(self.replica)
            self.replica = self.recovered(amount)
        elif kind.startswith("zombie") and self.zombies:
            zombie = self.zombies[amount % len(self.zombies)]
            self.apply(zombie, amount)
            if kind == "zombie":
                self.flush(zombie)
            else:
                self.write_checkpoint(zombie, f"zombie {amount}")

    def finish(self) -> None:
        self.apply(self.replica, len(self.log.records))
        self.flush(self.replica)


def stored(emitted: Sequence[Changes]) -> dict[str, ReplacingTable]:
    tables = {cube.name: ReplacingTable() for cube in CUBES}
    for changes in emitted:
        for cube in CUBES:
            if cube.name in changes.rows:
                for key, values in rows_of(changes.rows[cube.name], cube.dimensions):
                    tables[cube.name].insert(key, changes.version, values)
    return tables


@cases(150)
@given(worlds(), st.data())
def test_newest_rows_equal_the_oracle_through_crashes_rebalances_and_zombies(world: World, data: st.DataObject) -> None:
    found: dict[str, list] = {cube.name: [] for cube in CUBES}
    expected: dict[str, list] = {cube.name: [] for cube in CUBES}
    for log in world.partitions:
        simulation = Simulation(log, world.lateness_s)
        for kind, amount in data.draw(STEPS, label=f"life of partition {log.number}"):
            simulation.step(kind, amount)
        simulation.finish()
        arrivals = list(simulation.emitted)
        random.Random(data.draw(st.integers(0, 999), label="order of arrival")).shuffle(arrivals)
        truth = account(log.facts, GROUPINGS, world.lateness_s)
        for name, table in stored(arrivals).items():
            table.assert_versions_never_decrease()
            assert table.final() == plain(truth.totals[name])
            found[name].append(table.final())
            expected[name].append(truth.totals[name])
        state = simulation.replica.state
        assert state.watermark_ms == truth.watermark_ms
        assert state.applied_events == truth.accepted
        assert state.late_events == truth.late_in_any
        assert state.duplicate_envelopes == len(truth.duplicate_offsets)
    for cube in CUBES:
        assert without_segments(found[cube.name]) == without_segments(expected[cube.name])


@cases(60)
@given(partition_logs(0, max_records=12), st.sampled_from([0, 60, 3_600]), st.data())
def test_any_two_batchings_of_a_log_give_the_same_final_rows(
    log: PartitionLog, lateness_s: int, data: st.DataObject
) -> None:
    finals, states = [], []
    for attempt in ("first", "second"):
        state = PartitionState(CUBES, lateness_s)
        emitted = []
        position = 0
        while position < len(log.records):
            count, flush = data.draw(st.tuples(st.integers(1, 5), st.booleans()), label=f"{attempt} batching")
            state.apply(log.records[position : position + count])
            position += count
            if flush:
                emitted.append(state.flush())
        emitted.append(state.flush())
        finals.append({name: table.final() for name, table in stored(emitted).items()})
        states.append((state.watermark_ms, state.applied_offset, state.late_events, state.seen.dump()))
        # What is kept in memory is a function of the log, too: it is what a checkpoint would hold.
        states[-1] += ({c.name: dict(rows_of(state.open_rows()[c.name], c.dimensions)) for c in CUBES},)
    assert finals[0] == finals[1]
    assert states[0] == states[1]
