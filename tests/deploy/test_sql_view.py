"""What `tokentide sql` shows, from ClickHouse's text alone."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tokentide_deploy.sql_view import (
    MAX_CELL_CHARS,
    NULL,
    Result,
    UnexpectedAnswerError,
    clickhouse_format,
    fitted_widths,
    read_result,
    render,
    shorten,
    split_format,
    summary,
)


def lines(*rows: list[str]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def text_of(result: Result, width: int | None) -> list[str]:
    output = io.StringIO()
    Console(width=width or 400, file=output).print(render(result, width))
    return [line.rstrip() for line in output.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("query", "split"),
    [
        ("SELECT 1", ("SELECT 1", None)),
        ("SELECT 1 ;\n; ", ("SELECT 1", None)),
        ("SELECT 1 format JSONEachRow;", ("SELECT 1", "JSONEachRow")),
        ("SELECT 1\nFORMAT CSV", ("SELECT 1", "CSV")),
        ("SELECT format('{}', x)", ("SELECT format('{}', x)", None)),
        ("SELECT 'FORMAT CSV'", ("SELECT 'FORMAT CSV'", None)),
        ("", ("", None)),
    ],
)
def test_the_querys_own_format_is_taken_from_it(query: str, split: tuple[str, str | None]) -> None:
    assert split_format(query) == split


def test_formats_have_short_names_and_clickhouses_own() -> None:
    assert clickhouse_format("csv") == "CSVWithNames"
    assert clickhouse_format("arrow") == "ArrowStream"
    assert clickhouse_format("PrettyCompact") == "PrettyCompact"
    with pytest.raises(ValueError, match="is no format"):
        clickhouse_format("CSV; DROP")


def test_rows_beyond_the_limit_are_counted_but_not_kept() -> None:
    result = read_result(lines(["n"], ["UInt8"], *(["1"] for _ in range(1234))), max_rows=1000)
    assert (len(result.rows), result.total_rows) == (1000, 1234)
    assert summary(result, 0.5) == "first 1,000 of 1,234 rows in 0.50 s"


def test_a_single_row_none_and_no_table_are_worded() -> None:
    one = read_result(lines(["n"], ["UInt8"], ["1"]), 10)
    assert summary(one, 0) == "1 row in 0.00 s"
    assert summary(read_result(lines(["n"], ["UInt8"]), 10), 0) == "0 rows in 0.00 s"
    assert summary(read_result([], 10), 0) == "done in 0.00 s"


@pytest.mark.parametrize("kept", [10, 1])
def test_an_error_in_the_middle_of_the_rows_is_an_error(kept: int) -> None:
    broken = [*lines(["n"], ["UInt8"], ["1"]), b"Code: 241. DB::Exception: Memory limit exceeded"]
    with pytest.raises(UnexpectedAnswerError, match="Memory limit exceeded"):
        read_result(broken, max_rows=kept)


def test_numbers_stand_right_and_are_never_cut() -> None:
    result = Result(["model", "tokens"], ["LowCardinality(String)", "Nullable(UInt64)"])
    result.rows = [["m" * 70, "123456789012345678"], ["n", NULL]]
    shown = text_of(result, 50)
    assert shown[2].endswith("123456789012345678")
    assert "…" in shown[2]
    assert shown[3].endswith("NULL")
    assert max(map(len, shown)) <= 50


def test_the_widest_text_gives_way_first() -> None:
    assert fitted_widths([40, 20, 10], [True, True, False], 60) == [24, 20, 10]
    assert fitted_widths([40, 20, 10], [True, True, False], 100) == [40, 20, 10]
    assert fitted_widths([40, 40], [True, False], 48) is None


def test_a_wide_cell_is_cut_on_a_terminal_but_not_in_a_pipe() -> None:
    result = Result(["t"], ["String"], [["x" * 100]], 1)
    assert text_of(result, 200)[-1] == "x" * (MAX_CELL_CHARS - 1) + "…"
    assert text_of(result, None)[-1] == "x" * 100
    assert shorten("abc", 3) == "abc"


def test_more_columns_than_fit_are_shown_as_records() -> None:
    names = [f"column_{n}" for n in range(40)]
    result = Result(names, ["UInt8"] * 40, [[str(n) for n in range(40)]], 1)
    shown = text_of(result, 80)
    assert shown[0] == "row 1"
    assert shown[40].split() == ["column_39", "39"]


def test_what_is_stored_cannot_steer_the_terminal_or_be_read_as_markup() -> None:
    result = Result(["[bold]n"], ["String"], [["[red]\x1b[2J\r\n"]], 1)
    shown = text_of(result, 80)
    assert shown[0] == "[bold]n"
    assert shown[2] == "[red]\\x1b[2J\\r\\n"
