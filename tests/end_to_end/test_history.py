"""The study's thirteen months through a real stack: what was published comes back from the stored rollups."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from end_to_end.harness import TOKENTIDE, Stack

pytestmark = pytest.mark.long

EVENTS = 100_000


@pytest.mark.timeout(1_500)
def test_the_published_numbers_come_back_through_the_whole_pipeline_and_nothing_is_loaded_twice(tmp_path: Path) -> None:
    with Stack(tmp_path / "data") as stack:
        before = stack.run("demo", "check", check=False)
        assert before.returncode == 1 and "run tokentide demo load" in before.stderr

        folder = ("--data-dir", str(stack.data_dir))
        loaded = subprocess.run(
            [*TOKENTIDE, "demo", "load", "--events", str(EVENTS), "--end", "study", "--format", "json", *folder],
            capture_output=True,
            text=True,
            timeout=1_000,
        )
        assert loaded.stdout, loaded.stderr
        document = json.loads(loaded.stdout)
        assert [row for row in document["checks"] if not row["holds"] or row["skipped"]] == []
        assert loaded.returncode == 0
        assert len(document["checks"]) > 70
        assert document["history"]["events"] == EVENTS and document["history"]["state"] == "loaded"

        assert stack.rows("SELECT count(), uniqExact(event_id) FROM usage") == [(EVENTS, EVENTS)]
        for view in ("rollup_1m", "rollup_1h", "rollup_1d", "rollup_geography_1d"):
            assert stack.value(f"SELECT sum(requests) FROM {view}") == EVENTS, view
        assert stack.value("SELECT sum(late_requests) FROM rollup_1d") == 0
        assert stack.value("SELECT uniqExact(month) FROM user_months") == 13

        again = stack.run("demo", "load", "--events", str(EVENTS), check=False)
        assert again.returncode == 1 and "A history is loaded already (100,000 events, 2024-11-03" in again.stderr
        assert stack.value("SELECT sum(requests) FROM rollup_1d") == EVENTS
        stack.verify()

        checked = json.loads(stack.run("demo", "check", "--format", "json").stdout)["checks"]
        assert {row["id"] for row in checked} == {row["id"] for row in document["checks"]}


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    nobody = Stack(tmp_path / "data")
    for command in ("load", "check"):
        result = nobody.run("demo", command, check=False)
        assert result.returncode == 5 and "Start one with: tokentide up" in result.stderr
