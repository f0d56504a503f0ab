"""Whatever is imported in whatever order, and wherever it is killed: each row counts once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokentide_producers.importing.deciding import RESEND_WITHIN_MS, Pending, decide_pending, divide
from tokentide_producers.importing.events import Event, key_of
from tokentide_producers.importing.ledger import Ledger, LedgerError
from tokentide_producers.outgoing import OutgoingEnvelope, Placement
from tokentide_schemas.identity import DAY_MS, HORIZON_DAYS, SeenEnvelopes


def event(number: int) -> Event:
    return Event(key_of("test", str(number)), 1_000 + number, {})


numbers = st.lists(st.integers(0, 20), max_size=12)


@given(numbers, st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_a_block_is_divided_into_what_is_new_and_what_is_known_without_losing_or_doubling_a_row(
    block: list[int], in_ledger: set[int], in_store: set[int]
) -> None:
    division = divide([event(n) for n in block], {event(n).key for n in in_ledger}, {event(n).key for n in in_store})
    fresh = [one.occurred_ms - 1_000 for one in division.fresh]
    assert fresh == [n for n in dict.fromkeys(block) if n not in in_ledger and n not in in_store]
    assert len(fresh) + division.repeated + division.in_store == len(block)
    assert division.in_store == sum(n in in_store and n not in in_ledger for n in block)


class KilledError(Exception):
    """The process ends here."""


class Pipeline:
    """Kafka and its readers: each record that came in is counted, unless its identity is known (the readers' code)."""

    def __init__(self) -> None:
        self.counted: Counter[bytes] = Counter()
        self._seen: dict[int, SeenEnvelopes] = {}

    def receive(self, envelope: OutgoingEnvelope, now_ms: int) -> None:
        seen = self._seen.setdefault(envelope.partition, SeenEnvelopes())
        if seen.admit(envelope.producer_id, envelope.sequence, now_ms):
            value = envelope.value
            self.counted.update(value[i : i + 16] for i in range(0, len(value), 16))


RUN = st.tuples(
    st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=5),
    st.sampled_from(["", "", "before journal", "journaled", "half sent", "sent", "half acknowledged"]),
    st.integers(0, 4),
    st.integers(0, RESEND_WITHIN_MS // 4),
)


@settings(max_examples=20, deadline=None)
@given(st.lists(RUN, min_size=1, max_size=4))
def test_killed_anywhere_and_run_again_each_row_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[list[list[int]], str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    pipeline, now_ms, wanted = Pipeline(), 1_000_000, set()
    # After the killed runs everything is imported once more without a fault.
    everything = [block for run in runs for block in run[0]]
    for number, (blocks, fault, at_block, pause_ms) in enumerate([*runs, (everything, "", 0, 0)]):
        wanted.update(n for block in blocks for n in block)
        with Ledger(path, "cluster") as ledger, contextlib.suppress(KilledError):
            run_once(ledger, pipeline, f"run-{number}", blocks, fault, at_block, now_ms)
        now_ms += pause_ms
    assert pipeline.counted == Counter(event(n).key for n in wanted)


def run_once(
    ledger: Ledger, pipeline: Pipeline, producer: str, blocks: list[list[int]], fault: str, at_block: int, now_ms: int
) -> None:
    """An import in the order that `Delivery` keeps, ended at a place of choice."""
    placement = Placement(3, 1)
    for pending in ledger.pending():
        assert decide_pending(pending.journaled_at_ms, now_ms, None) is Pending.SEND
        pipeline.receive(pending.envelope, now_ms)
        ledger.acknowledge([pending.envelope], now_ms)
    for number, block in enumerate(blocks):
        events = [event(n) for n in block]
        fresh = divide(events, ledger.known([one.key for one in events]), ()).fresh
        made = []
        for start in range(0, len(fresh), 3):
            keys = [one.key for one in fresh[start : start + 3]]
            envelope = OutgoingEnvelope(b"".join(keys), len(keys), 0, 0, producer)
            placement.place(envelope)
            made.append((envelope, keys))

        def stop_at(place: str, here: int = number) -> None:
            if fault == place and here == at_block:
                raise KilledError

        steps: list[Callable[[], None]] = [lambda e=e: pipeline.receive(e, now_ms) for e, _ in made]  # type: ignore[misc]
        stop_at("before journal")
        ledger.journal(made, now_ms)
        stop_at("journaled")
        for step in steps[: len(steps) // 2]:
            step()
        stop_at("half sent")
        for step in steps[len(steps) // 2 :]:
            step()
        stop_at("sent")
        ledger.acknowledge([e for e, _ in made[: len(made) // 2]], now_ms)
        stop_at("half acknowledged")
        ledger.acknowledge([e for e, _ in made], now_ms)


def test_what_is_too_old_to_be_recognised_is_decided_by_the_store() -> None:
    assert RESEND_WITHIN_MS < HORIZON_DAYS * DAY_MS
    assert decide_pending(0, RESEND_WITHIN_MS, None) is Pending.SEND
    assert decide_pending(0, RESEND_WITHIN_MS + 1, None) is Pending.ASK_THE_STORE
    assert decide_pending(0, RESEND_WITHIN_MS + 1, True) is Pending.SETTLED
    assert decide_pending(0, RESEND_WITHIN_MS + 1, False) is Pending.SEND


def test_a_journal_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite", "cluster") as ledger:
        key = event(1).key
        first, second = (OutgoingEnvelope(b"x", 1, 0, 0, "p", 0, n) for n in (0, 1))
        with pytest.raises(Exception, match="UNIQUE"):
            ledger.journal([(first, [key]), (second, [key])], 0)
        assert ledger.totals().envelopes == 0
        assert ledger.known([key]) == set()


def test_a_ledger_of_another_cluster_or_in_use_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path, "one"), pytest.raises(LedgerError, match="another tokentide import uses the ledger"):
        Ledger(path, "one")
    with pytest.raises(LedgerError, match="belongs to the Kafka cluster one"):
        Ledger(path, "two")
    with Ledger(path, "one") as again:
        assert again.totals().rows == 0
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"this is no database" * 100)
    with pytest.raises(LedgerError, match="damaged or no ledger"):
        Ledger(damaged, "one")


def test_equal_rows_of_one_file_are_numbered_and_each_file_begins_anew(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite", "one") as ledger:
        ledger.begin_source()
        assert [ledger.occurrence(content) for content in ("a", "b", "a", "a")] == [1, 1, 2, 3]
        ledger.begin_source()
        assert ledger.occurrence("a") == 1
