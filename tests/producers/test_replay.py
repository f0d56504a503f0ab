from __future__ import annotations

import datetime as dt
import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tokentide_producers.replay import ReplayResult, Survey, TraceFile, plan_times, send, survey
from tokentide_producers.replay_mapping import Labels, TraceColumns
from tokentide_producers.replay_reading import TraceFileError, TraceFormat, format_of
from tokentide_producers.replay_times import UNREADABLE, TimestampUnit, parse_times
from tokentide_producers.sender import EnvelopeSender
from tokentide_producers.settings import SenderSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.catalogue import Catalogue, load_catalogue
from tokentide_schemas.envelope import decode

MockKafka = Any  # the class of conftest.py, which tests cannot import
AZURE = Path(__file__).parent.parent / "data" / "azure-llm-2023"
AZURE_COLUMNS = TraceColumns("TIMESTAMP", "ContextTokens", "GeneratedTokens")
COLUMNS = TraceColumns("t", "i", "o", "c")
LABELS = Labels("gpt-4o", "openai", "programming")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def replay(
    trace: TraceFile, kafka: MockKafka, catalogue: Catalogue, *, speed: float | None = None, keep_time: bool = False
) -> tuple[ReplayResult, list[dict[str, Any]]]:
    found = survey(trace)
    schedule = plan_times(found, now_ms=time.time_ns() // 1_000_000, speed=speed, keep_time=keep_time)
    sender = EnvelopeSender(kafka.bootstrap_servers, settings=SenderSettings())
    result = send(trace, found, schedule, LABELS, catalogue, sender)
    envelopes = [decode(record) for record in kafka.records()]
    block = assemble(envelopes)
    assert not any(block.rejections)
    return result, block.table.to_pylist()


@pytest.mark.parametrize(
    ("name", "requests", "input_tokens", "output_tokens"),
    [("code.csv", 8_819, 18_059_974, 245_896), ("conv.csv", 19_366, 22_361_870, 4_088_665)],
)
def test_the_azure_traces_arrive_exactly(
    name: str, requests: int, input_tokens: int, output_tokens: int, kafka: MockKafka, catalogue: Catalogue
) -> None:
    trace = TraceFile(AZURE / name, TraceFormat.CSV, AZURE_COLUMNS)
    result, rows = replay(trace, kafka, catalogue)
    expected = (requests, input_tokens, output_tokens)
    assert (result.requests, result.input_tokens, result.output_tokens) == expected
    assert result.is_complete and result.acknowledged_requests == requests
    stored = (len(rows), sum(r["input_uncached_tokens"] for r in rows), sum(r["output_tokens"] for r in rows))
    assert stored == expected
    assert len({row["event_id"] for row in rows}) == requests
    assert {row["model"] for row in rows} == {"openai/gpt-4o"}
    assert all(row["cost_nanousd"] is not None and row["price_version"] for row in rows)
    # Spacing is kept to the millisecond, and the last event is now.
    written = [line.split(",")[0] for line in (AZURE / name).read_text().splitlines()[1:]]
    ms = sorted(int(dt.datetime.fromisoformat(f"{t[:23]}+00:00").timestamp() * 1000 + 0.5) for t in written)
    got = sorted(int(row["occurred_at"].timestamp() * 1000 + 0.5) for row in rows)
    assert [t - got[0] for t in got] == [t - ms[0] for t in ms]
    assert 0 <= time.time() * 1000 - got[-1] < 60_000


def test_times_can_be_kept(kafka: MockKafka, catalogue: Catalogue) -> None:
    trace = TraceFile(AZURE / "code.csv", TraceFormat.CSV, AZURE_COLUMNS, limit=1)
    result, rows = replay(trace, kafka, catalogue, keep_time=True)
    assert result.requests == 1
    assert rows[0]["occurred_at"] == dt.datetime(2023, 11, 16, 18, 17, 3, 979_000, tzinfo=dt.UTC)


def write_csv(path: Path, *rows: str) -> TraceFile:
    path.write_text("\n".join(["t,i,o,c,x", *rows]) + "\n")
    return TraceFile(path, TraceFormat.CSV, COLUMNS)


def test_a_paced_replay_takes_its_time_and_events_happen_as_they_are_sent(
    kafka: MockKafka, catalogue: Catalogue, tmp_path: Path
) -> None:
    trace = write_csv(tmp_path / "a.csv", "2026-01-01 00:01:00,1,1,0,", "2026-01-01 00:00:00,2,1,0,")
    start_s = time.time()
    result, rows = replay(trace, kafka, catalogue, speed=60.0)
    assert time.time() - start_s >= 1.0 and result.is_complete
    by_tokens = {row["input_uncached_tokens"]: row["occurred_at"].timestamp() for row in rows}
    assert by_tokens[1] - by_tokens[2] == pytest.approx(1.0, abs=0.002)
    assert start_s - 0.01 <= by_tokens[2] and by_tokens[1] <= time.time()


def test_cached_tokens_are_a_part_of_the_input(kafka: MockKafka, catalogue: Catalogue, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for number in range(3):
            file.write(json.dumps({"t": 1_700_000_000.5 + number, "i": 100, "o": 7, "c": 30 + number}) + "\n\n")
    columns = TraceColumns("t", "i", "o", "c", TimestampUnit.S)
    result, rows = replay(TraceFile(path, format_of(path), columns), kafka, catalogue)
    assert result.input_tokens == 300
    assert sorted((r["input_uncached_tokens"], r["input_cache_read_tokens"]) for r in rows) == [
        (68, 32),
        (69, 31),
        (70, 30),
    ]


def test_each_bad_row_is_named_by_line_column_and_problem(tmp_path: Path) -> None:
    trace = write_csv(
        tmp_path / "a.csv",
        "2026-01-01 00:00:00,10,1,0,",
        "2026-13-01 00:00:00,10,1,0,",
        "yesterday,10,1,0,",
        "",
        "2026-01-01 00:00:00,-5,1,0,",
        "2026-01-01 00:00:00,10,,0,",
        "2026-01-01 00:00:00,10,1",
        ",,,,",
        "2026-01-01 00:00:00,10,1,11,",
        "2026-01-01 00:00:00,a long text that may be somebody's prompt,1,11,",
    )
    found = survey(trace)
    assert found.requests == 1 and found.bad_rows == 8
    told = {(row.line, row.column): row.problem for row in found.bad_examples}
    assert set(told) == {(3, "t"), (4, "t"), (6, "i"), (7, "o"), (8, "(all)"), (9, "t"), (10, "c"), (11, "i")}
    assert "negative" in told[6, "i"] and "empty" in told[7, "o"] and "more than the input" in told[10, "c"]
    assert "prompt" not in told[11, "i"]


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "is empty"), ("a,b\n1,2\n", "has no column t, i, o, c; its columns are a, b"), ("t,i,o,c\n", "no rows")],
)
def test_a_file_without_the_columns_or_rows_is_refused(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(TraceFileError, match=words):
        survey(TraceFile(path, TraceFormat.CSV, COLUMNS))


def test_a_file_that_is_missing_or_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match=r"no\.csv: cannot be read"):
        survey(TraceFile(tmp_path / "no.csv", TraceFormat.CSV, COLUMNS))
    whole = gzip.compress(b"t,i,o,c\n" + b"2026-01-01 00:00:00,1,1,0\n" * 1000)
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(TraceFileError, match="cannot be read"):
        survey(TraceFile(tmp_path / "cut.csv.gz", TraceFormat.CSV, COLUMNS))


