"""`tokentide sql` as a person runs it, on a store process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pyarrow as pa
import pytest

from .looking import TRACE_START_S, Store, command_line, partial, running_store, tokentide


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("sql")) as running:
        running.make_tables()
        running.insert_partials(partial(TRACE_START_S, "m", "c", requests=2, tokens_in=30, tokens_out=4))
        yield running


def test_a_table_shows_the_rows_and_how_many(store: Store) -> None:
    query = "SELECT model, total_tokens, NULL AS n FROM rollup_1m"
    done = tokentide("sql", query, "--clickhouse", store.reader_url)
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()][-1] == ["m", "│", "34", "│", "NULL"]
    assert done.stderr.startswith("1 row in ")


def test_only_the_first_thousand_rows_are_printed(store: Store) -> None:
    done = tokentide("sql", "SELECT number FROM numbers(70000)", "--clickhouse", store.reader_url)
    assert len(done.stdout.splitlines()) == 2 + 1000
    assert done.stderr.startswith("first 1,000 of 70,000 rows in ")


@pytest.mark.parametrize("arguments", [["-"], []])
def test_the_query_may_come_from_standard_input(store: Store, arguments: list[str]) -> None:
    done = tokentide("sql", *arguments, "--clickhouse", store.reader_url, "-f", "csv", stdin="SELECT 1 AS x;\n")
    assert (done.stdout, done.stderr) == ('"x"\n1\n', "")


def test_no_query_at_all_is_an_error(store: Store) -> None:
    done = tokentide("sql", "--clickhouse", store.reader_url)
    assert done.returncode == 1
    assert "There is no query" in done.stderr


def test_machine_formats_are_the_raw_bytes(store: Store) -> None:
    query = "SELECT number AS n FROM numbers(3)"
    base = ("sql", query, "--clickhouse", store.reader_url, "--format")
    assert [row["n"] for row in json.loads(tokentide(*base, "json").stdout)["data"]] == [0, 1, 2]
    assert tokentide(*base, "ndjson").stdout == '{"n":0}\n{"n":1}\n{"n":2}\n'
    arrow = subprocess.run(command_line(*base, "arrow"), capture_output=True, timeout=60)
    assert pa.ipc.open_stream(arrow.stdout).read_all().to_pydict() == {"n": [0, 1, 2]}


def test_the_querys_own_format_wins(store: Store) -> None:
    done = tokentide("sql", "SELECT 1 AS x FORMAT JSONEachRow", "--clickhouse", store.reader_url)
    assert done.stdout == '{"x":1}\n'


def test_a_mistake_shows_clickhouses_message_and_fails(store: Store) -> None:
    done = tokentide("sql", "SELECT nope", "--clickhouse", store.reader_url)
    assert done.returncode == 1
    assert done.stderr.startswith("tokentide: Code: 47. DB::Exception: Unknown expression identifier `nope`")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("output_format", ["table", "csv"])
def test_an_error_after_the_first_rows_fails(store: Store, output_format: str) -> None:
    query = "SELECT throwIf(number = 900000) FROM numbers(1000000)"
    done = tokentide("sql", query, "--clickhouse", store.reader_url, "-f", output_format)
    assert done.returncode == 1
    assert "tokentide: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_error(store: Store) -> None:
    process = subprocess.Popen(
        command_line("sql", "SELECT * FROM numbers(900000)", "-f", "csv", "--clickhouse", store.reader_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b'"number"\n'
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_even_an_account_that_may_write_only_reads_unless_asked_to(store: Store) -> None:
    statement = "CREATE TABLE written (a Int8) ENGINE = Memory"
    for url in (store.reader_url, store.writer_url):
        refused = tokentide("sql", statement, "--clickhouse", url)
        assert refused.returncode == 1
        assert "READONLY" in refused.stderr
    allowed = tokentide("sql", statement, "--clickhouse", store.writer_url, "--user", "writer")
    assert allowed.returncode == 0, allowed.stderr
    listed = tokentide("sql", "SHOW TABLES LIKE 'written'", "--clickhouse", store.reader_url, "-f", "tsv")
    assert listed.stdout == "name\nwritten\n"


def test_a_name_that_is_no_format_is_refused(store: Store) -> None:
    done = tokentide("sql", "SELECT 1", "--clickhouse", store.reader_url, "-f", "a b")
    assert done.returncode == 1
    assert "is no format" in done.stderr
