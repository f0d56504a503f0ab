"""The interface as curl sees it."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="NO CURL ON THIS MACHINE: the curl tests did not run")


def curl(*arguments: str, data: bytes | None = None) -> tuple[int, str]:
    """Runs curl; returns the HTTP status and the body."""
    body = ("--data-binary", "@-") if data is not None else ()
    command = ["curl", "-sS", "--max-time", "60", "-w", "\n%{http_code}", *body, *arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=True)
    text, _, status = result.stdout.decode().rpartition("\n")
    return int(status), text


@pytest.fixture
def passworded(start_store: Any) -> Any:
    return start_store(passwords=True)


@pytest.mark.parametrize("path", ["/ping", "/", "/replicas_status"])
def test_the_health_paths_answer_ok(store: Any, path: str) -> None:
    assert curl(store.url + path) == (200, "Ok.\n")


def test_a_query_runs_from_the_url_and_from_the_body(store: Any) -> None:
    assert curl(store.url + "/?query=SELECT%201%2B1") == (200, "2\n")
    assert curl(store.url, data=b"SELECT 1+2") == (200, "3\n")
    assert curl(store.url + "/?query=SELECT", data=b"1+3") == (200, "4\n")


def test_a_body_is_inserted_in_the_format_of_the_url(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    url = f"{store.url}/?database=tokentide&query=INSERT%20INTO%20{table}"
    assert curl(f"{url}%20FORMAT%20TSV", data=b"1\tone\n2\ttwo\n")[0] == 200
    assert curl(url, data=b"(3, 'three')")[0] == 200
    assert curl(url, data=b'FORMAT JSONEachRow {"a":4,"s":"four"}')[0] == 200
    assert curl(f"{url}%20VALUES", data=b"(5, 'five'), (6, 'FORMAT CSV')")[0] == 200
    whole = f"INSERT INTO tokentide.{table} (a, s) SETTINGS async_insert = 0 FORMAT CSV\r\n7,seven\n".encode()
    assert curl(store.url, data=whole)[0] == 200
    assert curl(store.url, data=f"INSERT INTO tokentide.{table} SELECT 8, 'eight'".encode())[0] == 200
    rows = store.execute(f"SELECT groupArray((a, s)) FROM (SELECT * FROM {table} ORDER BY a)")
    expected = ["one", "two", "three", "four", "five", "FORMAT CSV", "seven", "eight"]
    assert rows == "[" + ",".join(f"({number},'{word}')" for number, word in enumerate(expected, 1)) + "]"


@pytest.mark.parametrize(
    ("output_format", "expected"),
    [("TSV", "1\tx\n"), ("CSV", '1,"x"\n'), ("JSONEachRow", '{"a":1,"s":"x"}\n'), ("Values", "(1,'x')")],
)
def test_the_format_comes_from_clause_header_or_parameter(store: Any, output_format: str, expected: str) -> None:
    sql = b"SELECT 1 AS a, 'x' AS s"
    assert curl(store.url, data=sql + f" FORMAT {output_format}".encode()) == (200, expected)
    assert curl("-H", f"X-ClickHouse-Format: {output_format}", store.url, data=sql) == (200, expected)
    assert curl(f"{store.url}/?default_format={output_format}", data=sql) == (200, expected)


def test_the_clause_wins_over_the_header(store: Any) -> None:
    assert curl("-H", "X-ClickHouse-Format: JSON", store.url, data=b"SELECT 1 FORMAT TSV") == (200, "1\n")


@pytest.mark.parametrize("sql", ["CREATE%20TABLE%20x%20(a%20Int8)%20ENGINE=Memory", "DROP%20TABLE%20IF%20EXISTS%20x"])
def test_get_only_reads(store: Any, sql: str) -> None:
    status, text = curl(f"{store.url}/?database=tokentide&query={sql}")
    assert (status, text[:10]) == (403, "Code: 164.")


def test_get_cannot_insert(store: Any) -> None:
    status, text = curl(f"{store.url}/?query=INSERT%20INTO%20x%20VALUES%20(1)")
    assert (status, text[:10]) == (403, "Code: 164.")


def test_a_wrong_password_is_refused_as_by_the_server(passworded: Any) -> None:
    url = passworded.url
    for arguments in (["-u", "default:no"], ["-H", "X-ClickHouse-Key: no"], ["-u", "nobody:x"], []):
        status, text = curl(*arguments, url, data=b"SELECT 1")
        assert (status, text[:10]) == (403, "Code: 516.")


def test_every_way_of_authentication_works(passworded: Any) -> None:
    url = passworded.url
    assert curl("-u", "tokentide:writer's pass", url, data=b"SELECT 1") == (200, "1\n")
    assert curl("-u", "reader:reader:pass", url, data=b"SELECT 1") == (200, "1\n")
    headers = ("-H", "X-ClickHouse-User: reader", "-H", "X-ClickHouse-Key: reader:pass")
    assert curl(*headers, url, data=b"SELECT 1") == (200, "1\n")
    assert curl(f"{url}/?user=reader&password=reader:pass", data=b"SELECT 1") == (200, "1\n")
    assert curl(f"{url}/?password=writer%27s%20pass", data=b"SELECT 1") == (200, "1\n")


def test_an_error_has_its_code_in_the_header(store: Any) -> None:
    status, text = curl("-i", store.url, data=b"SELECT * FROM nothing_here")
    assert status == 404
    assert "x-clickhouse-exception-code: 60" in text.lower()
    assert text.rstrip().endswith("(official build))")


def test_curl_notices_a_late_failure(store: Any) -> None:
    command = ["curl", "-sS", store.url, "--data-binary", "SELECT throwIf(number = 3000000) FROM numbers(10000000)"]
    result = subprocess.run(command, capture_output=True)
    assert result.returncode == 18  # transfer closed with outstanding data
    assert b"__exception__" in result.stdout[-600:]


def test_a_page_of_another_origin_is_refused(store: Any) -> None:
    assert curl("-H", "Origin: http://example.test", store.url, data=b"SELECT 1")[0] == 403
    assert curl("-H", "Host: example.test", store.url, data=b"SELECT 1")[0] == 403
    assert curl("-H", f"Origin: {store.url}", store.url, data=b"SELECT 1") == (200, "1\n")


def test_writers_cannot_name_files_of_the_host(store: Any, table: str, tmp_path: Any) -> None:
    store.execute(f"CREATE TABLE {table} (s String) ENGINE = MergeTree ORDER BY s")
    secret = tmp_path / "secret.tsv"
    secret.write_text("secret\n")
    for sql in (
        f"INSERT INTO {table} FROM INFILE '{secret}' FORMAT TSV",
        f"SELECT 1 INTO OUTFILE '{tmp_path / 'out'}'",
        f"INSERT INTO FUNCTION file('{tmp_path / 'out'}', 'TSV', 's String') SELECT 'x'",
        f"SELECT * FROM file('{secret}', 'TSV', 's String')",
    ):
        response = store.post(sql)
        assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (403, "497"), sql
    assert not (tmp_path / "out").exists()
    assert store.execute(f"SELECT count() FROM {table}") == "0"


def test_metrics_count_requests_and_rows(start_store: Any) -> None:
    store = start_store()
    store.execute("CREATE TABLE m (a UInt8) ENGINE = MergeTree ORDER BY a")
    store.execute("INSERT INTO m VALUES (1), (2), (3)")
    store.execute("SELECT * FROM m")
    assert store.post("SELECT nonsense").status_code == 404
    _, text = curl(store.url + "/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert values['tokentide_store_requests_total{kind="insert",outcome="ok"}'] == "1"
    assert values['tokentide_store_requests_total{kind="select",outcome="ok"}'] == "1"
    assert values['tokentide_store_requests_total{kind="other",outcome="client_error"}'] == "1"
    assert values["tokentide_store_inserted_rows_total"] == "3"
    assert values["tokentide_store_running_queries"] == "0"
    assert float(values["tokentide_store_uptime_seconds"]) > 0
