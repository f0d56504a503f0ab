"""The process: its lock, its signals, its ready file, its settings."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tokentide_deploy.store.server import SettingsError, settings_from


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tokentide_deploy.store", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_second_process_names_the_first_and_exits_with_3(store: Any) -> None:
    result = run("--data-dir", str(store.data_dir), "--port", "0")
    assert result.returncode == 3
    assert f"in use by process {store.pid}" in result.stderr
    assert store.execute("SELECT 1") == "1"


def test_a_taken_port_is_said_and_exits_with_5(store: Any, tmp_path: Path) -> None:
    result = run("--data-dir", str(tmp_path), "--port", str(store.port))
    assert result.returncode == 5
    assert f"127.0.0.1:{store.port}" in result.stderr


def test_the_ready_file_says_where_and_goes_with_the_process(start_store: Any) -> None:
    store = start_store()
    ready = json.loads(store.ready_file.read_text())
    assert (ready["pid"], ready["port"]) == (store.pid, store.port)
    assert httpx.get(store.url + "/ping").text == "Ok.\n"
    assert store.signal(signal.SIGTERM) == 0
    assert not store.ready_file.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_a_running_request_finish(start_store: Any, eventually: Any, number: signal.Signals) -> None:
    store = start_store()
    sql = "SELECT count() FROM numbers(3) WHERE sleepEachRow(1) = 0"
    replies: list[str] = []
    thread = threading.Thread(target=lambda: replies.append(store.execute(sql)))
    thread.start()
    eventually(lambda: store.execute("SELECT count() FROM system.processes") == "2", "the query runs")
    assert store.signal(number) == 0
    thread.join(30)
    assert replies == ["3"]


def test_a_stop_is_bounded(start_store: Any, eventually: Any) -> None:
    store = start_store("--stop-timeout-s", "1")
    failures: list[Exception] = []

    def ask() -> None:
        try:
            store.post("SELECT count() FROM numbers(100000000000000)")
        except httpx.TransportError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: store.execute("SELECT count() FROM system.processes") == "2", "the query runs")
    assert store.signal(signal.SIGTERM) == 0
    thread.join(30)
    assert not thread.is_alive()


def test_data_survives_a_stop_and_a_start(start_store: Any) -> None:
    store = start_store()
    store.execute("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
    store.execute("INSERT INTO t VALUES (1)")
    store.signal(signal.SIGTERM)
    store.start()
    assert store.execute("SELECT a FROM t") == "1"


def test_dictionaries_and_views_survive_a_start(start_store: Any) -> None:
    store = start_store()
    store.execute("CREATE TABLE p (k String, v UInt32, x String) ENGINE = ReplacingMergeTree(v) ORDER BY k")
    store.execute("INSERT INTO p VALUES ('a', 1, 'old')")
    store.execute("INSERT INTO p VALUES ('a', 2, 'new')")
    store.execute("CREATE VIEW current AS SELECT * FROM p FINAL")
    store.execute("CREATE VIEW one AS SELECT x FROM p FINAL WHERE k = {k:String}")
    store.execute(
        "CREATE DICTIONARY d (k String, x String) PRIMARY KEY k "
        "SOURCE(CLICKHOUSE(QUERY 'SELECT k, x FROM tokentide.p FINAL')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
    )
    for _ in range(2):
        assert store.execute("SELECT dictGet('d', 'x', 'a')") == "new"
        assert store.execute("SELECT x FROM current") == "new"
        assert store.execute("SELECT * FROM one(k = 'a')") == "new"
        store.signal(signal.SIGTERM)
        store.start()
    store.execute("INSERT INTO p VALUES ('a', 3, 'newest')")
    store.execute("SYSTEM RELOAD DICTIONARY d")
    assert store.execute("SELECT dictGet('d', 'x', 'a')") == "newest"


def test_another_address_needs_passwords(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(["--data-dir", str(tmp_path), "--port", "70000", "--host", "192.0.2.1"], {})
    message = str(caught.value)
    assert "TOKENTIDE_STORE_WRITER_PASSWORD" in message
    assert "TOKENTIDE_STORE_READER_PASSWORD" in message
    assert "--port" in message


def test_passwords_are_not_in_the_settings_text(tmp_path: Path) -> None:
    environment = {"TOKENTIDE_STORE_WRITER_PASSWORD": "hush-w", "TOKENTIDE_STORE_READER_PASSWORD": "hush-r"}
    settings = settings_from(["--data-dir", str(tmp_path), "--port", "0"], environment)
    assert "hush" not in repr(settings)


def test_the_engine_took_the_small_pools_and_caches(store: Any) -> None:
    sql = "SELECT value FROM system.server_settings WHERE name = '{}'"
    assert store.execute(sql.format("background_pool_size")) == "2"
    assert store.execute(sql.format("mark_cache_size")) == str(128 << 20)
    logs = "SELECT groupArray(name) FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'"
    assert store.execute(logs) == "[]"  # no log table grows