def test_json_lines_that_are_not_objects_are_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"t": "2026-01-01T00:00:00Z", "i": 1, "o": 1, "c": 0}\n{"t": \n[1]\n{"t": true, "i": 1}\n')
    found = survey(TraceFile(path, TraceFormat.JSON_LINES, COLUMNS))
    assert found.requests == 1
    assert [row.line for row in found.bad_examples] == [2, 3, 4]


def test_a_file_larger_than_a_block_is_read_whole_and_lines_stay_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokentide_producers.replay_reading.BLOCK_BYTES", 1_000)
    rows = [f"2026-01-01 00:00:00.{n % 1000:03},{n},1,0," for n in range(2_000)]
    rows[1_500] = "2026-01-01 00:00:00,x,1,0,"
    rows[700] = "too,few"
    found = survey(write_csv(tmp_path / "a.csv", *rows))
    assert found.requests == 1_998
    assert found.input_tokens == sum(range(2_000)) - 1_500 - 700
    assert sorted(row.line for row in found.bad_examples) == [702, 1_502]


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("2023-11-16 18:17:03.9799600", TimestampUnit.ISO, 1_700_158_623_979),
        ("2023-11-16T18:17:03Z", TimestampUnit.ISO, 1_700_158_623_000),
        ("2023-11-16T20:17:03.5+02:00", TimestampUnit.ISO, 1_700_158_623_500),
        ("2023-11-16 13:17:03,25 -0500", TimestampUnit.ISO, 1_700_158_623_250),
        ("1700158623.979", TimestampUnit.S, 1_700_158_623_979),
        ("1700158623", TimestampUnit.S, 1_700_158_623_000),
        ("1700158623979", TimestampUnit.MS, 1_700_158_623_979),
        ("1700158623979.9", TimestampUnit.MS, 1_700_158_623_979),
        ("2023-02-30 00:00:00", TimestampUnit.ISO, int(UNREADABLE)),
        ("1700158623", TimestampUnit.ISO, int(UNREADABLE)),
        ("2023-11-16", TimestampUnit.S, int(UNREADABLE)),
        ("nan", TimestampUnit.MS, int(UNREADABLE)),
        (None, TimestampUnit.ISO, int(UNREADABLE)),
        (None, TimestampUnit.S, int(UNREADABLE)),
    ],
)
def test_times_are_read_as_they_are_written(text: str | None, unit: TimestampUnit, expected: int) -> None:
    assert parse_times(pa.array([text], pa.utf8()), unit).tolist() == [expected]


