"""`tokentide up --demo --scenario`: what is offered is what the simulator has."""

import pytest
from typer.testing import CliRunner

from tokentide_deploy.cli import app
from tokentide_deploy.commands import up
from tokentide_producers import demo_scenarios


def test_the_offered_scenarios_are_the_simulators() -> None:
    assert up.SCENARIOS == demo_scenarios.SCENARIOS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--demo", "--scenario", "fire"], "outage"), (["--scenario", "launch"], "--demo")],
)
def test_a_scenario_that_cannot_be_is_refused_before_anything_starts(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["up", *arguments])
    assert result.exit_code == 2
    assert said in result.output
