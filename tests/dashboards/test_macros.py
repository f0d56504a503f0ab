"""The plugin's macros and Grafana's variables, expanded as Grafana does."""

from __future__ import annotations

import pytest

from tokentide_dashboards.macros import (
    ALL,
    MACROS,
    MacroError,
    TimeRange,
    expand,
    expand_conditional_all,
    expand_macros,
    interpolate,
)

RANGE = TimeRange(from_ms=1_767_225_600_500, to_ms=1_767_312_000_999, interval_ms=90_500)
FROM, TO = "toDateTime(1767225600)", "toDateTime(1767312000)"


@pytest.mark.parametrize(
    ("macro", "expansion"),
    [
        ("$__fromTime", FROM),
        ("$__toTime", TO),
        ("$__toTime()", TO),
        ("$__fromTime_ms", "fromUnixTimestamp64Milli(1767225600500)"),
        ("$__toTime_ms", "fromUnixTimestamp64Milli(1767312000999)"),
        ("$__timeFilter(t)", f"t >= {FROM} AND t <= {TO}"),
        (
            "$__timeFilter_ms(t)",
            "t >= fromUnixTimestamp64Milli(1767225600500) AND t <= fromUnixTimestamp64Milli(1767312000999)",
        ),
        ("$__dateFilter(d)", "d >= toDate('2026-01-01') AND d <= toDate('2026-01-02')"),
        (
            "$__dateTimeFilter(d, t)",
            f"(d >= toDate('2026-01-01') AND d <= toDate('2026-01-02')) AND (t >= {FROM} AND t <= {TO})",
        ),
        ("$__dt(d,t)", f"(d >= toDate('2026-01-01') AND d <= toDate('2026-01-02')) AND (t >= {FROM} AND t <= {TO})"),
        ("$__timeInterval(t)", "toStartOfInterval(toDateTime(t), INTERVAL 90 second)"),
        ("$__timeInterval_ms(t)", "toStartOfInterval(toDateTime64(t, 3), INTERVAL 90500 millisecond)"),
        ("$__interval_s", "90"),
    ],
)
def test_each_macro_expands_as_in_the_plugin(macro: str, expansion: str) -> None:
    assert expand_macros(f"SELECT {macro} FROM x", RANGE) == f"SELECT {expansion} FROM x"


def test_every_known_macro_is_among_the_tested_ones() -> None:
    marks = test_each_macro_expands_as_in_the_plugin.pytestmark  # type: ignore[attr-defined]
    tested = {case[0].removeprefix("$__").partition("(")[0] for case in marks[0].args[1]}
    assert tested == set(MACROS)


def test_an_interval_below_a_second_counts_as_a_second() -> None:
    narrow = TimeRange(0, 1000, interval_ms=20)
    assert expand_macros("$__interval_s", narrow) == "1"
    assert expand_macros("$__timeInterval_ms(t)", narrow).endswith("INTERVAL 20 millisecond)")
    assert expand_macros("$__timeInterval_ms(t)", TimeRange(0, 1, 0)).endswith("INTERVAL 1 millisecond)")


def test_a_macro_inside_a_macro_expands_first() -> None:
    sql = "$__timeFilter(if(a = $__interval_s, $__timeInterval(b), c))"
    column = "if(a = 90, toStartOfInterval(toDateTime(b), INTERVAL 90 second), c)"
    assert expand_macros(sql, RANGE) == f"{column} >= {FROM} AND {column} <= {TO}"


def test_commas_and_brackets_in_strings_do_not_split_arguments() -> None:
    assert expand_macros("$__timeInterval(f('a,)', `x(`, \"y)\"))", RANGE) == (
        "toStartOfInterval(toDateTime(f('a,)', `x(`, \"y)\")), INTERVAL 90 second)"
    )


@pytest.mark.parametrize("comment", ["-- $__timeFilter(", "/* $__dt(a) ' */"])
def test_comments_are_blanked_before_macros_are_read(comment: str) -> None:
    expanded = expand_macros(f"SELECT 1 {comment}\n, $__interval_s", RANGE)
    assert expanded.split() == ["SELECT", "1", ",", "90"]


def test_what_looks_like_a_comment_in_a_string_stays() -> None:
    sql = "SELECT '-- it''s /* no */ comment \\'', `--`"
    assert expand_macros(sql, RANGE) == sql


