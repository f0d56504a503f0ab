"""The alerts file: what is left out is as shipped, and everything that is wrong is said at once, with its line."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tokentide_schemas.alerting import (
    AlertsFileError,
    ReceiverSecretError,
    WebhookReceiver,
    load_alert_config,
    parse_alert_config,
)
from tokentide_schemas.alerting.loading import shipped_rules_text
from tokentide_schemas.alerting.quiet import Maintenance
from tokentide_schemas.alerting.rules import RULE_KINDS
from tokentide_schemas.alerting.values import duration_text, parse_duration_s


def problems(text: str) -> list[str]:
    with pytest.raises(AlertsFileError) as caught:
        parse_alert_config(text, "a.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_the_shipped_rules_are_valid_and_of_every_kind() -> None:
    config = load_alert_config()
    assert {rule.kind for rule in config.rules} == set(RULE_KINDS)
    assert all(rule.enabled and rule.description and rule.runbook_url for rule in config.rules)
    assert [one.name for one in config.receivers] == ["log"]


def test_a_shipped_rule_is_changed_by_what_is_written_and_keeps_the_rest() -> None:
    shipped = {rule.name: rule for rule in load_alert_config().rules}
    config = parse_alert_config("rules:\n  - name: model-share\n    min_change_pp: 9\n", "a.yaml")
    changed = {rule.name: rule for rule in config.rules}
    assert changed.keys() == shipped.keys()
    assert changed["model-share"] == shipped["model-share"].model_copy(update={"min_change_pp": 9.0})
    assert "model-share" not in config.shipped


def test_a_rule_can_be_turned_off() -> None:
    config = parse_alert_config("rules:\n  - {name: country-share, enabled: false}\n", "a.yaml")
    assert "country-share" not in {rule.name for rule in config.enabled_rules}


def test_every_problem_is_said_with_its_line() -> None:
    text = """rules:
  - name: mine
    kind: share_shfit
  - name: model-share
    min_change_pp: lots
receivers:
  - name: hook
    type: webhook
    url: http://me:geheim@127.0.0.1/
silences:
  - name: quiet
    match: {rules: [model-shre]}
"""
    found = problems(text)
    assert [line.split(":")[1] for line in found] == ["3", "5", "9", "12"]
    assert "did you mean 'share_shift'?" in found[0]
    assert "rule model-share: min_change_pp" in found[1]
    assert "url_env" in found[2] and "geheim" not in "".join(found)
    assert "did you mean 'model-share'" in found[3]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1", "must be a mapping"),
        ("rules: 3", "must be a list"),
        ("rules: [3]", "must be a mapping"),
        ("rules: [", "not valid YAML"),
        ("rules:\n  - {name: a, kind: budget}\n  - {name: a, kind: budget}", "a.yaml:2 too"),
        ("rules:\n  - {name: late-data, kind: budget}", "is a late_rate, not a budget"),
        ("rules:\n  - {name: a, kind: share_shift, dimension: total}", "use volume_shift"),
        ("rules:\n  - {name: a, kind: share_shift, dimension: app, scope: {category: x}}", "scope is not kept"),
        ("rules:\n  - {name: a, kind: latency, dimension: app}", "latency is not kept for app"),
        ("rules:\n  - {name: a, kind: new_model, window: 7m}", "write 1m, 5m, 1h"),
        ("rules:\n  - {name: a, kind: new_model, for: soon}", "write 90s, 5m, 1h30m or 2d"),
        ("receivers:\n  - {name: a, type: slack}", "needs either url or url_env"),
        ("receivers:\n  - {name: a, type: log, urls: x}", "unknown key"),
        ("silences:\n  - {name: a, match: {}}", "would silence everything"),
        ("maintenance:\n  - {name: a, from: 2026-01-02, until: 2026-01-01}", "ends before it begins"),
        ("budgets:\n  - {name: a, usd: 5, per: weak}", "not one of the known values"),
    ],
)
def test_a_mistake_says_what_to_do(text: str, expected: str) -> None:
    assert expected in " ".join(problems(text))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AlertsFileError, match="cannot be read"):
        load_alert_config(tmp_path / "none.yaml")


def test_a_secret_comes_from_the_environment_and_its_absence_is_said_without_it(tmp_path: Path) -> None:
    receiver = WebhookReceiver(name="hook", url_env="HOOK_URL", secret_env="HOOK_SECRET")
    given = {"HOOK_URL": "http://127.0.0.1:9/x", "HOOK_SECRET": "s3cret"}
    assert (receiver.address(given), receiver.secret(given)) == ("http://127.0.0.1:9/x", b"s3cret")
    with pytest.raises(ReceiverSecretError, match="HOOK_SECRET"):
        receiver.secret({})
    with pytest.raises(ReceiverSecretError, match="HOOK_URL"):
        receiver.address({"HOOK_URL": "not an address"})
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    assert WebhookReceiver(name="h", url="http://127.0.0.1/", secret_file=file).secret({}) == b"from a file"


def test_an_address_is_not_printed() -> None:
    assert "hidden-path" not in repr(WebhookReceiver(name="h", url="http://127.0.0.1/hidden-path"))


def test_maintenance_comes_again() -> None:
    values = {"name": "night", "from": "2026-11-01T02:00:00Z", "until": "2026-11-01T04:00:00Z", "repeats": "7d"}
    window = Maintenance.model_validate(values)
    begin = dt.datetime(2026, 11, 1, 2, tzinfo=dt.UTC)
    held = [
        window.holds(begin + dt.timedelta(days=days, hours=hours)) for days, hours in ((0, 1), (0, 3), (14, 1), (-7, 1))
    ]
    assert held == [True, False, True, False]


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5_400), ("2d", 172_800), ("0", 0)])
def test_durations_are_read_and_written(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds
    assert parse_duration_s(duration_text(seconds)) == seconds


def test_the_shipped_file_explains_itself() -> None:
    assert shipped_rules_text().startswith("# ")
