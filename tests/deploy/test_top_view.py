"""What `tokentide top` shows, from values alone."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import pytest
from rich.console import Console

from tokentide_deploy.top_query import Extent, Frame, Sums, Window, groups_from, groups_sql, stored_window
from tokentide_deploy.top_view import as_json, change, compact, cost_per_hour, ordered, percent, render, rows_that_fit

NOW = dt.datetime(2026, 1, 1, 10, 5, tzinfo=dt.UTC)
END_S = int(NOW.timestamp())
ROLLING = Window(END_S - 300, END_S, 5.0, END_S - 600, "last 5 min", is_rolling=True)
ALONE = Window(END_S - 300, END_S, 5.0, None, "last 5 min", is_rolling=True)
STORED = stored_window(Extent(END_S - 3600, END_S, 30, 12), since_s=None)


def frame(window: Window = ROLLING, models: int = 3) -> Frame:
    sums = {
        f"model-{n}-with-a-name-that-is-far-too-long-for-a-narrow-terminal": Sums(
            requests=n, tokens=1_000_000 * n, input_tokens=700_000 * n, output_tokens=300_000 * n, previous_tokens=n
        )
        for n in range(1, models + 1)
    }
    total = sum(sums.values(), Sums())
    return Frame(NOW, window, {"model": sums, "category": {"(unlabelled)": total}})


def text_of(picture: Frame | None, *, width: int = 80, **options: Any) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(render(picture, **{"limit": None, "exact": True, **options}))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (7.25, "7.2"), (999, "999"), (999.96, "1.00 k"), (1234, "1.23 k"), (999_950, "1.00 M"),
        (12_345_678, "12.3 M"), (5.4e10, "54.0 B"), (123.4e12, "123 T"), (2e15, "2.00 Q"),
    ],
)  # fmt: skip
def test_compact_numbers_have_three_digits(value: float, text: str) -> None:
    assert compact(value) == text


def test_a_share_of_nothing_is_not_a_number() -> None:
    assert (percent(1, 3), percent(0, 0)) == ("33.3%", "-")


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (112, 100, "▲ +12.0%"),
        (50, 100, "▼ -50.0%"),
        (100, 100, "= 0.0%"),
        (0, 100, "▼ -100.0%"),
        (5, 0, "new"),
        (0, 0, "-"),
        (200_000, 1, "▲ x200,000"),
    ],
)
def test_a_change_reads_without_colours(now: int, before: int, text: str) -> None:
    assert change(Sums(tokens=now, previous_tokens=before), ROLLING).plain == text


def test_without_an_earlier_window_there_is_no_change() -> None:
    assert change(Sums(tokens=5, previous_tokens=0), ALONE).plain == "-"


def test_rows_are_sorted_by_tokens_and_the_rest_is_summed() -> None:
    groups = {"b": Sums(requests=1, tokens=5), "a": Sums(requests=1, tokens=5), "c": Sums(requests=9, tokens=7)}
    assert [name for name, _ in ordered(groups, None)] == ["c", "a", "b"]
    shown = ordered({**groups, "d": Sums(tokens=1, errors=2)}, limit=2)
    assert [name for name, _ in shown] == ["c", "other (3)"]
    assert shown[1][1] == Sums(requests=2, tokens=11, errors=2)


def test_cost_says_what_is_unknown() -> None:
    assert cost_per_hour(Sums(requests=2, cost_nanousd=10**9), ROLLING) == "$12.00"
    assert cost_per_hour(Sums(requests=2, cost_nanousd=10**9, cost_unknown_requests=1), ROLLING) == "$12.00+"
    assert cost_per_hour(Sums(requests=2, cost_unknown_requests=2), ROLLING) == "unknown"
    assert cost_per_hour(Sums(requests=2, cost_nanousd=10**5), ROLLING) == "$0.0012"


@pytest.mark.parametrize("window", [ROLLING, ALONE, STORED])
@pytest.mark.parametrize("exact", [True, False])
def test_a_picture_fits_eighty_columns(window: Window, exact: bool) -> None:
    lines = text_of(frame(window), exact=exact, live=True).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert any("model-3-with" in line and "…" in line for line in lines)


def test_a_live_picture_fits_a_screen_of_24_lines() -> None:
    picture = frame(models=40)
    limit = rows_that_fit(24, ("model", "category"))
    lines = text_of(picture, limit=limit, live=True, problem="The store does not answer.").splitlines()
    assert len(lines) <= 24
    assert any(line.startswith("other (34)") for line in lines)


def test_totals_are_exact_and_rates_follow_from_them() -> None:
    text = text_of(frame())
    assert "MODELS (3)" in text
    assert "6,000,000" in text
    assert "tokens/day at this rate" in text
    assert compact(6_000_000 / 5 * 1440) in text


def test_all_stored_time_shows_input_and_output_and_no_change() -> None:
    text = text_of(frame(STORED), width=110)
    header = next(line for line in text.splitlines() if line.startswith("MODELS"))
    assert header.split()[2:] == ["REQUESTS", "INPUT", "OUTPUT", "TOKENS", "SHARE"]
    assert "4,200,000" in text
    assert "1,800,000" in text
    assert compact(6_000_000 / 30 * 1440) in text, "the mean is over stored minutes, not over the calendar"


def test_what_is_missing_from_the_sums_is_said() -> None:
    picture = Frame(NOW, ROLLING, {"model": {"a": Sums(requests=9, usage_missing_requests=2, cost_unknown_requests=3)}})
    assert "+ 3 requests of unknown cost; 2 requests without reported usage" in text_of(picture)


def test_an_empty_store_says_how_to_fill_it() -> None:
    assert "Nothing is stored yet" in text_of(Frame(NOW, None))


def test_an_empty_window_over_a_full_store_says_where_the_data_is() -> None:
    picture = Frame(NOW, ROLLING, {"model": {}}, Extent(1_700_158_500, 1_700_162_040, 59, 28_185))
    text = " ".join(text_of(picture).split())
    assert "28,185 requests from 2023-11-16 18:15 to 2023-11-16 19:14 UTC" in text
    assert "--all" in text


def test_a_problem_is_shown_above_the_last_picture() -> None:
    text = text_of(frame(), problem="The store does not answer.")
    assert text.startswith("! The store does not answer.")
    assert "MODELS (3)" in text
    assert text_of(None, problem="No stack runs.").strip() == "! No stack runs."
    assert "Waiting for the store" in text_of(None)


def test_a_name_cannot_steer_the_terminal_or_be_read_as_markup() -> None:
    text = text_of(Frame(NOW, ROLLING, {"model": {"[red]x\x1b[2J": Sums(requests=1, tokens=1)}}))
    assert "[red]x\\x1b[2J" in text


def test_json_is_exact_and_complete() -> None:
    document = as_json(frame(STORED), None)
    assert document["totals"]["tokens"] == 6_000_000
    assert [row["tokens"] for row in document["models"]] == [3_000_000, 2_000_000, 1_000_000]
    assert document["models"][0]["share"] == 0.5
    assert document["from"] == "2026-01-01T09:05:00+00:00"
    assert as_json(Frame(NOW, None), None)["tokens_per_day"] is None


def test_rows_go_to_their_dimension() -> None:
    rows = [("model", "m", 1, 2, 3, 4, 5, 6, 7, 8, 9), ("category", "c", *[0] * 9)]
    groups = groups_from(rows, ("model", "category"))
    assert groups == {"model": {"m": Sums(1, 2, 3, 4, 5, 6, 7, 8, 9)}, "category": {"c": Sums()}}


def test_a_dimension_that_is_not_asked_for_is_not_read() -> None:
    assert "provider" not in groups_sql(ROLLING, ("model",)).split("ARRAY JOIN")[1]
