"""A user's own cubes: read, checked as a whole, and told what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokentide_schemas.cube_file import CubeFileError, load_cubes
from tokentide_schemas.cubes import CUBES, stored_cubes


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cubes.toml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(CubeFileError) as raised:
        load_cubes(written(tmp_path, text))
    first, *rest = str(raised.value).splitlines()
    assert "cubes.toml" in first
    return [line.strip() for line in rest] or [first]


def test_without_a_file_there_are_the_shipped_cubes() -> None:
    assert load_cubes(None) == CUBES


def test_shipped_names_are_unique_with_their_tiers_and_views() -> None:
    names = [cube.name for cube in stored_cubes(CUBES)] + [name for cube in CUBES for name in cube.views]
    assert len(set(names)) == len(names)


def test_a_cube_of_ones_own_comes_after_the_shipped_ones(tmp_path: Path) -> None:
    text = (
        '[[cube]]\nname = "team"\ndimensions = ["tenant", "latency_ms_bucket"]\ntiers = [3600]\nlimits = {tenant = 9}'
    )
    *shipped, own = load_cubes(written(tmp_path, text))
    assert tuple(shipped) == CUBES
    assert (own.name, own.guarded, list(own.views)) == ("team", {"tenant": 9}, ["rollup_team_1m", "rollup_team_1h"])


def test_all_problems_come_at_once_with_cube_key_and_suggestion(tmp_path: Path) -> None:
    text = """
    [[cube]]
    name = "Team"
    dimensions = ["tenent", "app"]
    window_s = 7
    limits = { model = 5 }
    [[cube]]
    dimension = ["app"]
    [[cube]]
    name = "app"
    dimensions = ["app"]
    """
    found = problems(tmp_path, text)
    assert "cube 1 (Team): name: use lower-case letters, digits and _, a letter first, at most 32" in found
    assert "cube 1 (Team): dimensions: 'tenent' is not known; did you mean 'tenant'?" in found
    assert "cube 1 (Team): window_s: must divide a day (86400 s)" in found
    assert "cube 1 (Team): limits: 'model' is not a label dimension of this cube" in found
    assert "cube 2 (without name): 'dimension' is not known; did you mean 'dimensions'?" in found
    assert "cube 2 (without name): name is missing" in found
    assert any(line.startswith("cube app: name: clashes with cube app") for line in found)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tiers = [90]", "tiers: each must be a multiple of window_s"),
        ("tiers = [3600, 3600]", "tiers: give each once"),
        ("tiers = 3600", "tiers: must be a list of whole numbers of seconds"),
        ("emit_interval_s = 0", "emit_interval_s: must be over 0"),
        ('emit_interval_s = "1"', "emit_interval_s: must be a number of seconds"),
        ("window_s = true", "window_s: must be a whole number"),
        ("limits = {app = 0}", "limits: app must be 1 to 1000000"),
        ("limits = [1]", "limits: must be a table"),
        ('measures = ["output_tokens"]', "measures: requests must be among them"),
        ('measures = ["requests", "outputs"]', "measures: 'outputs' is not known"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, line: str, said: str) -> None:
    assert said in problems(tmp_path, f'[[cube]]\nname = "team"\ndimensions = ["app"]\n{line}')[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[cube]", "not TOML"),
        ('[cube]\nname = "x"', "write each cube as [[cube]]"),
        ("[[cubes]]", "'cubes' is not known; did you mean 'cube'?"),
        ('[[cube]]\nname = "model_1h"\ndimensions = ["app"]', "clashes with cube model"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, said: str) -> None:
    assert any(said in line for line in problems(tmp_path, text))


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(CubeFileError, match=r"nowhere\.toml: cannot be read.*TOKENTIDE_CUBES_FILE"):
        load_cubes(tmp_path / "nowhere.toml")
