"""Stored alerts as dictionaries, for the commands that look."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from tokentide_deploy.clickhouse_client import connect, error_text, find_account
from tokentide_deploy.errors import DeployError


def alerts_since(data_dir: Path | None, clickhouse: str | None, since: dt.datetime | None) -> list[dict[str, Any]]:
    """Rows of the view `alerts`, newest first; those that began at or after `since`, or are not over.

    Raises DeployError.
    """
    where = "" if since is None else "WHERE started_at >= {since:DateTime64(3)} OR state != 'resolved' "
    parameters = {} if since is None else {"since": since}
    sql = f"SELECT * FROM alerts {where}ORDER BY coalesce(firing_at, pending_at, detected_at) DESC, alert_id"
    return _rows(data_dir, clickhouse, sql, parameters)


def one_alert(data_dir: Path | None, clickhouse: str | None, beginning: str) -> dict[str, Any]:
    """The alert whose id begins like this. Raises DeployError for none or several."""
    wanted = beginning.strip().lower()
    if not re.fullmatch(r"[0-9a-f-]{4,36}", wanted):
        raise DeployError(
            f"{beginning!r} is no alert's id: give at least 4 of its digits, as tokentide alerts list shows."
        )
    sql = "SELECT * FROM alerts WHERE startsWith(toString(alert_id), {wanted:String}) LIMIT 2"
    found = _rows(data_dir, clickhouse, sql, {"wanted": wanted})
    if len(found) != 1:
        many = "Several alerts have an id" if found else "No alert has an id"
        raise DeployError(f"{many} that begins with {wanted}. See: tokentide alerts list --all")
    return found[0]


def _rows(data_dir: Path | None, clickhouse: str | None, sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    client = connect(find_account(data_dir, clickhouse))
    try:
        answer = client.query(sql, parameters=parameters)
        return [_utc(row) for row in answer.named_results()]
    except ClickHouseError as error:
        raise DeployError(f"The alerts could not be read: {error_text(error)}") from error
    finally:
        client.close()


def _utc(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) and value.tzinfo is None else value
        for name, value in row.items()
    }
