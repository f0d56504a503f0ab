"""Every query of docs/sql.md, run by the reader on a filled store, each result against the same in plain Python."""

from __future__ import annotations

import datetime as dt
import math
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.seeded_store import fill, prepare, record, usage_event

from tokentide_schemas.alert_tables import ALERT_CHANGES_TABLE, alert_rows
from tokentide_schemas.alerts import AlertChange, AlertKind, AlertState, Contribution, Severity, alert_id
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, headers_for
from tokentide_sinks.store import Store, StoreError

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
QUERIES = dict(re.findall(r"```sql\n-- id: ([a-z0-9-]+)\n(.*?)\n```", PAGE.read_text(), re.DOTALL))
BLOCKS = PAGE.read_text().count("```sql")

NOW = dt.datetime(2026, 11, 16, 12, 0, tzinfo=dt.UTC)
"""A Monday noon; the page's now() is replaced by it."""
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
# model -> provider, author, open weights, reasoning model: of the shipped catalogue; the last one is not in it.
MODELS = {
    "openai/gpt-5": ("openai", "openai", "no", "yes"),
    "anthropic/claude-sonnet-4": ("anthropic", "anthropic", "no", "yes"),
    "deepseek/deepseek-r1": ("fireworks", "deepseek", "yes", "yes"),
    "qwen/qwen3-coder": ("fireworks", "qwen", "yes", "no"),
    "mistralai/mistral-nemo": ("mistral", "mistralai", "yes", "no"),
    "acme/secret-1": ("acme", "unknown", "unknown", "unknown"),
}
BUCKETS = (
    *("input_uncached_tokens", "input_cache_read_tokens", "input_cache_write_tokens"),
    *("output_tokens", "output_reasoning_tokens", "audio_tokens", "image_tokens"),
)
Event = dict[str, Any]
Rows = list[tuple[Any, ...]]


def make_events() -> list[Event]:
    """Two weeks of events, denser in the last day and the last hour, in order of time."""
    chooser = random.Random(11)
    ages_s = [chooser.randrange(60, 3_600) for _ in range(80)]
    ages_s += [chooser.randrange(3_600, 86_400) for _ in range(80)]
    ages_s += [chooser.randrange(86_400, 13 * 86_400) for _ in range(160)]
    found = []
    for number, age_s in enumerate(sorted(ages_s, reverse=True)):
        model = chooser.choice([*MODELS, "openai/gpt-5", "anthropic/claude-sonnet-4"])
        outcome = chooser.choice(["ok"] * 7 + ["error", "cancelled"])
        reported = outcome != "error" and chooser.random() < 0.95
        reasons = {"ok": ["stop", "tool_calls"], "error": ["error"], "cancelled": [""]}
        event: Event = {
            "occurred_at": NOW - dt.timedelta(seconds=age_s),
            "request_id": f"req-{number // 2}",
            "attempt": number % 2,
            "request_model": model,
            "model": model,
            "provider": MODELS[model][0],
            "category": chooser.choice(["", "programming", "roleplay", "science"]),
            "category_weight": chooser.choice([1.0, 2.5, 400.0]),
            "app": f"app-{chooser.randrange(8)}",
            "tenant": f"team-{chooser.randrange(3)}",
            "country": chooser.choice(["US", "DE", "SG"]),
            "language": chooser.choice(["en", "zh", ""]),
            "user_hash": bytes([chooser.randrange(16)] * 16),
            "usage_reported": reported,
            "outcome": outcome,
            "finish_reason": chooser.choice(reasons[outcome]),
            "error_type": chooser.choice(["timeout", "rate_limit"]) if outcome == "error" else "",
            "http_status": chooser.choice([429, 504]) if outcome == "error" else 200,
            "streamed": chooser.random() < 0.5,
            "is_byok": chooser.random() < 0.1,
            "cost_nanousd": chooser.randrange(1, 10**9) if reported and chooser.random() < 0.9 else None,
            "time_to_first_token_ms": chooser.randrange(50, 5_000) if outcome == "ok" else None,
            "latency_ms": chooser.randrange(5_000, 60_000) if outcome == "ok" else None,
            **{bucket: chooser.randrange(5_000) if reported else 0 for bucket in BUCKETS},
        }
        event["cost_source"] = "unknown" if event["cost_nanousd"] is None else "reported"
        found.append(event)
    return found