def test_macro_text_in_a_string_expands_as_in_the_plugin() -> None:
    assert expand_macros("SELECT 'every $__interval_s s'", RANGE) == "SELECT 'every 90 s'"


def test_unknown_macros_stay_for_clickhouse_to_name() -> None:
    assert expand_macros("$__timeGroup(t, '1m') $__interval $__fromTimes", RANGE) == (
        "$__timeGroup(t, '1m') $__interval $__fromTimes"
    )


@pytest.mark.parametrize("sql", ["$__timeFilter()", "$__timeFilter", "$__dt(a)", "$__timeFilter(a, b)"])
def test_a_wrong_number_of_arguments_is_named(sql: str) -> None:
    with pytest.raises(MacroError, match=r"takes . argument"):
        expand_macros(sql, RANGE)


def test_a_bracket_that_is_never_closed_is_an_error() -> None:
    with pytest.raises(MacroError, match="never closed"):
        expand_macros("SELECT $__timeFilter(f(a)", RANGE)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(MacroError, match="before it begins"):
        TimeRange(2, 1)


def test_conditional_all_keeps_the_condition_only_for_chosen_values() -> None:
    sql = "WHERE $__conditionalAll(m IN (${m:singlequote}), $m) AND $__conditionalAll(p = ${p}, ${p})"
    assert expand_conditional_all(sql, {"m": ALL, "p": "x"}) == "WHERE 1=1 AND p = ${p}"
    assert expand_conditional_all(sql, {"m": ["a", "b"], "p": ""}) == "WHERE m IN (${m:singlequote}) AND 1=1"
    assert expand_conditional_all(sql, {"m": [ALL], "p": [""]}) == "WHERE 1=1 AND 1=1"


def test_conditional_all_inside_conditional_all_expands_innermost_first() -> None:
    sql = "$__conditionalAll($__conditionalAll(a = 1, $a) OR b = 2, $b)"
    assert expand_conditional_all(sql, {"a": ALL, "b": "x"}) == "1=1 OR b = 2"


def test_conditional_all_over_a_variable_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(MacroError, match="no variable 'modell'"):
        expand_conditional_all("$__conditionalAll(a = 1, $modell)", {"model": ALL})
    with pytest.raises(MacroError, match="takes a condition and a variable"):
        expand_conditional_all("$__conditionalAll(a = 1)", {"model": ALL})


def test_variables_take_the_format_that_is_asked_for() -> None:
    values = {"v": ["a", "it's"], "one": "x"}
    assert interpolate("${v:singlequote}", values) == r"'a','it\'s'"
    assert interpolate("${v:doublequote}", values) == '"a","it\'s"'
    assert interpolate("${v:csv} ${v:raw}", values) == "a,it's a,it's"
    assert interpolate("$one ${one} '$one'", values) == "x x 'x'"
    with pytest.raises(MacroError, match="'regex' is not known"):
        interpolate("${v:regex}", values)


def test_a_bare_multi_value_is_quoted_but_not_escaped_as_in_the_plugin() -> None:
    assert interpolate("$v", {"v": ["a", "it's"]}) == "'a','it's'"
    assert interpolate("$v", {"v": ["a"]}) == "'a'"


def test_a_backslash_in_a_value_cannot_leave_its_quotes() -> None:
    assert interpolate("${v:singlequote}", {"v": "a\\"}) == r"'a\\'"


def test_all_without_a_guard_needs_the_options() -> None:
    assert interpolate("${v:singlequote}", {"v": ALL}, {"v": ["a", "b"]}) == "'a','b'"
    with pytest.raises(MacroError, match="set to All"):
        interpolate("${v:singlequote}", {"v": ALL})


def test_unknown_variables_and_dollars_stay() -> None:
    assert interpolate("$x ${x:csv} $5 $__interval_s", {"v": "1"}) == "$x ${x:csv} $5 $__interval_s"


def test_a_value_is_not_expanded_again() -> None:
    assert interpolate("$a", {"a": "$b", "b": "no"}) == "$b"


def test_the_browsers_part_comes_before_the_backends() -> None:
    sql = "WHERE $__timeFilter($column) AND $__conditionalAll(m IN (${m:singlequote}), $m)"
    assert expand(sql, RANGE, {"column": "t", "m": ALL}) == f"WHERE t >= {FROM} AND t <= {TO} AND 1=1"
