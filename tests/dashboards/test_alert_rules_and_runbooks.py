"""Grafana's alert rules: their file's shape, links and SQL; and a runbook for every kind and rule, whose SQL runs."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import yaml

from tokentide_dashboards import grafana_alerts
from tokentide_dashboards.build import DATASOURCE_UID
from tokentide_dashboards.macros import TimeRange
from tokentide_schemas.alerting.loading import shipped_rules_text
from tokentide_schemas.alerts import AlertKind

from . import alert_rows
from .conftest import GRAFANA, Store

RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
FILE = GRAFANA / "provisioning" / "alerting" / "tokentide.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"][0]["rules"]
PAGES = sorted(RUNBOOKS.glob("*.md"))
QUERIES = [
    pytest.param(sql, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, sql in enumerate(re.findall(r"```sql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]
KEYS = {
    "uid", "title", "condition", "data", "for", "noDataState", "execErrState", "labels", "annotations", "dashboardUid",
    "panelId",
}  # fmt: skip


def last_hour() -> TimeRange:
    now = int(dt.datetime.now(dt.UTC).timestamp())
    return TimeRange((now - 3600) * 1000, now * 1000)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_a_rule_has_the_files_shape_and_nothing_else(rule: dict[str, Any]) -> None:
    assert set(rule) == KEYS, "the loader passes over what it does not know"
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", rule["uid"])
    assert re.fullmatch(r"\d+[sm]", rule["for"])
    assert rule["noDataState"] in ("OK", "Alerting", "NoData") and rule["execErrState"] == "Error"
    query, condition = rule["data"]
    assert (query["refId"], query["datasourceUid"]) == ("A", DATASOURCE_UID)
    assert (query["model"]["queryType"], query["model"]["format"]) == ("table", 1)
    assert (condition["refId"], condition["datasourceUid"]) == (rule["condition"], "__expr__")
    assert (condition["model"]["type"], condition["model"]["expression"]) == ("threshold", "A")
    for node in rule["data"]:
        assert node["model"]["refId"] == node["refId"]
        assert node["relativeTimeRange"]["from"] > node["relativeTimeRange"]["to"]


def test_rules_are_told_apart() -> None:
    assert len({rule["uid"] for rule in RULES}) == len({rule["title"] for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_the_loader_finds_no_environment_variable_to_replace(rule: dict[str, Any]) -> None:
    assert "$" not in rule["data"][0]["model"]["rawSql"]
    for text in (*rule["labels"].values(), *rule["annotations"].values()):
        assert "$" not in text.replace("$$", "")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_a_rule_leads_to_its_panel_and_its_page(rule: dict[str, Any]) -> None:
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in GRAFANA.glob("dashboards/*.json")]
    (board,) = [board for board in boards if board["uid"] == rule["dashboardUid"]]
    assert rule["panelId"] in [panel["id"] for panel in board["panels"]]
    runbook = rule["annotations"]["runbook_url"]
    assert runbook == "{{ $$labels.runbook }}" or (RUNBOOKS / Path(runbook).name).exists()


@pytest.fixture(scope="module")
def database(store: Store) -> Iterator[Store]:
    store.use_new_database("quiet_rules")
    store.use_new_database("loud_rules")
    # The rules ask for the last minutes of the store's own clock: the rows are of now, not of the run's beginning.
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    minute = int(now.timestamp()) // 60 * 60 - 120
    hour = int(now.timestamp()) // 3600 * 3600
    columns = "window_start, model, provider, outcome, source_epoch, segment, version, requests, cost_nanousd"
    store.execute(
        f"INSERT INTO rollup_model_partials ({columns}, emitted_at) VALUES "
        f"({minute}, 'm', 'down', 'error', 'e', 0, 1, 150, 0, {minute}), "
        f"({minute}, 'm', 'down', 'ok', 'e', 0, 1, 150, 0, {minute}), "
        f"({minute}, 'm', 'up', 'ok', 'e', 0, 1, 400, 0, {minute})"
    )
    hours = ", ".join(
        f"({hour - 3600 * age}, 'm', 'up', 'ok', 'e', 0, 1, 10, {40 if age == 1 else 10}, {hour})"
        for age in range(1, 31)
    )
    store.execute(f"INSERT INTO rollup_model_1h_partials ({columns}, emitted_at) VALUES {hours}")
    at = int(now.timestamp()) - 30
    store.execute(f"INSERT INTO pipeline_samples VALUES ({at}, 'stream', 'usage', 0, 50, 100, 50, 70000)")
    letter = "topic, epoch, partition, offset, row, reason, detail, events, producer_id, appended_at, rejected_at"
    store.execute(
        f"INSERT INTO dead_letters ({letter}) VALUES ('usage', 'e', 0, 1, -1, 'undecodable', '', 3, '', {at}, {at})"
    )
    alert_rows.insert(store.execute, now - dt.timedelta(minutes=4), dt.timedelta(hours=1))
    yield store


def answer(store: Store, uid: str, name: str) -> list[list[Any]]:
    store.use(name)
    (rule,) = [rule for rule in grafana_alerts.RULES if rule.uid == uid]
    return store.rows(rule.sql, last_hour())


@pytest.mark.parametrize(
    ("uid", "loud"),
    [
        ("tokentide-alert-firing", [["critical", ANY, ANY, 1], ["info", ANY, ANY, 1]]),
        ("tokentide-no-events", [[700]]),
        ("tokentide-lag", [[70]]),
        ("tokentide-dead-letters", [[3]]),
        ("tokentide-error-rate", [["down", 0.5], ["up", 0]]),
        ("tokentide-cost", [[pytest.approx(40 / 11)]]),
        ("tokentide-not-told", [["slack", 1]]),
    ],
)
def test_a_rules_query_has_one_number_a_row_that_passes_the_limit_when_it_should(
    uid: str, loud: list[list[Any]], database: Store
) -> None:
    rows = sorted(answer(database, uid, "loud_rules"))
    assert rows == loud
    (rule,) = [rule for rule in grafana_alerts.RULES if rule.uid == uid]
    # The one for silence is not to be heard while there is traffic; it is below, where nothing is stored.
    assert max(float(row[-1]) for row in rows) > rule.limit
    # Nothing stored: no rows, or a number on the other side of the limit; silence itself is the one alert.
    quiet = answer(database, uid, "quiet_rules")
    if uid == "tokentide-no-events":
        assert quiet in ([], [[0]]) and rule.no_data == "Alerting"
    else:
        assert all(not float(row[-1] or 0) > rule.limit for row in quiet)


def test_a_firing_alert_leads_to_the_page_of_its_kind(store: Store) -> None:
    page = grafana_alerts.FIRING_SQL.partition("runbook_url),\n")[2].partition("\n    ) AS runbook")[0]
    kinds = ", ".join(f"'{kind.value}'" for kind in AlertKind)
    rows = store.rows(f"SELECT {page} FROM (SELECT arrayJoin([{kinds}]) AS kind)", last_hour())
    assert {row[0] for row in rows} <= {f"docs/runbooks/{one.name}" for one in PAGES}
    assert len({row[0] for row in rows}) == len(AlertKind)


def test_every_rule_is_tried() -> None:
    assert len(RULES) == len(grafana_alerts.RULES) == 7


def test_every_kind_of_alert_has_its_page() -> None:
    text = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    pages = dict(re.findall(r"^\| `(\w+)` \| \[[\w-]+\]\(([\w-]+\.md)\) \|$", text, re.MULTILINE))
    assert set(pages) == {kind.value for kind in AlertKind}
    for page in pages.values():
        headings = re.findall(r"^## (.+)$", (RUNBOOKS / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["How it is computed", "Look at", "Likely causes", "What to do", "Tune or silence"], page


def test_every_shipped_rule_leads_to_a_page_and_every_page_is_reached() -> None:
    linked = {Path(rule["runbook_url"]).name for rule in yaml.safe_load(shipped_rules_text())["rules"]}
    assert linked <= {page.name for page in PAGES}
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert {page.name for page in PAGES} - {"README.md"} <= set(re.findall(r"\(([\w-]+\.md)\)", index))


def test_the_yaml_of_a_page_is_an_alerts_file() -> None:
    from tokentide_schemas.alerting.loading import parse_alert_config

    found = 0
    for page in PAGES:
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            parse_alert_config(text, page.name)
            found += 1
    assert found >= len(AlertKind)


@pytest.mark.parametrize("sql", QUERIES)
def test_a_pages_query_runs(sql: str, database: Store) -> None:
    database.use("loud_rules")
    database.rows(sql, last_hour())
