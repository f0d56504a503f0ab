"""What the read-only user may do, and all the ways in which it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

STATEMENTS = [
    line
    for line in (Path(__file__).parent / "hostile_statements.sql").read_text().splitlines()
    if line and not line.startswith("--")
]
SECRET = "the secret of this host"
TABLE = "readers_see"


@pytest.fixture(scope="module")
def limited(store_process: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store whose readers have tight limits, with a table, views and a dictionary."""
    limits = ("--reader-max-execution-time-s", "2", "--reader-max-memory-bytes", "200000000")
    store = store_process(tmp_path_factory.mktemp("readers"), *limits).start()
    try:
        store.execute(f"CREATE TABLE {TABLE} (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
        store.execute(f"INSERT INTO {TABLE} SELECT number, 'kept' FROM numbers(10)")
        store.execute(
            "CREATE TABLE prices (model String, v UInt32, x String) ENGINE = ReplacingMergeTree(v) ORDER BY model"
        )
        store.execute("INSERT INTO prices VALUES ('a', 1, 'old'), ('a', 2, 'new')")
        store.execute("CREATE VIEW current_prices AS SELECT * FROM prices FINAL")
        store.execute("CREATE VIEW price_of AS SELECT x FROM prices FINAL WHERE model = {model:String}")
        store.execute(
            "CREATE DICTIONARY price (model String, x String) PRIMARY KEY model "
            "SOURCE(CLICKHOUSE(TABLE 'current_prices' DB 'tokentide')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
        )
        yield store
    finally:
        store.stop()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("host")
    (path / "secret.txt").write_text(SECRET + "\n")
    return path


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_hostile_statement_is_refused(limited: Any, directory: Path, statement: str) -> None:
    sql = statement.replace("{dir}", str(directory)).replace("{t}", TABLE)
    response = limited.post(sql, user="reader")
    assert response.status_code >= 400, response.text[:500]
    assert SECRET not in response.text
    assert sorted(path.name for path in directory.iterdir()) == ["secret.txt"]
    assert limited.execute(f"SELECT count(), any(s) FROM {TABLE}") == "10\tkept"
    assert limited.execute("SELECT count() FROM system.tables WHERE name = 'hostile'") == "0"


def test_there_are_at_least_forty_hostile_statements() -> None:
    assert len(STATEMENTS) == len(set(STATEMENTS)) >= 40


@pytest.mark.parametrize("parameter", ["file", "`file`", "FILE"])
def test_a_parameter_cannot_name_a_function(limited: Any, directory: Path, parameter: str) -> None:
    sql = f"SELECT arrayMap({{f:Identifier}}, ['{directory}/secret.txt'])"
    response = limited.post(sql, user="reader", param_f=parameter)
    assert response.status_code >= 400
    assert SECRET not in response.text


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_execution_time": "0"},
        {"readonly": "0"},
        {"max_result_rows": "0"},
        {"max_memory_usage": "0"},
        {"profile": "default"},
        {"role": "writer"},
    ],
    ids=str,
)
def test_the_url_cannot_loosen_the_limits(limited: Any, parameters: dict[str, str]) -> None:
    names = ("max_execution_time", "readonly", "max_memory_usage")
    sql = "SELECT " + ", ".join(f"getSetting('{name}')" for name in names) + ", currentRoles()"
    response = limited.post(sql, user="reader", **parameters)
    assert response.text == "2\t1\t200000000\t['reader']\n"


def test_a_session_of_a_writer_is_not_a_readers(limited: Any) -> None:
    limited.execute("CREATE TEMPORARY TABLE mine (a UInt8)", session_id="s")
    assert limited.execute("SELECT count() FROM mine", session_id="s") == "0"
    assert limited.post("SELECT count() FROM mine", user="reader", session_id="s").status_code == 404


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (f"SELECT sum(a) FROM {TABLE}", "45\n"),
        (f"WITH x AS (SELECT a FROM {TABLE} WHERE a > 7) SELECT groupArray(a) FROM x", "[8,9]\n"),
        (f"SELECT max(s) FROM (SELECT sum(a) OVER (ORDER BY a) AS s FROM {TABLE})", "45\n"),
        ("SELECT dictGet('tokentide.price', 'x', 'a'), dictGetOrDefault('price', 'x', 'zz', 'none')", "new\tnone\n"),
        ("SELECT * FROM price", "a\tnew\n"),
        ("SELECT model, x FROM current_prices", "a\tnew\n"),
        ("SELECT * FROM price_of(model = 'a')", "new\n"),
        ("SHOW TABLES LIKE 'readers%'", f"{TABLE}\n"),
        (f"EXISTS TABLE {TABLE}", "1\n"),
        (f"SELECT name FROM system.columns WHERE table = '{TABLE}' ORDER BY name", "a\ns\n"),
        (f"SELECT sum(rows) FROM system.parts WHERE table = '{TABLE}' AND active", "10\n"),
        ("SELECT count() FROM system.tables WHERE database = 'tokentide' AND name = 'prices'", "1\n"),
        ("SELECT table_name FROM information_schema.tables WHERE table_name = 'prices'", "prices\n"),
        ("SELECT sum(number) FROM numbers(10)", "45\n"),
        ("SELECT sum(generate_series) FROM generateSeries(1, 3)", "6\n"),
        ("SELECT 'file(x) url(y) INSERT' -- ; DROP TABLE x", "file(x) url(y) INSERT\n"),
        ("SELECT 1;", "1\n"),
        ("SELECT format('{} {}', 'a', 'b'), extractURLParameter('http://x/?a=b', 'a')", "a b\tb\n"),
        (f"SELECT count() FROM {TABLE} WHERE a IN (SELECT a FROM {TABLE} WHERE a < 3)", "3\n"),
    ],
)
def test_analysts_sql_works(limited: Any, sql: str, expected: str) -> None:
    response = limited.post(sql, user="reader")
    assert (response.status_code, response.text) == (200, expected)


@pytest.mark.parametrize(
    "sql", [f"EXPLAIN SELECT * FROM {TABLE}", f"DESCRIBE {TABLE}", f"SHOW CREATE TABLE {TABLE}", "SHOW PROCESSLIST"]
)
def test_analysts_can_look_at_plans_and_schemas(limited: Any, sql: str) -> None:
    response = limited.post(sql, user="reader")
    assert response.status_code == 200, response.text
    assert response.text


def test_a_reader_can_use_clickhouse_connect(limited: Any) -> None:
    with limited.client(username="reader") as client:
        assert client.query_arrow(f"SELECT a FROM {TABLE}").num_rows == 10
        assert client.query("SELECT {x:String}", parameters={"x": "it's"}).first_row == ("it's",)
