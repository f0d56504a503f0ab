"""The alerts topic in ClickHouse: each change once, and one row for each alert as its newest state says it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tokentide_schemas.alert_tables import ALERT_CHANGES_TABLE, alert_rows, alert_statements
from tokentide_schemas.alerts import AlertChange, AlertKind, AlertState, Contribution, Severity, alert_id
from tokentide_sinks.store import Store

START = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) - dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


def change(state: AlertState, at: dt.datetime, key: str = "acme/one", **fields: Any) -> AlertChange:
    values: dict[str, Any] = {
        "alert_id": alert_id("model-share", "", "model", "launch", key, START),
        "state": state,
        "rule": "model-share",
        "kind": AlertKind.LAUNCH,
        "severity": Severity.WARNING,
        "measure": "tokens",
        "dimension": "model",
        "keys": (key, "acme/other"),
        "direction": "up",
        "value": 12.5,
        "reference": 0.0,
        "change": 12.5,
        "unit": "pp",
        "window_s": 60,
        "started_at": START,
        "detected_at": START + MINUTE,
        "changed_at": at,
        "emitted_at": at + MINUTE,
        "summary": "acme/one takes 12.5 % of all tokens",
        "contributions": (
            Contribution(key=key, before=0.0, after=12.5, change_pp=12.5, mix_change=1e6, volume_change=0.0),
            Contribution(key="acme/other", before=30.0, after=17.5),
        ),
        "labels": {"team": "mix"},
        **fields,
    }
    return AlertChange(**values)


@pytest.fixture
def database(store: Any) -> Store:
    client = store.client()
    client.command("DROP DATABASE IF EXISTS alert_tables")
    client.command("CREATE DATABASE alert_tables")
    opened = Store(f"http://tokentide@127.0.0.1:{store.port}/alert_tables")
    for statement in alert_statements():
        opened.command(statement)
    return opened


def test_a_change_that_is_stored_twice_is_there_once(database: Store) -> None:
    firing = change(AlertState.FIRING, START + MINUTE)
    for _ in range(2):
        database.insert(ALERT_CHANGES_TABLE, alert_rows([firing]))
    assert database.rows(f"SELECT count() FROM {ALERT_CHANGES_TABLE} FINAL") == [(1,)]


def test_every_field_comes_back_as_it_was(database: Store) -> None:
    database.insert(ALERT_CHANGES_TABLE, alert_rows([change(AlertState.FIRING, START + MINUTE)]))
    rows = database.rows(
        "SELECT toString(alert_id), keys, labels['team'], contributions.key, contributions.change_pp, "
        f"contributions.mix_change, value, is_silenced, toString(started_at) FROM {ALERT_CHANGES_TABLE} FINAL"
    )
    expected = (
        str(change(AlertState.FIRING, START).alert_id),
        ["acme/one", "acme/other"],
        "mix",
        ["acme/one", "acme/other"],
        [12.5, None],
        [1e6, None],
        12.5,
        False,
        f"{START:%Y-%m-%d %H:%M:%S}.000",
    )
    assert [tuple(row) for row in rows] == [expected]


def test_the_view_shows_the_newest_state_with_the_time_of_each(database: Store) -> None:
    changes = [
        change(AlertState.RESOLVED, START + 9 * MINUTE, value=None),
        change(AlertState.PENDING, START + MINUTE),
        change(AlertState.FIRING, START + 2 * MINUTE),
        change(AlertState.FIRING, START + 3 * MINUTE, key="acme/two", is_silenced=True, silenced_by="night"),
    ]
    for one in changes:
        database.insert(ALERT_CHANGES_TABLE, alert_rows([one]))
    rows = database.rows(
        "SELECT keys[1], state, pending_at, firing_at, resolved_at, value, is_silenced FROM alerts ORDER BY 1"
    )
    first, second = [tuple(row) for row in rows]
    utc = [None if at is None else at.replace(tzinfo=dt.UTC) for at in first[2:5]]
    assert (first[0], first[1], utc) == ("acme/one", "resolved", [START + n * MINUTE for n in (1, 2, 9)])
    assert first[5:] == (None, False)
    assert second[:3] == ("acme/two", "firing", None) and second[4] is None and second[6]
