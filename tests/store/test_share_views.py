"""The views of final shares show a window's newest publication, and of it all keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tokentide_schemas.share_tables import share_statements


def test_a_key_that_a_window_lost_with_a_new_catalogue_is_not_shown(store: Any) -> None:
    client = store.client()
    client.command("CREATE DATABASE IF NOT EXISTS shares_views")
    client.database = "shares_views"
    for statement in share_statements():
        client.command(statement)
    # Recent ones: minutes expire after some weeks, and a merge may take expired rows away at once.
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    minutes = [f"{first + timedelta(minutes=number):%Y-%m-%d %H:%M:%S}" for number in (0, 1)]
    client.command(
        "INSERT INTO shares_final (window_start, horizon_s, dimension, key, requests, version) VALUES "
        f"('{minutes[0]}', 60, 'author', 'unknown', 5, 7), ('{minutes[0]}', 60, 'author', 'acme', 1, 7), "
        f"('{minutes[1]}', 60, 'author', 'unknown', 2, 7), ('{minutes[0]}', 60, 'author', 'acme', 6, 9)"
    )
    shown = client.query("SELECT toString(window_start), key, requests FROM shares_1m ORDER BY 1, 2").result_rows
    assert shown == [(minutes[0], "acme", 6), (minutes[1], "unknown", 2)]
    assert client.query("SELECT count() FROM shares_1h").result_rows == [(0,)]
