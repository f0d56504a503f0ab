import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tokentide_producers.event_ids import EventIds
from tokentide_producers.row_encoding import encode_rows
from tokentide_producers.rows import InvalidEventError, RowBuilder
from tokentide_schemas.arrow import EVENT_SCHEMA, NAMES, table_from_events
from tokentide_schemas.envelope import Reason
from tokentide_schemas.event import Outcome, UsageEvent

MINIMAL: dict[str, Any] = {
    "request_model": "gpt-4o",
    "provider": "openai",
    "input_uncached_tokens": 10,
    "output_tokens": 2,
    "usage_reported": True,
    "outcome": "ok",
}
NOW_MS = 1_767_225_600_123
NOW = dt.datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=dt.UTC)
UNCHECKED_TEXT = st.text(st.characters(codec="utf-8"), max_size=300)

FULL: dict[str, Any] = {
    **MINIMAL,
    "event_id": UUID(int=7 << 76 | 2 << 62 | 5),
    "request_id": "r-1",
    "attempt": 1,
    "is_final_attempt": False,
    "session_hash": b"s" * 16,
    "source": "openai",
    "gateway": "gw",
    "gateway_region": "eu",
    "occurred_at": NOW + dt.timedelta(microseconds=999),
    "operation": "chat",
    "model": "openai/gpt-4o",
    "category": "programming",
    "subcategory": "debugging",
    "category_source": "classifier",
    "category_confidence": 0.75,
    "category_weight": 400.0,
    "app": "ide",
    "tenant": "t",
    "user_hash": b"u" * 16,
    "api_key_hash": b"k" * 16,
    "country": "DE",
    "language": "de",
    "input_cache_read_tokens": 3,
    "input_cache_write_tokens": 4,
    "output_reasoning_tokens": 5,
    "audio_tokens": 6,
    "image_tokens": 7,
    "cost_nanousd": -(2**61),
    "cost_source": "reported",
    "price_version": "v",
    "is_byok": True,
    "outcome": Outcome.CANCELLED,
    "finish_reason": "stop",
    "error_type": "timeout",
    "http_status": 499,
    "streamed": True,
    "tools_offered": 2,
    "tool_calls": 1,
    "time_to_first_token_ms": 10,
    "latency_ms": 20,
}


def columns(rows: list[list[Any]]) -> Any:
    return encode_rows(rows, ids=EventIds(1), now_ms=NOW_MS, resolve_model=str)


def test_every_field_of_the_event_arrives_as_the_model_would_put_it() -> None:
    assert set(FULL) == set(NAMES)
    row, _ = RowBuilder().from_fields(FULL, NOW_MS)
    batch = columns([row])
    batch.validate(full=True)
    assert batch.schema.equals(EVENT_SCHEMA)
    assert batch.to_pylist() == table_from_events([UsageEvent(**FULL)]).to_pylist()


def test_a_validated_event_gives_the_same_row_as_its_fields() -> None:
    builder = RowBuilder()
    assert builder.from_event(UsageEvent(**FULL))[0] == builder.from_fields(FULL, NOW_MS)[0]


