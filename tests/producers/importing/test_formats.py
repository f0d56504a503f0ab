"""What each export's rows become, what is refused and what the user is told: without Kafka or store."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.importing.goldens import GOLDEN, HASH_KEY, NAMES, copy_to, differences, expected
from tokentide_deploy.importing.session import Choices, Session
from tokentide_deploy.importing.stored import Retention
from tokentide_deploy.importing.summary import as_json, notes_of
from tokentide_producers.collector.naming import naming
from tokentide_producers.hash_keys import HashKeyRing
from tokentide_producers.importing import cells
from tokentide_producers.importing.detecting import Detected
from tokentide_producers.importing.events import Context, Format
from tokentide_producers.importing.litellm import SpendLogs
from tokentide_producers.importing.mapped import Mapped
from tokentide_producers.importing.mapping_file import load_mapping
from tokentide_producers.importing.openrouter import Activity, Generation
from tokentide_producers.importing.problems import ImportSourceError, RowError
from tokentide_producers.importing.reading import read_rows
from tokentide_producers.importing.run import Import, Options, Result
from tokentide_schemas.catalogue import load_catalogue

NAMING = naming(load_catalogue(), HashKeyRing.single(HASH_KEY), lambda: None)
NOW_MS = int(dt.datetime.now(dt.UTC).timestamp() * 1000)


def formats(name: str) -> list[Format]:
    kinds: dict[str, list[Format]] = {"openrouter": [Activity(), Generation()], "litellm": [SpendLogs()]}
    return kinds.get(NAMES[name][0]) or [Mapped(load_mapping(GOLDEN / "mapped.toml"))]


def dry_run(path: Path, kinds: list[Format], zone: dt.tzinfo | None = dt.UTC) -> Result:
    chosen = Detected(kinds)
    items = list(read_rows(path, chosen.wanted))
    assert chosen.format is not None
    importing = Import(chosen.format, Context(NAMING, zone), Options(lambda: NOW_MS, samples=1_000), None, None)
    importing.take(items)
    return importing.result


def expect_golden(result: Result, name: str) -> None:
    assert not result.refusals.bad_rows, result.refusals.examples
    wanted = expected(name)
    assert len(result.samples) == len(wanted)
    for found, full in zip(sorted(result.samples, key=lambda one: one["occurred_at"]), wanted, strict=True):
        given = {name: found.get(name, full[name]) for name in full}
        assert not differences(given, {**full, "gateway": found["gateway"]})


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_export_gives_its_events(tmp_path: Path, name: str) -> None:
    expect_golden(dry_run(copy_to(tmp_path, name), formats(name), None if name == "mapped.csv" else dt.UTC), name)


def test_spend_logs_are_the_same_as_csv_as_parquet_and_out_of_a_dump(tmp_path: Path) -> None:
    name = "litellm-spend-logs.json"
    rows: list[dict[str, Any]] = json.loads(copy_to(tmp_path, name).read_text())
    columns = list(dict.fromkeys(column for row in rows for column in row))
    texts = [
        {
            c: json.dumps(v) if isinstance(v := row.get(c), dict | list) else None if v is None else str(v)
            for c in columns
        }
        for row in rows
    ]
    as_csv = tmp_path / "rows.csv.gz"
    with gzip.open(as_csv, "wt", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(texts)
    expect_golden(dry_run(as_csv, [SpendLogs()]), name)
    as_parquet = tmp_path / "rows.parquet"
    pa.parquet.write_table(pa.Table.from_pylist(texts), as_parquet)
    expect_golden(dry_run(as_parquet, [SpendLogs()]), name)
    dump = tmp_path / "rows.sql"
    quoted = ", ".join(f'"{column}"' for column in columns)
    escaped = [
        "\t".join("\\N" if row[c] is None else str(row[c]).replace("\\", "\\\\").replace("\n", "\\n") for c in columns)
        for row in texts
    ]
    dump.write_text(
        "SET client_encoding = 'UTF8';\nCOPY public.\"Other\" (a, b) FROM stdin;\n1\t2\n\\.\n\n"
        f'COPY public."LiteLLM_SpendLogs" ({quoted}) FROM stdin;\n' + "\n".join(escaped) + "\n\\.\n\n-- done\n"
    )
    expect_golden(dry_run(dump, [SpendLogs()]), name)
    wrapped = tmp_path / "v2.json"
    wrapped.write_text(json.dumps({"data": rows, "total": len(rows), "page": 1}, indent=2))
    expect_golden(dry_run(wrapped, [SpendLogs()]), name)


@pytest.mark.parametrize(
    ("name", "text", "kinds", "told"),
    [
        (
            "activity.json",
            '{"data": [{"date": "2025-08-24", "model": "openai/gpt-4.1", "model_permaslug": "openai/gpt-4.1", '
            '"endpoint_id": "x", "provider_name": "OpenAI", "usage": 0.015, "byok_usage_inference": 0.012, '
            '"requests": 5, "prompt_tokens": 50, "completion_tokens": 125, "reasoning_tokens": 25}]}',
            [Activity(), Generation()],
            "totals .*one row a generation",
        ),
        (
            "chart.csv",
            "Date,openai/gpt-4o\n2025-01-01,3\n",
            [Activity(), Generation()],
            "totals .*one row a generation",
        ),
        (
            "spend.json",
            '[{"startTime": "2025-01-31", "spend": 1.5, "users": {}, "models": {"gpt-4o": 1.5}}]',
            [SpendLogs()],
            "summarize=false",
        ),
        ("other.csv", "a,b\n1,2\n", [SpendLogs()], "no column request_id, startTime or endTime"),
        ("empty.csv", "", [SpendLogs()], "is empty"),
        ("what.txt", "a", [SpendLogs()], "cannot tell the format"),
    ],
)
def test_what_is_no_export_of_requests_is_refused_with_what_to_do(
    tmp_path: Path, name: str, text: str, kinds: list[Format], told: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ImportSourceError, match=told):
        dry_run(path, kinds)


def test_bad_rows_are_named_by_line_and_column_without_their_values_and_the_others_go_through(tmp_path: Path) -> None:
    path = copy_to(tmp_path, "openrouter-activity.csv")
    lines = path.read_text().splitlines()
    good = lines[1]
    bad = [
        good.replace(",1112,", ",SECRET words,"),
        good.replace("12:00:00.123", "at noon, SECRET"),
        good + ",SECRET",
        good.replace("0.00234", "-3"),
        good.replace("gen-1738324799-aaaa", ""),
        good.replace("-01-", "-13-") if "-01-" in good else good.replace(good[:4], "x"),
    ][:5]
    path.write_text("\n".join([lines[0], *bad, '"SECRET\nover lines",,', *lines[1:]]) + "\n")
    result = dry_run(path, [Activity(), Generation()])
    assert (result.new_events, result.refusals.bad_rows) == (3, 6)
    told = [str(row).removeprefix(f"{path}, ") for row in result.refusals.examples]
    assert [line.partition(":")[0] for line in told] == [
        "line 2, column tokens_prompt",
        "line 3",
        "line 4",
        "line 5, column cost_total",
        "line 6, column generation_id",
        "line 7",
    ]
    assert "SECRET" not in " ".join(told)


def test_a_file_that_breaks_off_gives_what_is_before_the_fault_and_says_so(tmp_path: Path) -> None:
    rows = json.loads(copy_to(tmp_path, "litellm-spend-logs.json").read_text())
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(rows, indent=1)[:-40])
    chosen = Detected([SpendLogs()])
    importing = Import(SpendLogs(), Context(NAMING, dt.UTC), Options(lambda: NOW_MS), None, None)
    with pytest.raises(ImportSourceError, match="is not JSON after 4 rows, at character"):
        importing.take(read_rows(path, chosen.wanted))
    assert importing.result.new_events == 3


def test_times_without_a_zone_need_one(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    mapping.write_text((GOLDEN / "mapped.toml").read_text().replace('time_zone = "Europe/Berlin"\n', ""))
    kind = Mapped(load_mapping(mapping))
    path = copy_to(tmp_path, "mapped.csv")
    result = dry_run(path, [kind], None)
    assert result.refusals.bad_rows == 2
    assert "--time-zone" in str(result.refusals.examples[0])
    with pytest.raises(RowError, match="does not exist in this time zone"):
        cells.instant_ms({"t": "2025-03-30 02:30:00"}, "t", load_mapping(GOLDEN / "mapped.toml").zone)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('namespace = "own-gateway"\n', ""), "namespace: Field required"),
        (('country = "land"', 'nation = "land"'), "nation is no field"),
        (('time_zone = "Europe/Berlin"', 'time_zone = "Mars"'), "is no time zone"),
        (("[constants]", "[constants]\ncountry = 'DE'"), "country has a column and a constant"),
        (('input_total_tokens = "tokens_in"\n', ""), "input_total_tokens"),
        (("[columns]", "[columns"), "is not TOML"),
    ],
)
def test_a_wrong_mapping_file_is_refused_with_its_faults(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    path = tmp_path / "mapping.toml"
    path.write_text((GOLDEN / "mapped.toml").read_text().replace(*change))
    with pytest.raises(ImportSourceError, match=told):
        load_mapping(path)


@given(st.lists(st.one_of(st.dictionaries(st.text(max_size=5), st.text()), st.floats(allow_nan=False), st.none())))
def test_any_json_array_is_read_element_by_element(values: list[Any]) -> None:
    import io

    from tokentide_producers.importing import json_values

    for indent in (None, 1):
        text = json.dumps(values, indent=indent)
        for begin in (0, 1, len(text) // 2):
            assert list(json_values.values_in(text[:begin], io.StringIO(text[begin:]))) == values


@given(st.integers(1_420_000_000_000_000, 1_900_000_000_000_000), st.integers(-14 * 60, 14 * 60))
def test_a_written_time_is_its_instant(microseconds: int, offset_minutes: int) -> None:
    zone = dt.timezone(dt.timedelta(minutes=offset_minutes))
    aware = dt.datetime(1970, 1, 1, tzinfo=dt.UTC).astimezone(zone) + dt.timedelta(microseconds=microseconds)
    moment, wanted = aware.replace(tzinfo=None), microseconds // 1000
    for text in (aware.isoformat(), aware.isoformat(sep=" ")):
        assert cells.instant_ms({"t": text}, "t", None) == wanted
    assert cells.instant_ms({"t": moment.isoformat(sep=" ")}, "t", zone) == wanted
    assert cells.instant_ms({"t": str(wanted)}, "t", None, "ms") == wanted


def test_rows_that_are_older_than_what_the_store_keeps_are_told(tmp_path: Path) -> None:
    name = "openrouter-activity.csv"
    items = list(read_rows(copy_to(tmp_path, name), Detected([Activity()]).wanted))
    times = sorted(int(row["occurred_at"].timestamp() * 1000) for row in expected(name))
    context = Context(NAMING, dt.UTC)
    options = Options(lambda: NOW_MS, older_than_ms=times[-1])
    importing = Import(Activity(), context, options, None, None)
    importing.take(items)
    assert importing.result.older == len(times) - 1
    session = Session(Choices(), context, options, None, None, Retention(times[-1], times[-1]), [])
    raw, minutes = notes_of(session, importing.result, ())[:2]
    assert raw.startswith(f"{len(times) - 1} events are older than the store keeps raw rows")
    assert "TOKENTIDE_RETENTION_RAW_DAYS" in raw and "minutes" in minutes
    assert as_json(session, importing.result, 1.0, ())["older_than_raw_retention"] == len(times) - 1
