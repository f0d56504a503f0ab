"""A short run of the decoder's fuzzer in its own processes, and proof that it notices what it looks for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tokentide_schemas.envelope import Envelope, Record, decode

from . import fuzz_envelope

FUZZER = Path(__file__).parent / "fuzz_envelope.py"


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([sys.executable, str(FUZZER), *arguments], capture_output=True, text=True)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def test_mutated_envelopes_are_refused_or_accepted_and_always_accounted_for() -> None:
    status, report = run("--cases", "5000", "--seed", "20260131", "--processes", "2")
    assert (status, report["findings"], report["cases"]) == (0, [], 5_000)
    # A fuzzer whose inputs are all refused at the door tests the door only.
    assert report["outcomes"]["accepted"] > 50
    assert report["outcomes"]["partly accepted"] > 50
    assert sum(name.startswith("refused") for name in report["outcomes"]) > 8


def test_a_case_is_the_same_whenever_it_is_made() -> None:
    seeds = fuzz_envelope.seeds()
    assert fuzz_envelope.case(3, 17, seeds) == fuzz_envelope.case(3, 17, fuzz_envelope.seeds())
    assert fuzz_envelope.case(3, 17, seeds) != fuzz_envelope.case(3, 18, seeds)


def test_every_seed_without_mutation_is_accounted_for() -> None:
    seeds = fuzz_envelope.seeds()
    whole = decode(Record(9, 0, fuzz_envelope.APPENDED_AT_MS, seeds[0][0], {}))
    became = [
        fuzz_envelope.check(Record(0, 0, fuzz_envelope.APPENDED_AT_MS, value, headers), whole)
        for value, headers in seeds
    ]
    # The compressed stream, the one without an event's column and the nested columns are there to be refused.
    assert [number for number, what in enumerate(became) if what != "accepted"] == [5, 7, 8], became
    assert became.count("accepted") == len(seeds) - 3


def test_an_event_that_disappears_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    good = fuzz_envelope.seeds()[0][0]
    whole = decode(Record(9, 0, fuzz_envelope.APPENDED_AT_MS, good, {}))
    monkeypatch.setattr(fuzz_envelope, "decode", lambda record: Envelope(record, None, 3))
    with pytest.raises(AssertionError, match="neither stored nor refused"):
        fuzz_envelope.check(Record(0, 0, fuzz_envelope.APPENDED_AT_MS, good, {}), whole)


def test_a_process_that_dies_is_a_finding_and_names_its_case() -> None:
    status, report = run("--cases", "40", "--processes", "2", "--kill-at", "7")
    assert status == 1
    assert report["findings"] == [f"case 7: the process ended with {-signal.SIGSEGV}"]
    assert report["cases"] == 20, "the other process did its half"