EVENTS = make_events()
LATE = [
    {**EVENTS[-1], "occurred_at": NOW - 3 * HOUR - dt.timedelta(seconds=20 * i), "request_id": "late"} for i in range(4)
]
ALL = EVENTS + LATE


def tokens(event: Event) -> int:
    return sum(event[bucket] for bucket in BUCKETS)


def usd(events: Iterable[Event]) -> float:
    return sum(e["cost_nanousd"] or 0 for e in events if not e["is_byok"]) / 1e9


def paid_tokens(events: Iterable[Event]) -> int:
    return sum(tokens(e) for e in events if not e["is_byok"])


def since(span: dt.timedelta) -> list[Event]:
    return [e for e in ALL if e["occurred_at"] >= NOW - span]


def minutes_since(span: dt.timedelta) -> list[Event]:
    """Events of the minutes that begin within the span."""
    return [e for e in ALL if e["occurred_at"].replace(second=0, microsecond=0) >= NOW - span]


def grouped(events: Iterable[Event], *keys: str | Callable[[Event], Any]) -> dict[tuple[Any, ...], list[Event]]:
    found: dict[tuple[Any, ...], list[Event]] = {}
    for event in events:
        key = tuple(event[k] if isinstance(k, str) else k(event) for k in keys)
        found.setdefault(key, []).append(event)
    return dict(sorted(found.items()))


def week(event: Event) -> dt.date:
    day: dt.date = event["occurred_at"].date()
    return day - dt.timedelta(days=day.weekday())


def share(part: Iterable[Event], whole: Iterable[Event]) -> float:
    return sum(map(tokens, part)) / sum(map(tokens, whole))


def by(column: str, value: Callable[[list[Event]], Any], events: Iterable[Event] = ALL) -> Rows:
    return [(key, value(group)) for (key,), group in grouped(events, column).items()]


def by_week(chosen: Callable[[Event], bool]) -> Rows:
    return [(key, share(filter(chosen, g), g)) for (key,), g in grouped(ALL, week).items()]


