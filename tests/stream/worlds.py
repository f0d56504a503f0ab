"""Random logs of the usage topic, as records for the platform and as plain facts for the oracle."""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from tests.stream.oracle import MAX_AHEAD_MS, YEAR_2015_MS, Grouping, Logged

from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.cubes import MODEL_CUBE, Cube
from tokentide_schemas.envelope import (
    CONTENT_TYPE_ARROW,
    CONTENT_TYPE_JSON,
    CONTENT_TYPE_NDJSON,
    Record,
    encode_arrow,
    headers_for,
)
from tokentide_schemas.event import UsageEvent

START_MS = 1_790_000_040_000
"""A full minute in 2026; most steps are fractions of a minute, so that exact edges of windows are hit often."""
MINUTE_MS = 60_000
DAY_MS = 86_400_000

PLAIN_MODEL_CUBE = replace(MODEL_CUBE, tiers=())
"""Without tiers: test_tiers.py has them."""
CUBES = (PLAIN_MODEL_CUBE, Cube("places", ("country", "category"), 3_600))
GROUPINGS = (
    Grouping("model", ("model", "provider", "category", "outcome"), 60),
    Grouping("places", ("country", "category"), 3_600),
)


def cases(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a property: TOKENTIDE_PROPERTY_CASES=10000 asks for the long run, which has no time limit."""
    asked = os.environ.get("TOKENTIDE_PROPERTY_CASES")
    chosen = settings(
        max_examples=int(asked or default),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        print_blob=True,
    )
    return lambda prop: pytest.mark.timeout(0 if asked else 600)(chosen(prop))


@dataclass(frozen=True)
class PartitionLog:
    """One partition: what the platform reads and what the test knows about it."""

    number: int
    records: tuple[Record, ...] = field(repr=False)
    facts: tuple[Logged, ...]


@dataclass(frozen=True)
class World:
    """Logs of all partitions and the allowed lateness."""

    lateness_s: int
    partitions: tuple[PartitionLog, ...]


def event_from(bits: int, occurred_ms: int) -> dict[str, Any]:
    """An event whose fields are picked from small tables by the bits of a number: cheap to draw and to shrink."""

    def pick(*choices: Any) -> Any:
        nonlocal bits
        bits, chosen = divmod(bits, len(choices))
        return choices[chosen]

    return {
        "occurred_ms": occurred_ms,
        # Mostly the same group: faults show where events that come apart belong together.
        "request_model": pick("small", "small", "small", "large"),
        "model": pick("", "", "", "", "acme/small", "acme/large"),
        "provider": pick("acme", "acme", "acme", "other"),
        "category": pick("", "", "", "programming"),
        "category_weight": pick(1.0, 2.5, 0.0005, 33.3335),
        "outcome": pick("ok", "ok", "ok", "ok", "error", "cancelled"),
        "country": pick("", "", "", "DE"),
        "input_uncached_tokens": pick(0, 1, 7, 2**32 - 1),
        "input_cache_read_tokens": pick(0, 5),
        "output_tokens": pick(0, 3),
        "output_reasoning_tokens": pick(0, 11),
        "usage_reported": pick(True, False),
        "cost_nanousd": pick(None, 0, 1_000_000_007, -13),
        "is_byok": pick(False, True),
        "finish_reason": pick("stop", "tool_calls", ""),
        "streamed": pick(False, True),
        "latency_ms": pick(None, 0, 1_234),
        "time_to_first_token_ms": pick(None, 99),
    }


EVENT_BITS = st.integers(0, 4 * 4 * 6 * 4 * 4 * 6 * 4 * 4 * 2 * 2 * 2 * 2 * 4 * 2 * 3 * 2 * 3 * 2 - 1)
SECONDS_MS = 1_000
AGES_MS = st.one_of(
    st.sampled_from([0, 1, SECONDS_MS, 30_000, MINUTE_MS, 2 * MINUTE_MS, 3 * MINUTE_MS, 4 * MINUTE_MS]),
    st.integers(0, 10 * MINUTE_MS),
    st.sampled_from([65 * MINUTE_MS, 3 * 60 * MINUTE_MS, DAY_MS, 400 * DAY_MS]),
    # Clocks that run ahead: accepted up to ten minutes, refused from there on.
    st.sampled_from([-1, -MINUTE_MS, -MAX_AHEAD_MS, -MAX_AHEAD_MS - 1, -MAX_AHEAD_MS + 1, -5 * 365 * DAY_MS]),
)
ALIGNMENTS = st.sampled_from(["none", "none", "minute", "minute end"])
# The same few windows again and again, however far the clock is.
LONG_PAST_MS = st.sampled_from([START_MS - 3 * 60 * MINUTE_MS, START_MS - 3 * 60 * MINUTE_MS + 1, START_MS - DAY_MS])
BEFORE_2015_MS = st.sampled_from([YEAR_2015_MS, YEAR_2015_MS - 1, 1_790_000_040, 0])


@st.composite
def _event(draw: st.DrawFn, appended_ms: int) -> dict[str, Any]:
    kind = draw(st.integers(0, 24))
    if kind == 24:
        return event_from(draw(EVENT_BITS), draw(BEFORE_2015_MS))
    if kind >= 20:
        return event_from(draw(EVENT_BITS), draw(LONG_PAST_MS))
    occurred_ms = appended_ms - draw(AGES_MS)
    alignment = draw(ALIGNMENTS)
    if alignment != "none":
        occurred_ms = occurred_ms // MINUTE_MS * MINUTE_MS + (MINUTE_MS - 1 if alignment == "minute end" else 0)
    return event_from(draw(EVENT_BITS), occurred_ms)


# Mostly forward; now and then the broker's clock is set back, an hour passes, or a producer is silent past the horizon.
STEPS_MS = st.sampled_from(
    [
        *(0, 1, 500, 10_000, 30_000, MINUTE_MS, MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 60 * MINUTE_MS),
        *(-45_000, -10 * MINUTE_MS, -2 * DAY_MS, 8 * DAY_MS),
    ]
)
_SENT = st.tuples(st.sampled_from(["gw-a", "gw-b"]), st.integers(0, 3))
IDENTITIES = st.one_of(st.none(), _SENT, _SENT)
FORMS = st.sampled_from(["arrow", "arrow", "arrow", "other arrow", "ndjson", "json"])
SPOILT = st.sampled_from(["garbage", "no value", "cut", "count", "half identity", "content type", "empty arrow"])
OFFSET_STEPS = st.sampled_from([1, 1, 1, 1, 1, 3])


@st.composite
def partition_logs(draw: st.DrawFn, number: int, max_records: int) -> PartitionLog:
    records: list[Record] = []
    facts: list[Logged] = []
    offset, appended_ms = draw(st.sampled_from([0, 0, 1_000_000])), START_MS
    for _ in range(draw(st.integers(0, max_records))):
        appended_ms += draw(STEPS_MS)
        kind = draw(st.sampled_from(["new"] * 8 + ["repeat", "spoilt"]))
        if kind == "repeat" and records:
            i = draw(st.integers(0, len(records) - 1))
            before, fact = records[i], facts[i]
            records.append(Record(number, offset, appended_ms, before.value, before.headers))
            facts.append(Logged(offset, appended_ms, fact.producer, fact.sequence, fact.events, fact.readable))
        else:
            events = draw(st.lists(_event(appended_ms), min_size=1, max_size=3))
            form = draw(FORMS)
            for row, event in enumerate(events):
                # Arrow in the canonical columns always has ids; some come again, in the same record or in another.
                known = draw(st.one_of(st.none(), st.none(), st.integers(1, 4)))
                if known is not None:
                    event["event_id"] = known
                elif form == "arrow":
                    event["event_id"] = 1_000 + offset * 10 + row
            if form == "json":
                events = events[:1]
            if form in ("json", "ndjson"):
                for event in events:
                    if draw(st.integers(0, 15)) == 15:
                        event["defect"] = True
            identity = draw(IDENTITIES)
            spoilt = draw(SPOILT) if kind == "spoilt" else None
            value, headers = encode(events, form, identity, spoilt)
            records.append(Record(number, offset, appended_ms, value, headers))
            producer, sequence = identity or (None, None)
            facts.append(Logged(offset, appended_ms, producer, sequence, tuple(events), spoilt is None))
        offset += draw(OFFSET_STEPS)
    return PartitionLog(number, tuple(records), tuple(facts))


@st.composite
def worlds(draw: st.DrawFn, max_partitions: int = 3, max_records: int = 9) -> World:
    """Some partitions, any of which may be idle."""
    count = draw(st.integers(1, max_partitions))
    lateness_s = draw(st.sampled_from([0, 60, 120, 3_600]))
    return World(lateness_s, tuple(draw(partition_logs(number, max_records)) for number in range(count)))


def _instant(ms: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ms)


def fields_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """The usage event's fields as JSON data."""
    fields = {name: value for name, value in event.items() if name not in ("occurred_ms", "defect", "event_id")}
    if event.get("event_id") is not None:
        fields["event_id"] = str(uuid.UUID(int=event["event_id"]))
    if event.get("defect"):
        del fields["provider"]
    return {**fields, "occurred_at": _instant(event["occurred_ms"]).isoformat()}


def encode(
    events: list[dict[str, Any]], form: str, identity: tuple[str, int] | None, spoilt: str | None = None
) -> tuple[bytes | None, dict[str, bytes]]:
    """A record's value and headers. `spoilt`: how to make the whole record unreadable."""
    fields = [fields_of(event) for event in events]
    if form == "arrow":
        content_type = CONTENT_TYPE_ARROW
        whole = [UsageEvent(**{"event_id": uuid.uuid4(), **f}) for f in fields]
        value = encode_arrow(table_from_events(whole))
    elif form == "other arrow":
        content_type = CONTENT_TYPE_ARROW
        # The columns are those of the first row; every row has every field but perhaps the id.
        names = {name: None for f in fields for name in f}
        value = _stream(pa.Table.from_pylist([{**names, **f} for f in fields]))
    else:
        content_type = CONTENT_TYPE_JSON if form == "json" else CONTENT_TYPE_NDJSON
        value = b"\n".join(json.dumps(f).encode() for f in fields)
    producer, sequence = identity or ("", None)
    headers = dict(headers_for(content_type, len(events), producer, sequence))
    if spoilt == "garbage":
        return b"\x00 no event", headers
    if spoilt == "no value":
        return None, headers
    if spoilt == "cut":
        # Early in JSON: its first lines are whole events, and are counted.
        return value[: len(value) // 2 if content_type == CONTENT_TYPE_ARROW else 10], headers
    if spoilt == "count":
        return value, {**headers, "tokentide-count": b"%d" % (len(events) + 1)}
    if spoilt == "half identity":
        return value, {**{k: v for k, v in headers.items() if k != "tokentide-sequence"}, "tokentide-producer": b"gw-a"}
    if spoilt == "content type":
        return value, {**headers, "content-type": b"text/plain"}
    if spoilt == "empty arrow":
        return _stream(pa.table({"request_model": pa.array([], pa.utf8())})), {
            **headers,
            "content-type": b"application/vnd.apache.arrow.stream",
        }
    return value, headers


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
