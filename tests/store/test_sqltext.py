"""The small lexer: where an INSERT's data begins, which format a statement names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tokentide_deploy.store.access import AccessPolicy, settings_of
from tokentide_deploy.store.body import BodyFeed
from tokentide_deploy.store.errors import StoreError, from_engine
from tokentide_deploy.store.sqltext import data_start, identifier, identifiers_of_canonical, literal, outline


@pytest.mark.parametrize(
    ("sql", "input_format", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV\r\n1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV  1,2", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT TSV\n\n", "TSV", b"\n"),
        (b"insert into `format csv` (a, `values`) format JSONEachRow {}", "JSONEachRow", b"{}"),
        (b"INSERT INTO t (a) /* FORMAT TSV */ -- VALUES\n VALUES (1)", "Values", b"(1)"),
        (b"INSERT INTO t SETTINGS x = 'FORMAT y' FORMAT Native\n\x00\x01", "Native", b"\x00\x01"),
        (b"INSERT INTO FUNCTION f('FORMAT a') FORMAT RowBinary\nSELECT", "RowBinary", b"SELECT"),
    ],
)
def test_the_data_begins_after_the_format(sql: bytes, input_format: str, data: bytes) -> None:
    statement = outline(sql)
    assert statement.is_insert_with_data
    assert statement.format is not None
    assert statement.format.name == input_format
    assert sql[data_start(sql, statement.format) :] == data


@pytest.mark.parametrize("sql", [b"INSERT INTO t SELECT 1", b"INSERT INTO t WITH 1 AS x SELECT x", b"SELECT 1"])
def test_a_select_has_no_data(sql: bytes) -> None:
    assert not outline(sql).is_insert_with_data


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        (b"SELECT 1 FORMAT JSON", "JSON"),
        (b"SELECT (SELECT 1) AS x FORMAT TSV SETTINGS max_threads = 1", "TSV"),
        (b"SELECT 'FORMAT JSON'", None),
        (b"SELECT format('{}', 1)", None),
    ],
)
def test_the_format_of_a_select_is_found(sql: bytes, name: str | None) -> None:
    found = outline(sql).format
    assert (found.name if found else None) == name


def test_identifiers_are_seen_without_strings() -> None:
    found = identifiers_of_canonical("SELECT file('url(x)'), `a.b`, url FROM numbers(1) WHERE x = 'it\\'s file'")
    assert ("file", True) in found
    assert ("url", False) in found
    assert ("b", False) in found
    assert [name for name, _ in found].count("file") == 1


def test_quoting_survives_hostile_text() -> None:
    assert literal("a'b\\") == "'a\\'b\\\\'"
    assert identifier("a`b") == "`a\\`b`"


def test_engine_errors_lose_wrappers_and_repetition() -> None:
    error = from_engine(
        RuntimeError(
            "Streaming insert finish failed: Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify 'x' "
            "setting in readonly mode. (READONLY) (version 26.9.2.1). (READONLY)"
        )
    )
    assert error.code == 164
    assert error.message == "Code: 164. DB::Exception: Cannot modify 'x' setting in readonly mode. (READONLY)"


def test_a_reader_keeps_only_harmless_settings() -> None:
    policy = AccessPolicy()
    reader, writer = policy.user("reader"), policy.user("tokentide")
    assert reader is not None
    assert writer is not None
    wanted = {"max_execution_time": "0", "output_format_json_quote_64bit_integers": "1", "query": "x", "param_a": "1"}
    assert settings_of(wanted, reader) == {"output_format_json_quote_64bit_integers": "1"}
    assert set(settings_of(wanted, writer)) == {"max_execution_time", "output_format_json_quote_64bit_integers"}
    with pytest.raises(StoreError, match="Unknown setting"):
        settings_of({"a=1, readonly": "0"}, writer)


def test_a_stalled_body_is_given_up() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    async def run() -> None:
        feed = BodyFeed(chunks(), idle_timeout_s=0.01)
        await feed.prefetch()
        loop = asyncio.get_running_loop()
        with pytest.raises(StoreError, match="stalled"):
            await loop.run_in_executor(None, lambda: list(feed.slices()))

    asyncio.run(run())
