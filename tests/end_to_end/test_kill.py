"""kill -9 of each part under load: nothing that was acknowledged is lost, nothing is counted twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from end_to_end.harness import Stack, wait_until
from tokentide_producers.emitter import Emitter

EVENTS_PER_S = 4_000
MODEL = "kill-test/model"


class Load:
    """A gateway that emits steadily from a thread, and knows what it has emitted."""

    def __init__(self, stack: Stack) -> None:
        self.emitter = Emitter(stack.kafka, gateway="kill-test")
        self.emitted = 0
        self.tokens = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.is_set():
            while self.emitted < (time.monotonic() - started) * EVENTS_PER_S:
                tokens = self.emitted % 1000
                result = self.emitter.emit(
                    request_model=MODEL,
                    model=MODEL,
                    provider=f"provider-{self.emitted % 3}",
                    category=("programming", "roleplay", "science")[self.emitted % 3],
                    input_uncached_tokens=tokens,
                    output_tokens=1,
                    usage_reported=True,
                    outcome="ok",
                )
                assert result, result
                self.emitted += 1
                self.tokens += tokens + 1
            self._stop.wait(0.02)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.emitter.flush(90), self.emitter.stats()
        self.emitter.close()


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("breakable")) as running:
        yield running


@pytest.mark.embedded
@pytest.mark.slow
def test_every_part_can_be_killed_under_load_and_every_acknowledged_event_is_counted_once(breakable: Stack) -> None:
    stored = f"SELECT count() FROM events WHERE model = '{MODEL}'"
    with Load(breakable) as load:
        wait_until(lambda: breakable.value(stored) > 0, "the first events")
        for component in ("stream", "events-sink", "rollups-sink", "store", "kafka"):
            breakable.kill(component)
            _wait_for_more(breakable, stored, load.emitted, f"events from after the kill of {component}")
    report = breakable.verify()
    assert load.emitter.stats().acknowledged == load.emitted
    assert breakable.value(stored) == load.emitted
    requests, tokens = breakable.rows(
        f"SELECT sum(requests), sum(total_tokens) FROM rollup_1m WHERE model = '{MODEL}'"
    )[0]
    assert (requests, tokens) == (load.emitted, load.tokens)
    assert report["cubes"]["model"] >= 1


def _wait_for_more(stack: Stack, sql: str, count: int, what: str) -> None:
    wait_until(lambda: _answers(stack, sql) > count, what, 120)


def _answers(stack: Stack, sql: str) -> int:
    """The value, or -1 while the store is away."""
    try:
        return int(stack.value(sql))
    except Exception as error:  # noqa: BLE001 - any client error means: not yet back
        stack._client = None
        assert "UNKNOWN_TABLE" not in str(error)
        return -1