def expected_error_rate() -> Rows:
    rows = [
        (key, len(g), sum(e["outcome"] == "error" for e in g) / len(g))
        for (key,), g in grouped(minutes_since(HOUR), "provider").items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def expected_error_types() -> Rows:
    errors = [e for e in since(DAY) if e["outcome"] == "error"]
    rows = [(*key, len(g)) for key, g in grouped(errors, "provider", "error_type", "http_status").items()]
    return sorted(rows, key=lambda row: (-row[3], *row[:3]))


def nearest_p95(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def weighted_p95(values: Iterable[float]) -> float:
    """The smallest value with 95 % of the weight at or below it, as quantileExactWeighted takes it."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


def p95(name: str, quantile: Callable[[Iterable[float]], float]) -> Rows:
    known = [e for e in since(DAY) if e[name] is not None]
    return by("model", lambda g: quantile(e[name] for e in g), known)


def expected_movers() -> Rows:
    today = dt.datetime(2026, 11, 16, tzinfo=dt.UTC)
    span = [e for e in ALL if today - 14 * DAY <= e["occurred_at"] < today]
    newer = [e for e in span if e["occurred_at"] >= today - 7 * DAY]
    older = [e for e in span if e["occurred_at"] < today - 7 * DAY]
    rows: Rows = []
    for (model,), _ in grouped(span, "model").items():
        now = [e for e in newer if e["model"] == model]
        before = [e for e in older if e["model"] == model]
        change = 100 * (share(now, newer) - share(before, older))
        rows.append((model, sum(map(tokens, now)), sum(map(tokens, before)), change))
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def expected_top_models() -> Rows:
    hours = [e for e in ALL if e["occurred_at"].replace(minute=0, second=0) >= NOW - DAY]
    rows = by("model", lambda g: sum(map(tokens, g)), hours)
    total = sum(row[1] for row in rows)
    return sorted(((m, t, t / total) for m, t in rows), key=lambda row: (-row[1], row[0]))[:10]


def expected_author_shares() -> Rows:
    weeks = {key: g for (key,), g in grouped(ALL, week).items()}
    groups = grouped(ALL, week, lambda e: MODELS[e["model"]][1])
    return [(w, author, sum(map(tokens, g)), share(g, weeks[w])) for (w, author), g in groups.items()]


def expected_categories() -> Rows:
    rows = by("category", lambda g: sum(e["category_weight"] * tokens(e) for e in g), labelled())
    return [(name, value, value / sum(v for _, v in rows)) for name, value in rows]


def labelled() -> list[Event]:
    return [e for e in ALL if e["category"]]


def expected_retries() -> Rows:
    return [
        (key, sum(e["attempt"] > 0 for e in g), len({e["request_id"] for e in g if e["attempt"] > 0}))
        for (key,), g in grouped(since(7 * DAY), "provider").items()
    ]


def expected_price() -> Rows:
    return [
        (model, math.log10(usd(g) / paid_tokens(g) * 1e6), math.log10(sum(map(tokens, g))))
        for (model,), g in grouped(ALL, "model").items()
    ]


def expected_published() -> Rows:
    """Models of a day with ten users or more stand alone; the rest joins until ten users and two groups are met."""
    rows: Rows = []
    for (day,), events in grouped(ALL, lambda e: e["occurred_at"].date()).items():
        groups = {m: g for (m,), g in grouped(events, "model").items()}
        users = {m: {e["user_hash"] for e in g if any(e["user_hash"])} for m, g in groups.items()}
        order = sorted(groups, key=lambda m: (len(users[m]), m))
        small = sum(len(u) < 10 for u in users.values())
        folded = 0
        if small:
            together = [len(set().union(*(users[m] for m in order[:n]))) for n in range(len(order) + 1)]
            enough = [n for n in range(max(2, small), len(order) + 1) if together[n] >= 10]
            if not enough:
                continue
            folded = enough[0]
        kept = {"__other__": [e for m in order[:folded] for e in groups[m]]} if folded else {}
        kept |= {m: groups[m] for m in order[folded:]}
        rows += [(day, m, len(g), sum(map(tokens, g))) for m, g in sorted(kept.items())]
    return rows


def summed(name: str) -> Callable[[list[Event]], int]:
    return lambda group: sum(e[name] for e in group)


def ratio(chosen: Callable[[Event], bool]) -> Callable[[list[Event]], float]:
    return lambda group: sum(map(chosen, group)) / len(group)


EXPECTED: dict[str, Callable[[], Rows]] = {
    "requests-per-minute": lambda: [
        (key, len(g), sum(e["outcome"] == "error" for e in g))
        for (key,), g in grouped(minutes_since(HOUR), lambda e: e["occurred_at"].replace(second=0)).items()
    ],
    "error-rate-by-provider": expected_error_rate,
    "error-types": expected_error_types,
    "cancelled-share-by-model": lambda: sorted(
        by(
            "model",
            ratio(lambda e: e["outcome"] == "cancelled"),
            [e for e in ALL if e["occurred_at"].date() >= dt.date(2026, 11, 9)],
        ),
        key=lambda row: (-row[1], row[0]),
    ),
    "p95-first-token": lambda: p95("time_to_first_token_ms", weighted_p95),
    "p95-latency-exact": lambda: p95("latency_ms", nearest_p95),
    "one-request": lambda: [
        (e["occurred_at"], e["attempt"], e["model"], e["provider"], e["outcome"], tokens(e))
        for e in ALL
        if e["request_id"] == "req-7"
    ],
    "retries": expected_retries,
    "watermarks": lambda: [
        (0, 6, EVENTS[-2]["occurred_at"], 160 + len(LATE)),
        (1, 3, EVENTS[-1]["occurred_at"], 160),
    ],
    # Partition 0: half of the events, the late ones, a repeat of the first record, one unreadable record of 7 events.
    "accounting": lambda: [(0, 7, 160 + 4 + 40 + 7, 164, 40, 7, 0), (1, 4, 160, 160, 0, 0, 0)],
    "repeats-by-producer": lambda: [("producer-0", 1, 40)],
    "dead-letters-by-reason": lambda: [(UNREADABLE, 7)],
    "late-data": lambda: [
        (key, len(g)) for (key,), g in grouped(LATE, lambda e: e["occurred_at"].replace(minute=0, second=0)).items()
    ],
    "missing-usage": lambda: [
        (p, sum(not e["usage_reported"] for e in g), ratio(lambda e: not e["usage_reported"])(g))
        for (p,), g in grouped(ALL, "provider").items()
    ],
    "unknown-models": lambda: [("acme/secret-1", sum(e["model"] == "acme/secret-1" for e in ALL))],
    "rollup-against-raw": lambda: [(sum(map(tokens, ALL)),) * 2],
    "top-models": expected_top_models,
    "author-shares-by-week": expected_author_shares,
    "movers": expected_movers,
    "open-weights-by-week": lambda: by_week(lambda e: MODELS[e["model"]][2] == "yes"),
    "reasoning-models-by-week": lambda: by_week(lambda e: MODELS[e["model"]][3] == "yes"),
    "reasoning-tokens": lambda: by(
        "model",
        lambda g: (
            summed("output_reasoning_tokens")(g) / (summed("output_reasoning_tokens")(g) + summed("output_tokens")(g))
        ),
    ),
    "tool-calls-by-week": lambda: by_week(lambda e: e["finish_reason"] == "tool_calls"),
    "cache-hit-rate": lambda: by(
        "model", lambda g: summed("input_cache_read_tokens")(g) / sum(summed(b)(g) for b in BUCKETS[:3])
    ),
    "streamed-share": lambda: by("provider", ratio(lambda e: e["streamed"])),
    "category-shares": expected_categories,
    "sequence-length-by-category": lambda: by(
        "category", lambda g: sum(map(tokens, g)) / sum(e["usage_reported"] for e in g), labelled()
    ),
    "programming-by-provider": lambda: by(
        "provider", lambda g: share([e for e in g if e["category"] == "programming"], g), labelled()
    ),
    "unlabelled": lambda: [(1 - len(labelled()) / len(ALL),)],
    "cost-by-tenant-and-model": lambda: [
        (*key, usd(g), sum(e["cost_nanousd"] is None for e in g)) for key, g in grouped(ALL, "tenant", "model").items()
    ],
    "usd-per-million-tokens": lambda: by("model", lambda g: usd(g) / paid_tokens(g) * 1e6),
    "own-key-traffic": lambda: [
        (p, len(own), sum(map(tokens, own)), sum(e["cost_nanousd"] or 0 for e in own) / 1e9)
        for (p,), own in grouped([e for e in ALL if e["is_byok"]], "provider").items()
    ],
    "unknown-cost": lambda: [
        (m, sum(e["cost_nanousd"] is None for e in g), ratio(lambda e: e["cost_nanousd"] is None)(g))
        for (m,), g in grouped(ALL, "model").items()
        if any(e["cost_nanousd"] is None for e in g)
    ],
    "price-against-usage": expected_price,
    "spend-by-day": lambda: [(d, usd(g)) for (d,), g in grouped(ALL, lambda e: e["occurred_at"].date()).items()],
    "countries": lambda: sorted(by("country", lambda g: share(g, ALL)), key=lambda row: (-row[1], row[0])),
    "top-apps": lambda: sorted(
        ((app, len(g), sum(map(tokens, g))) for (app,), g in grouped(ALL, "app").items()),
        key=lambda row: (-row[2], row[0]),
    )[:5],
    "languages": lambda: sorted(by("language", len), key=lambda row: (-row[1], row[0])),
    "users-by-model": lambda: by(
        "model", lambda g: len({e["user_hash"] for e in g}), [e for e in since(7 * DAY) if any(e["user_hash"])]
    ),
    "published-models": expected_published,
    "alerts-firing": lambda: [("model-share", "launch", "acme/secret-1", 12.0, "pp", NOW - HOUR / 2)],
    "alerts-who-gained": lambda: [
        (ALERT_ID, "acme/secret-1", 0.0, 12.0, 12.0),
        (ALERT_ID, "openai/gpt-5", 40.0, 28.0, -12.0),
    ],
    "alerts-by-rule": lambda: [("error-rate", 1, 7.5), ("model-share", 1, math.nan)],
}
ALERT_ID = alert_id("model-share", "", "model", "launch", "acme/secret-1", NOW - HOUR / 2)


def alert_changes() -> list[AlertChange]:
    """A launch that is firing, and an error rate of some days ago that was over after seven and a half minutes."""
    launch = AlertChange(
        alert_id=ALERT_ID,
        state=AlertState.FIRING,
        rule="model-share",
        kind=AlertKind.LAUNCH,
        severity=Severity.WARNING,
        measure="tokens",
        dimension="model",
        keys=("acme/secret-1",),
        direction="up",
        value=12.0,
        reference=0.0,
        change=12.0,
        unit="pp",
        window_s=60,
        started_at=NOW - HOUR / 2,
        detected_at=NOW - HOUR / 2,
        changed_at=NOW - HOUR / 2,
        emitted_at=NOW,
        summary="launch",
        contributions=(
            Contribution(key="openai/gpt-5", before=40.0, after=28.0, change_pp=-12.0),
            Contribution(key="acme/secret-1", before=0.0, after=12.0, change_pp=12.0),
        ),
    )
    begin = NOW - 3 * DAY
    errors = launch.model_copy(
        update={
            "alert_id": alert_id("error-rate", "", "provider", "error_rate", "acme", begin),
            "rule": "error-rate",
            "kind": AlertKind.ERROR_RATE,
            "started_at": begin,
            "changed_at": begin,
        }
    )
    end = {"state": AlertState.RESOLVED, "changed_at": begin + dt.timedelta(seconds=450)}
    return [launch, errors, errors.model_copy(update=end)]


TOLERANCE = {"p95-first-token": 0.05}
"""Relative, where the page says that the answer is an estimate."""
UNREADABLE = "invalid_arrow"


def records() -> list[Record]:
    """The events in two partitions, a repeat of a record, an unreadable record, and what comes too late."""
    numbered = list(enumerate(EVENTS))
    late = [usage_event(10_000 + i, **event) for i, event in enumerate(LATE)]
    found = []
    for partition in (0, 1):
        mine = [usage_event(number, **event) for number, event in numbered[partition::2]]
        for offset in range(4):
            events = mine[offset * 40 : offset * 40 + 40]
            newest_ms = int(events[-1].occurred_at.timestamp() * 1000)
            found.append(record(partition, offset, events, newest_ms + 500))
        if partition == 0:
            now_ms = int(NOW.timestamp() * 1000)
            first = found[0]
            found.append(Record(0, 4, now_ms, first.value, first.headers))
            found.append(record(0, 5, late, now_ms + 1))
            headers = dict(headers_for(CONTENT_TYPE_ARROW, 7, "producer-0", 6))
            found.append(Record(0, 6, now_ms + 2, b"no Arrow stream", headers))
    return found


@pytest.fixture(scope="module")
def reader(store_process: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store of its own, because a reader sees the database tokentide alone."""
    process = store_process(tmp_path_factory.mktemp("page")).start()
    try:
        writer = Store(f"http://tokentide@127.0.0.1:{process.port}/tokentide")
        prepare(writer, int(time.time() * 1000))
        fill(writer, records(), int(NOW.timestamp() * 1000))
        writer.insert(ALERT_CHANGES_TABLE, alert_rows(alert_changes()))
        yield Store(f"http://reader@127.0.0.1:{process.port}/tokentide")
    finally:
        process.stop()


def plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
    return value


def test_the_page_has_thirty_queries_and_this_test_knows_each() -> None:
    assert len(QUERIES) == BLOCKS >= 30
    assert set(QUERIES) == set(EXPECTED)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_the_page_gives_what_the_events_say(reader: Store, name: str) -> None:
    sql = QUERIES[name].replace("now()", "toDateTime('2026-11-16 12:00:00', 'UTC')")
    rows = [tuple(map(plain, row)) for row in reader.rows(sql)]
    expected = EXPECTED[name]()
    assert len(expected) > 0
    assert len(rows) == len(expected), (rows, expected)
    for row, wanted in zip(rows, expected, strict=True):
        assert len(row) == len(wanted)
        for got, want in zip(row, wanted, strict=True):
            if isinstance(want, float):
                assert got == pytest.approx(want, rel=TOLERANCE.get(name, 1e-9), nan_ok=True), (row, wanted)
            elif name in TOLERANCE and isinstance(want, int):
                assert got == pytest.approx(want, rel=TOLERANCE[name]), (row, wanted)
            else:
                assert got == want, (row, wanted)


def test_the_reader_of_these_queries_cannot_write(reader: Store) -> None:
    with pytest.raises(StoreError):
        reader.command("ALTER TABLE events DELETE WHERE 1")
