"""Kafka is away while gateways go on and die: what was acknowledged is stored once, after recovery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from end_to_end.harness import Stack, wait_until
from end_to_end.outage_emitter import MODEL

EVENTS_PER_S = 5_000
GATEWAYS = 4
TESTS = Path(__file__).parents[1]


class Gateways:
    """Emitting processes with one spool folder."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.spool = folder / "spool"
        self.journals = [folder / f"acknowledged-{number}" for number in range(GATEWAYS)]
        rate = str(EVENTS_PER_S // GATEWAYS)
        command = [sys.executable, "-m", "end_to_end.outage_emitter", stack.kafka, str(self.spool)]
        self.processes = [
            subprocess.Popen([*command, f"g{number}", rate, str(journal)], cwd=TESTS)
            for number, journal in enumerate(self.journals)
        ]

    def acknowledged(self, number: int) -> int:
        """How many events of a gateway, from its first on, are acknowledged. Half a last line counts for nothing."""
        journal = self.journals[number]
        lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
        return int(lines[-1]) if lines else 0

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(180)


def outage(stack: Stack, folder: Path, outage_s: float) -> dict[str, int]:
    """Stop Kafka for so long, kill two gateways meanwhile, end the outage with Kafka's own death, and count."""
    gateways = Gateways(stack, folder)
    kafka = stack.pid("kafka")
    try:
        wait_until(lambda: all(gateways.acknowledged(n) for n in range(GATEWAYS)), "the first acknowledgements", 120)
        os.kill(kafka, signal.SIGSTOP)
        stopped_s = time.monotonic()
        for number, share in ((0, 0.4), (1, 0.7)):
            before = gateways.acknowledged(number)
            wait_until(
                lambda until_s=stopped_s + share * outage_s: time.monotonic() >= until_s, "the time of the kill", 300
            )
            # Without Kafka only the spool acknowledges.
            wait_until(lambda n=number, b=before: gateways.acknowledged(n) > b, "a spooled event", 120)
            gateways.kill(number)
        wait_until(lambda: time.monotonic() >= stopped_s + outage_s, "the end of the outage", 300)
        spooled_bytes = sum(path.stat().st_size for path in gateways.spool.glob("*.spool"))
        # A stopped Kafka is killed, too: the supervisor starts another one on what is on its disk.
        stack.kill("kafka")
        seen = [gateways.acknowledged(n) for n in range(GATEWAYS)]
        wait_until(
            lambda: all(gateways.acknowledged(n) > seen[n] for n in (2, 3)), "acknowledgements after the outage", 180
        )
    finally:
        os.kill(kafka, signal.SIGCONT) if stack.pid("kafka") == kafka else None
        gateways.stop()
    assert [process.returncode for process in gateways.processes] == [-signal.SIGKILL, -signal.SIGKILL, 0, 0]
    stack.run("spool", "drain", str(gateways.spool))
    assert not list(gateways.spool.glob("*.spool"))
    stack.verify()
    acknowledged = [gateways.acknowledged(number) for number in range(GATEWAYS)]
    missing = 0
    for number, count in enumerate(acknowledged):
        missing += count - stack.value(
            f"SELECT uniqExact(request_id) FROM events WHERE model = '{MODEL}' AND gateway = 'g{number}' "
            f"AND toUInt64(splitByChar('-', request_id)[2]) < {count}"
        )
    stored, different = stack.rows(f"SELECT count(), uniqExact(request_id) FROM events WHERE model = '{MODEL}'")[0]
    return {
        "acknowledged": sum(acknowledged),
        "missing": missing,
        "stored": stored,
        "stored_twice": stored - different,
        "spooled_bytes": spooled_bytes,
    }


@pytest.mark.embedded
@pytest.mark.slow
def test_what_was_acknowledged_in_a_short_outage_is_stored_once(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack:
        counts = outage(stack, tmp_path, 10)
    assert (counts["missing"], counts["stored_twice"]) == (0, 0), counts
    assert counts["stored"] >= counts["acknowledged"] > 10 * EVENTS_PER_S / 2 and counts["spooled_bytes"] > 0, counts


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_was_acknowledged_in_a_minutes_outage_is_stored_once(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack:
        counts = outage(stack, tmp_path, 60)
    sys.stdout.write(f"\n{counts}\n")  # shown by pytest -s
    assert (counts["missing"], counts["stored_twice"]) == (0, 0), counts
    assert counts["stored"] >= counts["acknowledged"] > 60 * EVENTS_PER_S / 2 and counts["spooled_bytes"] > 0, counts
