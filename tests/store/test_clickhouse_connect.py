"""clickhouse-connect, unmodified, against a started store."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError


def arrow_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.fixture
def client(store: Any) -> Any:
    with store.client() as client:
        yield client


def test_the_database_is_there_without_asking(client: Any) -> None:
    assert client.query("SELECT currentDatabase()").first_row == ("tokentide",)
    assert client.command("SELECT engine FROM system.databases WHERE name = 'tokentide'") == "Atomic"


def test_a_query_returns_typed_rows(client: Any) -> None:
    row = client.query("SELECT 1, 'ü', [1, 2], NULL, toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC')").first_row
    assert row == (1, "ü", [1, 2], None, dt.datetime(2026, 1, 2, 3, 4, 5, 678000))  # noqa: DTZ001 - as the client returns UTC


def test_an_arrow_query_returns_a_table(client: Any) -> None:
    table = client.query_arrow("SELECT number AS n, toString(number) AS s FROM numbers(100000)")
    assert table.num_rows == 100_000
    assert table.column("n").to_pylist()[-1] == 99_999


@pytest.mark.parametrize("compression", [False, "lz4", "zstd", "gzip"])
def test_large_results_stream_whole_with_every_compression(store: Any, compression: Any) -> None:
    sql = "SELECT number, toString(number) FROM numbers(500000)"
    with store.client(compress=compression) as client, client.query_row_block_stream(sql) as stream:
        rows = [row for block in stream for row in block]
    assert len(rows) == 500_000
    assert rows[-1] == (499_999, "499999")


@pytest.mark.parametrize("compression", [False, "lz4", "zstd", "gzip"])
def test_inserted_rows_come_back_with_every_compression(store: Any, table: str, compression: Any) -> None:
    with store.client(compress=compression) as client:
        client.command(f"CREATE TABLE {table} (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
        client.insert(table, [[number, f"ü'{number}"] for number in range(20_000)], column_names=["a", "s"])
        assert client.query(f"SELECT count(), max(s) FROM {table}").first_row == (20_000, "ü'9999")


def test_an_arrow_table_is_inserted_whole(client: Any, table: str) -> None:
    client.command(f"CREATE TABLE {table} (a UInt32, s LowCardinality(String)) ENGINE = MergeTree ORDER BY a")
    rows = pa.table({"a": pa.array(range(300_000), pa.uint32()), "s": pa.array(["x", "y"] * 150_000)})
    summary = client.insert_arrow(table, rows)
    assert summary.written_rows == 300_000
    assert client.query(f"SELECT count(), sum(a), uniqExact(s) FROM {table}").first_row == (
        300_000,
        sum(range(300_000)),
        2,
    )


@pytest.mark.parametrize("compression", [None, "lz4", "zstd", "gzip"])
@pytest.mark.parametrize(
    ("input_format", "data"),
    [
        ("ArrowStream", arrow_stream(pa.table({"a": pa.array([1, 2], pa.uint32()), "s": ["x", "y,\n'"]}))),
        ("JSONEachRow", b'{"a":1,"s":"x"}\n{"a":2,"s":"y,\\n\'"}\n'),
        ("CSV", b'1,"x"\n2,"y,\n\'"\n'),
    ],
    ids=["ArrowStream", "JSONEachRow", "CSV"],
)
def test_raw_bodies_are_inserted(client: Any, table: str, input_format: str, data: bytes, compression: Any) -> None:
    from clickhouse_connect.driver.compression import available_compression

    assert compression is None or compression in available_compression
    client.command(f"CREATE TABLE {table} (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
    if compression:
        import gzip

        import lz4.frame
        import zstandard

        pack = {"lz4": lz4.frame.compress, "zstd": zstandard.ZstdCompressor().compress, "gzip": gzip.compress}
        data = pack[compression](data)
    client.raw_insert(table, ["a", "s"], data, fmt=input_format, compression=compression)
    assert client.query(f"SELECT a, s FROM {table} ORDER BY a").result_rows == [(1, "x"), (2, "y,\n'")]


@pytest.mark.parametrize(
    "value",
    ["plain", "it's", 'double "quotes"', "back\\slash\\n", "tab\tnewline\n", "ünï 漢字 🌊", "{x:String}", "%s", ""],
)
def test_bound_strings_come_back_unchanged(client: Any, value: str) -> None:
    assert client.query("SELECT {value:String}", parameters={"value": value}).first_row == (value,)


@pytest.mark.parametrize("value", ["it's", "ünï 漢字 🌊", "line\none\n", "back\\slash", "x" * 200_000])
def test_long_parameters_travel_as_a_form(store: Any, value: str) -> None:
    with store.client(form_encode_query_params=True) as client:
        result = client.query("SELECT {value:String}, {n:UInt32}", parameters={"value": value, "n": 3})
    assert result.first_row == (value, 3)


def test_bound_numbers_arrays_and_identifiers_work(client: Any) -> None:
    parameters = {"n": 7, "names": ["a'b", "c\\d"], "source": "numbers"}
    sql = "SELECT {n:UInt32}, {names:Array(String)}, count() FROM system.{source:Identifier} WHERE number < {n:UInt32}"
    assert client.query(sql, parameters=parameters).first_row == (7, ["a'b", "c\\d"], 7)


def test_a_bound_string_can_filter(client: Any, table: str) -> None:
    client.command(f"CREATE TABLE {table} (s String) ENGINE = MergeTree ORDER BY s")
    client.insert(table, [["a"], ["' OR 1 --"]], column_names=["s"])
    result = client.query(f"SELECT count() FROM {table} WHERE s = {{s:String}}", parameters={"s": "' OR 1 --"})
    assert result.first_row == (1,)


def test_a_setting_holds_for_its_query_only(client: Any) -> None:
    sql = "SELECT getSetting('max_block_size')"
    default = client.query(sql).first_row
    assert client.query(sql, settings={"max_block_size": 1234}).first_row == (1234,)
    assert client.query(sql).first_row == default


def test_an_unknown_setting_is_refused(client: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT 1", settings={"no_such_setting": 1})
    assert caught.value.code == 115


def test_a_session_keeps_its_temporary_table_and_its_settings(store: Any) -> None:
    with store.client(session_id="temporary-table") as client:
        client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
        client.insert("mine", [[1], [2]], column_names=["a"])
        client.command("SET max_block_size = 4321")
        assert client.query("SELECT sum(a) FROM mine", settings={"max_block_size": 99}).first_row == (3,)
        assert client.query("SELECT getSetting('max_block_size')").first_row == (4321,)
    with store.client(session_id="another") as other, pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        other.query("SELECT * FROM mine")


def test_a_late_failure_in_a_stream_raises(client: Any) -> None:
    sql = "SELECT throwIf(number = 3000000, 'late failure') FROM numbers(10000000)"
    with pytest.raises(DatabaseError, match="late failure"), client.query_row_block_stream(sql) as stream:
        for _ in stream:
            pass


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELECT * FROM no_such_table", 60, "UNKNOWN_TABLE"),
        ("SELECT no_such_column FROM system.one", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT throwIf(1, 'no')", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT FROM WHERE", 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR"),
    ],
)
def test_errors_carry_their_code_and_name_once(client: Any, sql: str, code: int, name: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query(sql)
    assert caught.value.code == code
    assert str(caught.value).count(name) == 1


def test_a_bad_row_rejects_its_whole_insert(client: Any, table: str) -> None:
    client.command(f"CREATE TABLE {table} (a UInt32) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(DatabaseError):
        client.raw_insert(table, ["a"], b'{"a":1}\n{"a":"x"}\n', fmt="JSONEachRow")
    assert client.query(f"SELECT count() FROM {table}").first_row == (0,)
