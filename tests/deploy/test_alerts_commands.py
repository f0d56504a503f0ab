"""`tokentide alerts`: the rules' table, every mistake with its line, pages that fit 80 columns."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokentide_deploy.alerts_backtest import Backtest
from tokentide_deploy.alerts_view import alert_page, alerts_table, backtest_tables, config_tables, trial_alert
from tokentide_schemas.alerting import load_alert_config
from tokentide_schemas.alerts import AlertChange

NOW = dt.datetime(2026, 11, 16, 12, 0, tzinfo=dt.UTC)
LONG = "anthropic/claude-sonnet-4.5-with-a-very-long-name-that-somebody-gave-it"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tokentide_deploy.cli", "alerts", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", **environment},
    )


def shown(*parts: object) -> list[str]:
    from rich.console import Console

    console = Console(width=80, highlight=False, force_terminal=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get().splitlines()


def row(change: AlertChange) -> dict[str, object]:
    """As the view `alerts` gives it."""
    plain = change.model_dump()
    plain["contributions"] = [part.model_dump() for part in change.contributions]
    return plain | {"pending_at": None, "firing_at": NOW, "resolved_at": None, "severity": "warning", "state": "firing"}


def test_without_a_file_the_shipped_rules_are_checked() -> None:
    result = run("check", TOKENTIDE_ALERTS_FILE="")
    assert result.returncode == 0, result.stderr
    assert "model-share" in result.stdout and "receiver log: log" in result.stdout


def test_every_mistake_comes_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("rules:\n  - name: model-share\n    min_chnge_pp: 2\n  - name: x\n    kind: burndown\nbudget: []\n")
    result = run("check", str(file))
    assert result.returncode == 1
    for expected in (f"{file}:3:", "did you mean 'min_change_pp'?", f"{file}:5:", f"{file}:6:", "3 problems"):
        assert expected in result.stderr


def test_an_unknown_receiver_is_named_with_those_that_exist() -> None:
    result = run("test", "--receiver", "lgo", TOKENTIDE_ALERTS_FILE="")
    assert result.returncode == 1
    assert "did you mean 'log'?" in result.stderr


def test_a_test_alert_reaches_the_log_receiver() -> None:
    result = run("test", TOKENTIDE_ALERTS_FILE="")
    assert result.returncode == 0, result.stderr
    assert "log (log): delivered" in result.stdout


def test_a_receiver_that_does_not_answer_is_said_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text("receivers:\n  - {name: hook, type: webhook, url: 'http://127.0.0.1:9/', timeout_s: 2}\n")
    result = run("test", "--rules", str(file))
    assert result.returncode == 1
    assert "hook (webhook): NOT delivered" in result.stdout


@pytest.mark.parametrize("kind", ["rules", "list", "show", "backtest"])
def test_every_page_fits_80_columns(kind: str) -> None:
    change = trial_alert(NOW).model_copy(update={"keys": (LONG,), "summary": f"launch: model {LONG}, tokens share 1 %"})
    backtest = Backtest(NOW - dt.timedelta(days=1), NOW, ("test", "other"), 1440, 2880, [change])
    parts = {
        "rules": lambda: list(config_tables(load_alert_config())),
        "list": lambda: [alerts_table([row(change)])],
        "show": lambda: list(alert_page(row(change))),
        "backtest": lambda: list(backtest_tables(backtest)),
    }[kind]()
    lines = shown(*parts)
    assert lines and max(map(len, lines)) <= 80, max(lines, key=len)


def test_a_backtest_counts_by_rule_and_says_what_stayed_quiet() -> None:
    result = Backtest(NOW - dt.timedelta(days=1), NOW, ("test", "other"), 1440, 2880, [trial_alert(NOW)])
    text = "\n".join(shown(*backtest_tables(result)))
    assert "1 alerts in 1,440 minutes" in text and "1 of 2 rules stayed quiet" in text