def test_one_impossible_date_does_not_spoil_its_neighbours() -> None:
    texts = ["2023-11-16 18:17:03.97", "2023-13-16 18:17:03", "2023-11-16 18:17:04"]
    times = parse_times(pa.array(texts), TimestampUnit.ISO)
    assert times.tolist() == [1_700_158_623_970, UNREADABLE, 1_700_158_624_000]


def test_kept_times_from_the_future_and_times_in_a_wrong_unit_are_refused() -> None:
    now_ms = 1_767_225_600_000
    later = Survey(1, now_ms, now_ms + 3_600_000, 1, 1, 0)
    with pytest.raises(TraceFileError, match="in the future"):
        plan_times(later, now_ms=now_ms, speed=None, keep_time=True)
    seconds_as_ms = Survey(1, 1_700_000_000, 1_700_000_000, 1, 1, 0)
    with pytest.raises(TraceFileError, match="timestamp-unit"):
        plan_times(seconds_as_ms, now_ms=now_ms, speed=None, keep_time=True)


def test_no_shifted_event_lies_in_the_future() -> None:
    now_ms = 1_767_225_600_000
    found = Survey(2, now_ms + 10**9, now_ms + 2 * 10**9, 1, 1, 0)
    schedule = plan_times(found, now_ms=now_ms, speed=None, keep_time=False)
    shifted = schedule.occurred_ms(np.array([found.first_ms, found.last_ms], np.int64))
    assert shifted.tolist() == [now_ms - 10**9, now_ms]


def test_an_absent_kafka_ends_the_replay_incomplete(catalogue: Catalogue) -> None:
    trace = TraceFile(AZURE / "code.csv", TraceFormat.CSV, AZURE_COLUMNS, limit=10)
    found = survey(trace)
    schedule = plan_times(found, now_ms=time.time_ns() // 1_000_000, speed=None, keep_time=False)
    sender = EnvelopeSender("127.0.0.1:9", settings=SenderSettings())
    result = send(trace, found, schedule, LABELS, catalogue, sender, timeout_s=0.5)
    assert not result.is_complete and result.acknowledged_requests == 0 and "127.0.0.1:9" in result.last_error
