"""A cube of one's own exists end to end, and may be added and removed while checkpoints are there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.end_to_end.harness import Stack, wait_until

pytestmark = pytest.mark.long

TEAM = '[[cube]]\nname = "team"\ndimensions = ["tenant", "latency_ms_bucket"]\ntiers = [3600]\nemit_interval_s = 2\n'
ADDED = '[[cube]]\nname = "language"\ndimensions = ["language", "category"]\n'


@pytest.mark.timeout(900)
def test_a_cube_of_ones_own_is_rolled_up_verified_joined_by_another_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cubes = tmp_path / "cubes.toml"
    cubes.write_text(TEAM)
    monkeypatch.setenv("TOKENTIDE_CUBES_FILE", str(cubes))
    with Stack(tmp_path / "data", "--demo", "--rate", "300") as stack:
        wait_until(lambda: stack.value("SELECT sum(requests) FROM rollup_team_1m") > 1_000, "rows of the cube")
        wait_until(lambda: stack.value("SELECT sum(requests) FROM rollup_team_1h") > 1_000, "rows of its hours")
        verified = stack.run("verify")
        assert "cube team_1h:" in verified.stdout and "everything is accounted for" in verified.stdout

    cubes.write_text(TEAM + ADDED)
    with Stack(tmp_path / "data", "--demo", "--rate", "300") as stack:
        assert "nothing to do" in stack.run("migrate").stdout
        before = stack.value("SELECT sum(requests) FROM rollup_1m")
        wait_until(lambda: stack.value("SELECT sum(requests) FROM rollup_1m") > before + 1_000, "new rows")
        wait_until(
            lambda: stack.value("SELECT uniqExact(partition) FROM stream_coverage WHERE cube = 'language'") == 4,
            "where the new cube begins",
        )
        assert stack.value("SELECT count() FROM rollup_language_1m") == 0
        stack.run("verify")

    cubes.write_text(ADDED)
    with Stack(tmp_path / "data") as stack:
        verified = stack.run("verify")
        assert "cube team" not in verified.stdout
        cubes.write_text('[[cube]]\nname = "language"\ndimensions = ["language"]\n')
        refused = stack.run("migrate", "--dry-run", check=False)
        assert refused.returncode == 1
        assert "cube language: table rollup_language_partials has the columns" in refused.stderr
