"""`tokentide config`, the list of all variables, and the committed reference."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import typer
from click.testing import CliRunner, Result

from tokentide_deploy.cli import COMMANDS, OPTION_VARIABLES, _load
from tokentide_deploy.config.generate import generated
from tokentide_deploy.config.variables import TEST_VARIABLES, all_variables

ROOT = Path(__file__).parents[2]
SECRET = "s3cret-that-nobody-sees"


def config(*arguments: str, **variables: str) -> Result:
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("TOKENTIDE_")}
    runner = CliRunner(env={**clean, "COLUMNS": "160", "NO_COLOR": "1", **variables})
    return runner.invoke(_load("config"), list(arguments))


def test_the_committed_reference_is_what_the_models_say() -> None:
    for name, text in generated().items():
        assert (ROOT / name).read_text() == text, f"{name}: run python -m tokentide_deploy.config.generate"


def test_every_variable_that_the_code_and_the_docs_name_is_a_setting() -> None:
    # What the compose file itself asks of its user, as ${NAME:-default}, never reaches a process.
    compose = (ROOT / "deploy/compose/compose.yaml").read_text()
    known = {*all_variables(), *TEST_VARIABLES, *re.findall(r"\$\{(TOKENTIDE_[A-Z0-9_]+)", compose)}
    named: dict[str, set[str]] = {}
    for folder in ("schemas", "producers", "stream", "sinks", "dashboards", "deploy", "docs", "README.md"):
        found = [ROOT / folder] if (ROOT / folder).is_file() else (ROOT / folder).rglob("*")
        for path in found:
            if path.suffix in (".py", ".md", ".yaml", ".json"):
                for name in re.findall(r"TOKENTIDE_[A-Z][A-Z0-9_]*[A-Z0-9](?![A-Z0-9_*.])", path.read_text()):
                    named.setdefault(name, set()).add(path.name)
    assert "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS" in named
    assert {name: files for name, files in named.items() if name not in known} == {}


def test_every_setting_says_what_it_means() -> None:
    assert [one.name for one in all_variables().values() if not one.meaning.strip()] == []


def test_the_options_that_read_a_variable_are_those_that_the_settings_file_serves() -> None:
    found: set[str] = set()

    def walk(command: typer.core.TyperCommand) -> None:
        for parameter in command.params:
            variables = parameter.envvar or ()
            found.update([variables] if isinstance(variables, str) else variables)
        for other in getattr(command, "commands", {}).values():
            walk(other)

    for name in COMMANDS:
        walk(_load(name))
    assert found == OPTION_VARIABLES


def test_show_tells_each_value_and_where_it_came_from_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "tokentide.toml"
    file.write_text(f'[kafka]\nbootstrap_servers = "k:1"\nsasl_password = "{SECRET}"\n[sink]\nmax_rows = 7\n')
    variables = {
        "TOKENTIDE_CONFIG_FILE": str(file),
        "TOKENTIDE_CLICKHOUSE_URL": f"http://writer:{SECRET}@store:8123/tokentide",
        "TOKENTIDE_EMITTER_HASH_KEY": SECRET,
        "TOKENTIDE_BOARD_TOKEN": SECRET,
    }
    ran = config("show", "--process", "events-sink", "--process", "gateway", "--format", "json", **variables)
    shown = {(one["process"], one["variable"]): (one["value"], one["origin"]) for one in json.loads(ran.stdout)}
    assert shown["events-sink", "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS"] == ("k:1", "file")
    assert shown["events-sink", "TOKENTIDE_SINK_MAX_ROWS"] == ("7", "file")
    assert shown["events-sink", "TOKENTIDE_SINK_MAX_WAIT_S"] == ("0.7", "default")
    url = ("http://writer:********@store:8123/tokentide", "environment")
    assert shown["events-sink", "TOKENTIDE_CLICKHOUSE_URL"] == url
    assert shown["gateway", "TOKENTIDE_EMITTER_HASH_KEY"] == ("********", "environment")
    everything = config("show", "--all", **variables)
    assert everything.exit_code == 0 and "TOKENTIDE_STREAM_EMIT_INTERVAL_S" in everything.stdout
    assert SECRET not in ran.stdout + ran.stderr + everything.stdout + everything.stderr


def test_check_says_everything_that_is_wrong_with_status_one() -> None:
    ran = config(
        "check", TOKENTIDE_SINK_MAX_ROWS="many", TOKENTIDE_STREAM_EMIT_INTERVAL_S="0", TOKENTIDE_SINK_MAX_ROW="1"
    )
    assert ran.exit_code == 1
    assert "✗ TOKENTIDE_SINK_MAX_ROWS: " in ran.stdout and "[events-sink, rollups-sink, maintenance]" in ran.stdout
    assert "✗ TOKENTIDE_STREAM_EMIT_INTERVAL_S: " in ran.stdout and "[stream, shares]" in ran.stdout
    assert "! TOKENTIDE_SINK_MAX_ROW is not a setting of any process (did you mean" in ran.stdout
    alone = config("check", "--process", "stream")
    assert alone.exit_code == 1 and "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS is not set" in alone.stdout
    fine = config("check")
    assert fine.exit_code == 0 and "can be used" in fine.stdout


@pytest.mark.parametrize("arguments", [("show", "--process", "strean"), ("check", "--process", "strean")])
def test_an_unknown_process_is_refused_with_the_known_ones(arguments: tuple[str, ...]) -> None:
    ran = config(*arguments)
    assert ran.exit_code == 2 and "rollups-sink" in ran.stderr
