"""The views of final shares show a window's newest publication, and of it all keys."""

from __future__ import annotations

from typing import Any

from tokentide_schemas.share_tables import share_statements


def test_a_key_that_a_window_lost_with_a_new_catalogue_is_not_shown(store: Any) -> None:
    client = store.client()
    client.command("CREATE DATABASE IF NOT EXISTS shares_views")
    client.database = "shares_views"
    for statement in share_statements():
        client.command(statement)
    insert = (
        "INSERT INTO shares_final (window_start, horizon_s, dimension, key, requests, version) VALUES "
        "('2026-01-05 10:00:00', 60, 'author', 'unknown', 5, 7), ('2026-01-05 10:00:00', 60, 'author', 'acme', 1, 7), "
        "('2026-01-05 10:01:00', 60, 'author', 'unknown', 2, 7), ('2026-01-05 10:00:00', 60, 'author', 'acme', 6, 9)"
    )
    client.command(insert)
    shown = client.query("SELECT toString(window_start), key, requests FROM shares_1m ORDER BY 1, 2").result_rows
    assert shown == [("2026-01-05 10:00:00", "acme", 6), ("2026-01-05 10:01:00", "unknown", 2)]
    assert client.query("SELECT count() FROM shares_1h").result_rows == [(0,)]
