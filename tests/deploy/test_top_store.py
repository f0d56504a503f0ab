"""`tokentide top` as a person runs it, on a store process."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .looking import TRACE_START_S, Store, command_line, partial, running_store, tokentide


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that holds a trace of 2023 and nothing newer."""
    with running_store(tmp_path_factory.mktemp("replayed")) as store:
        store.make_tables()
        code = [
            partial(
                TRACE_START_S + 60 * m, "coder", "programming", requests=3, tokens_in=1_000, cached=7, tokens_out=11
            )
            for m in range(50)
        ]
        chat = [
            partial(TRACE_START_S + 60 * m, "chatter", "", requests=2, tokens_in=500, tokens_out=90, reasoning=5)
            for m in range(20)
        ]
        store.insert_partials(*code, *chat)
        yield store


def test_all_stored_time_gives_the_exact_sums_of_a_replayed_trace(replayed: Store) -> None:
    for flags in (["--all"], ["--window", "0"], ["--since", "2023-11-16"], ["--since", "2023-11-16T18:15:30+00:00"]):
        done = tokentide("top", "--once", "--clickhouse", replayed.reader_url, "--format", "json", *flags)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["totals"]["requests"] == 3 * 50 + 2 * 20
        assert document["totals"]["input_tokens"] == 1_007 * 50 + 500 * 20
        assert document["totals"]["output_tokens"] == 11 * 50 + 95 * 20
        assert [(row["name"], row["requests"]) for row in document["models"]] == [("coder", 150), ("chatter", 40)]
        assert [row["name"] for row in document["categories"]] == ["programming", "(unlabelled)"]
        assert document["minutes"] == 50


def test_the_printed_table_has_the_same_exact_numbers(replayed: Store) -> None:
    done = tokentide("top", "--once", "--all", "--clickhouse", replayed.reader_url)
    coder = next(line for line in done.stdout.splitlines() if line.startswith("coder"))
    assert coder.split() == ["coder", "150", "50,350", "550", "50,900", "81.1%"]
    assert "all stored: 2023-11-16 18:15 UTC to 2023-11-16 19:05 UTC, 50 stored min" in done.stdout


def test_since_a_later_moment_leaves_the_earlier_minutes_out(replayed: Store) -> None:
    done = tokentide(
        *("top", "--once", "--since", "2023-11-16T18:55", "--clickhouse", replayed.reader_url),
        *("--format", "json", "--by", "model"),
    )
    document = json.loads(done.stdout)
    assert document["totals"]["requests"] == 3 * 10
    assert "categories" not in document


def test_the_last_minutes_of_an_old_trace_are_empty_and_say_where_it_is(replayed: Store) -> None:
    done = tokentide("top", "--once", "--clickhouse", replayed.reader_url)
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert "190 requests from 2023-11-16 18:15 to 2023-11-16 19:05 UTC: show them with --all" in text


def test_a_moment_that_is_none_is_refused(replayed: Store) -> None:
    done = tokentide("top", "--once", "--since", "yesterday", "--clickhouse", replayed.reader_url)
    assert done.returncode == 2
    assert "no ISO 8601 time" in done.stderr


def test_a_live_window_compares_with_the_window_before(tmp_path: Path) -> None:
    with running_store(tmp_path) as store:
        store.make_tables()
        end_s = int(time.time() - 15) // 60 * 60
        minutes = range(-16, 3)  # and three that are not complete yet
        store.insert_partials(
            *(
                partial(
                    end_s + 60 * m, "steady", "a", requests=2, tokens_in=100 if m < -5 else 150, tokens_out=0,
                    cost_nanousd=10**9,
                )
                for m in minutes
            ),
            *(
                partial(end_s + 60 * m, "fresh", "b", requests=1, tokens_in=50, tokens_out=0, outcome="error",
                        without_cost=1)
                for m in minutes
                if m >= -2
            ),
        )  # fmt: skip
        done = tokentide("top", "--once", "--clickhouse", store.reader_url, "--format", "json")
        document = json.loads(done.stdout)
        ends_s = int(time.time() - 10) // 60 * 60
        if ends_s != end_s:
            pytest.skip("a minute ended while the test read the clock")
        assert document["compared"] is True
        assert document["totals"]["tokens"] == 5 * 150 + 2 * 50
        assert document["totals"]["previous_tokens"] == 500
        assert document["totals"]["errors"] == 2
        assert document["tokens_per_day"] == 850 / 5 * 1440
        steady, fresh = (
            line.split()
            for line in tokentide("top", "--once", "--clickhouse", store.reader_url).stdout.splitlines()
            if line.startswith(("steady", "fresh"))
        )
        assert steady == ["steady", "10", "750", "150", "88.2%", "▲", "+50.0%"]
        assert fresh == ["fresh", "2", "100", "20", "11.8%", "new"]


def test_an_empty_store_and_one_without_tables_are_told_apart(tmp_path: Path) -> None:
    with running_store(tmp_path) as store:
        store.execute()
        without_tables = tokentide("top", "--once", "--clickhouse", store.reader_url)
        assert without_tables.returncode == 1
        assert "no tables yet" in without_tables.stderr
        store.make_tables()
        for flags in ([], ["--all"]):
            empty = tokentide("top", "--once", "--clickhouse", store.reader_url, *flags)
            assert empty.returncode == 0
            assert "Nothing is stored yet" in empty.stdout


def test_once_without_a_stack_or_without_an_answer_fails_and_says_why(tmp_path: Path) -> None:
    no_stack = tokentide("top", "--once", "--data-dir", str(tmp_path))
    assert (no_stack.returncode, "tokentide up" in no_stack.stderr) == (5, True)
    no_answer = tokentide("top", "--once", "--clickhouse", "http://127.0.0.1:1/tokentide")
    assert no_answer.returncode == 6
    assert "does not answer" in no_answer.stderr
    assert "Traceback" not in no_answer.stderr


def test_live_it_keeps_trying_until_the_store_is_back(tmp_path: Path) -> None:
    with running_store(tmp_path) as store:
        store.make_tables()
        store.insert_partials(partial(TRACE_START_S, "only", "x", requests=1, tokens_in=5, tokens_out=0))
        port, url = store.port, store.reader_url
    screen = bytearray()
    terminal, child_end = pty.openpty()
    process = subprocess.Popen(
        command_line("top", "--all", "--interval", "0.2", "--clickhouse", url),
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
    )
    os.close(child_end)

    def seen(text: str) -> Callable[[], bool]:
        def look() -> bool:
            while select.select([terminal], [], [], 0)[0]:
                screen.extend(os.read(terminal, 65536))
            return text.encode() in screen

        return look

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 30
        while not condition():
            assert process.poll() is None and time.monotonic() < deadline_s, screen.decode(errors="replace")
            time.sleep(0.02)

    try:
        wait_for(seen("Trying again every 0.2 s"))
        assert b"only" not in screen
        with running_store(tmp_path, port):
            wait_for(seen("only"))
        screen.clear()
        wait_for(seen("Trying again"))
        assert b"only" in screen, "the last picture stays below the message"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(terminal)