def test_what_is_left_out_is_now_the_emitters_own_name_and_the_defaults() -> None:
    row, _ = RowBuilder(gateway="gw-9", gateway_region="us").from_fields(MINIMAL, NOW_MS)
    got = columns([row]).to_pylist()[0]
    expected = UsageEvent(
        **MINIMAL,
        occurred_at=NOW,
        gateway="gw-9",
        gateway_region="us",
        source="sdk",
        model="gpt-4o",
        event_id=UUID(int=1),
    )
    assert {**got, "event_id": None} == {**table_from_events([expected]).to_pylist()[0], "event_id": None}
    assert UUID(bytes=got["event_id"]).version == 7


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"input_uncached_tokens": -1}, Reason.INVALID_VALUE, "input_uncached_tokens"),
        ({"input_uncached_tokens": 2**32}, Reason.INVALID_VALUE, "input_uncached_tokens"),
        ({"outcome": "fine"}, Reason.INVALID_VALUE, "outcome"),
        ({"country": "Germany"}, Reason.INVALID_VALUE, "country"),
        ({"app": "x" * 257}, Reason.INVALID_VALUE, "app"),
        ({"request_id": "a\nb"}, Reason.INVALID_VALUE, "request_id"),
        ({"user_hash": "alice@example.com"}, Reason.INVALID_VALUE, "user_hash"),
        ({"occurred_at": 1_700_000_000}, Reason.INVALID_VALUE, "occurred_at"),
        ({"occurred_at": dt.datetime(2026, 1, 1)}, Reason.INVALID_VALUE, "occurred_at"),  # noqa: DTZ001
        ({"category_confidence": float("nan")}, Reason.INVALID_VALUE, "category_confidence"),
        ({"request_model": ""}, Reason.INVALID_VALUE, "request_model"),
        ({"streamed": None}, Reason.INVALID_VALUE, "streamed"),
        ({"prompt": "secret words"}, Reason.CONTENT_FIELD, "prompt"),
        ({"output_token": 5}, Reason.UNKNOWN_FIELD, "did you mean output_tokens"),
        ({"app": ["a list"]}, Reason.INVALID_VALUE, "app"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_never_repeated(
    change: dict[str, Any], reason: Reason, words: str
) -> None:
    with pytest.raises(InvalidEventError, match=words) as refused:
        RowBuilder().from_fields({**MINIMAL, **change}, NOW_MS)
    assert refused.value.reason is reason
    assert "secret" not in str(refused.value) and "alice" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(MINIMAL))
def test_a_required_field_has_no_default(name: str) -> None:
    fields = {key: value for key, value in MINIMAL.items() if key != name}
    with pytest.raises(InvalidEventError, match=name) as refused:
        RowBuilder().from_fields(fields, NOW_MS)
    assert refused.value.reason is Reason.MISSING_FIELD


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(NAMES)),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**63), 2**63),
            st.floats(),
            UNCHECKED_TEXT,
            st.binary(max_size=17),
            st.sampled_from(["ok", "sdk", "US", "en", "gateway", "unknown", b"0" * 16, "0" * 32]),
            st.sampled_from([NOW, NOW.replace(tzinfo=None), NOW.astimezone(dt.timezone(dt.timedelta(hours=2)))]),
            st.sampled_from([UUID(int=0), UUID(int=5), str(UUID(int=5))]),
        ),
        max_size=4,
    )
)
def test_the_short_cut_accepts_exactly_what_the_model_accepts(change: dict[str, Any]) -> None:
    fields = {**MINIMAL, **change}
    complete = {"occurred_at": NOW, "source": "sdk", **fields}
    try:
        event = UsageEvent.model_validate(complete)
    except ValidationError:
        with pytest.raises(InvalidEventError):
            RowBuilder().from_fields(fields, NOW_MS)
        return
    row, _ = RowBuilder().from_fields(fields, NOW_MS)
    expected = table_from_events([event.model_copy(update={"event_id": UUID(int=1)})]).to_pylist()[0]
    got = columns([row]).to_pylist()[0]
    if not expected["model"]:
        expected["model"] = got["request_model"]
    assert {**got, "event_id": None} == {**expected, "event_id": None}
    assert event.event_id is None or got["event_id"] == event.event_id.bytes


def test_models_are_resolved_only_where_the_event_does_not_say() -> None:
    builder = RowBuilder()
    rows = [builder.from_fields(MINIMAL, NOW_MS)[0], builder.from_fields({**MINIMAL, "model": "own"}, NOW_MS)[0]]
    batch = encode_rows(rows, ids=EventIds(1), now_ms=NOW_MS, resolve_model=lambda name: f"canonical/{name}")
    assert batch.column("model").to_pylist() == ["canonical/gpt-4o", "own"]


def test_an_events_own_id_is_kept_among_events_without() -> None:
    builder = RowBuilder()
    own = UUID(int=9 << 64 | 1)
    rows = [builder.from_fields({**MINIMAL, **more}, NOW_MS)[0] for more in ({}, {"event_id": own}, {})]
    given_ids = columns(rows).column("event_id").to_pylist()
    assert given_ids[1] == own.bytes and len(set(given_ids)) == 3 and None not in given_ids
