"""A short campaign: `make chaos` runs the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.campaign import Campaign
from chaos.workers import WorkersRun

pytestmark = pytest.mark.long


@pytest.mark.embedded
@pytest.mark.slow
def test_a_dozen_faults_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    outcome = Campaign(tmp_path / "run", seed=12, events_per_s=500, per_round=6, say=print).run(12)
    assert outcome.problems == ()
    assert (outcome.faults, outcome.rounds) == (12, 2)
    assert outcome.stored > 500


@pytest.mark.embedded
@pytest.mark.slow
def test_without_deduplication_the_same_campaign_fails(tmp_path: Path) -> None:
    campaign = Campaign(
        tmp_path / "run",
        seed=1,
        events_per_s=500,
        per_round=4,
        only="500 after the insert",
        sink_module="chaos.sink_without_dedup",
        say=print,
    )
    outcome = campaign.run(8)
    assert not outcome.holds
    assert max(tally.doubled for tally in outcome.tallies.values()) > 0


@pytest.mark.embedded
@pytest.mark.long
def test_workers_that_are_killed_and_scaled_leave_no_difference(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    result = WorkersRun(tmp_path / "run", 1, events=60_000, rate=2_000, kill_every_s=8, say=print).run()
    assert result.findings == []
    assert result.sent == result.stored == result.rolled_up == 60_000
    assert result.kills >= 1
    assert result.scalings == 2
    assert all(windows >= 1 for windows in result.cubes.values())
