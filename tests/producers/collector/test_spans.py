"""Which spans become events, and what of them."""

from __future__ import annotations

from typing import Any

import pytest

from producers.collector.serving import export, span
from tokentide_producers.otlp.json_encoding import spans_of
from tokentide_producers.otlp.mapping import Naming, SpanError, event_fields
from tokentide_producers.otlp.numbers import usd_to_nanousd
from tokentide_producers.otlp.spans import OtlpError

NAMING = Naming(lambda asked, answered: answered or asked, str.lower, lambda identifier: identifier.encode())
CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}


def fields_of(attributes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    (one,) = spans_of(export(span({**CALL, **attributes}, **changes)))
    fields = event_fields(one, NAMING)
    assert fields is not None
    return fields


def is_counted(attributes: dict[str, Any], scope: str = "test", **changes: Any) -> bool:
    (one,) = spans_of(export(span(attributes, **changes), scope=scope))
    return event_fields(one, NAMING) is not None


def buckets(**usage: int) -> tuple[int, int, int, int, int, bool]:
    names = {
        "input": "gen_ai.usage.input_tokens",
        "read": "gen_ai.usage.cache_read.input_tokens",
        "write": "gen_ai.usage.cache_creation.input_tokens",
        "output": "gen_ai.usage.output_tokens",
        "reasoning": "gen_ai.usage.reasoning.output_tokens",
        "total": "gen_ai.usage.total_tokens",
    }
    fields = fields_of({names[name]: value for name, value in usage.items()})
    cells = ("input_uncached", "input_cache_read", "input_cache_write", "output", "output_reasoning")
    return (*(fields[f"{cell}_tokens"] for cell in cells), fields["usage_reported"])  # type: ignore[return-value]


def test_parts_are_taken_out_of_their_wholes() -> None:
    assert buckets(input=100, read=60, write=10, output=50, reasoning=45) == (30, 60, 10, 5, 45, True)


def test_a_whole_that_is_smaller_than_its_parts_was_reported_without_them() -> None:
    assert buckets(input=5, read=60, write=10, output=3, reasoning=45) == (5, 60, 10, 3, 45, True)


def test_a_missing_side_follows_from_the_total_or_leaves_the_usage_unknown() -> None:
    assert buckets(input=100, total=130) == (100, 0, 0, 30, 0, True)
    assert buckets(output=30, total=130) == (100, 0, 0, 30, 0, True)
    assert buckets(input=100) == (0, 0, 0, 0, 0, False)
    assert buckets(read=100) == (0, 0, 0, 0, 0, False)
    assert buckets() == (0, 0, 0, 0, 0, False)


@pytest.mark.parametrize("nonsense", [-5, 1.5, "many", "1e3", True, float("inf")])
def test_what_is_no_count_is_unknown_and_not_zero(nonsense: Any) -> None:
    fields = fields_of({"gen_ai.usage.input_tokens": nonsense, "gen_ai.usage.output_tokens": 4})
    assert fields["usage_reported"] is False


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.operation.name": "invoke_agent"},
        {"gen_ai.operation.name": "create_agent"},
        {"gen_ai.operation.name": "execute_tool"},
        {"openinference.span.kind": "AGENT", "gen_ai.operation.name": ""},
        {"openinference.span.kind": "TOOL", "gen_ai.operation.name": ""},
        {"traceloop.span.kind": "task", "gen_ai.operation.name": ""},
        {"gen_ai.operation.name": "", "gen_ai.request.model": ""},
    ],
)
def test_what_is_no_model_call_is_not_counted(attributes: dict[str, Any]) -> None:
    assert not is_counted({**CALL, **attributes})


def test_a_span_of_before_operation_names_is_a_chat() -> None:
    assert is_counted({"gen_ai.system": "openai", "gen_ai.request.model": "gpt-5"})
    assert not is_counted({"http.request.method": "POST"})


def test_only_root_spans_of_openrouter_are_counted() -> None:
    assert is_counted(CALL, scope="openrouter", name="LLM Generation")
    assert is_counted(CALL, scope="openrouter", name="LLM Generation", parentSpanId="eee19b7ec3c1b174")
    for name in ("generation", "provider attempt 1: DeepInfra", "openrouter-connection-test"):
        assert not is_counted(CALL, scope="openrouter", name=name)


def test_the_end_of_a_call_is_told_without_its_words() -> None:
    failed = fields_of({"error.type": "openai.RateLimitError", "http.response.status_code": 429}, status={"code": 2})
    assert (failed["outcome"], failed["error_type"], failed["http_status"]) == ("error", "openai.RateLimitError", 429)
    wordy = fields_of({"error.type": "the prompt 'secret' was refused"}, status={"code": 2})
    assert (wordy["outcome"], wordy["error_type"]) == ("error", "_OTHER")
    assert fields_of({}, status={"code": 2})["error_type"] == "_OTHER"
    assert fields_of({"error.type": "asyncio.CancelledError"}, status={"code": 2})["outcome"] == "cancelled"
    assert fields_of({"gen_ai.response.finish_reasons": ["canceled"]})["outcome"] == "cancelled"
    assert fields_of({})["outcome"] == "ok"


@pytest.mark.parametrize(
    ("given", "finish_reason"),
    [
        (["tool_use"], "tool_calls"),
        ('["tool_calls"]', "tool_calls"),
        ("end_turn", "stop"),
        ("FinishReason.MAX_TOKENS", "length"),
        (["SAFETY"], "content_filter"),
        ("a sentence from somewhere", ""),
        ([], ""),
    ],
)
def test_finish_reasons_have_one_vocabulary(given: Any, finish_reason: str) -> None:
    assert fields_of({"gen_ai.response.finish_reasons": given})["finish_reason"] == finish_reason


def test_times_come_from_the_span() -> None:
    fields = fields_of({"gen_ai.response.time_to_first_chunk": 0.2504})
    assert (fields["latency_ms"], fields["time_to_first_token_ms"], fields["streamed"]) == (2000, 250, True)
    assert fields["occurred_at"].isoformat() == "2025-01-31T12:00:00.123000+00:00"
    unstarted = fields_of({}, startTimeUnixNano="0")
    assert "latency_ms" not in unstarted and "time_to_first_token_ms" not in unstarted


def test_the_same_span_has_the_same_id_and_another_one_another() -> None:
    first, again = fields_of({}), fields_of({"gen_ai.usage.input_tokens": 3})
    assert first["event_id"] == again["event_id"]
    assert first["event_id"].version == 7
    assert fields_of({}, spanId="eee19b7ec3c1b175")["event_id"] != first["event_id"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"traceId": ""}, "event_id"),
        ({"spanId": "zz"}, "event_id"),
        ({"endTimeUnixNano": "0", "startTimeUnixNano": "0"}, "occurred_at"),
    ],
)
def test_a_model_call_that_cannot_be_an_event_says_which_field(changes: dict[str, Any], field: str) -> None:
    (one,) = spans_of(export(span(CALL, **changes)))
    with pytest.raises(SpanError) as refused:
        event_fields(one, NAMING)
    assert refused.value.field == field


@pytest.mark.parametrize("document", [[], 3, {"resourceSpans": 3}, {"resourceSpans": [3]}, export({"attributes": {}})])
def test_what_is_shaped_otherwise_is_no_export(document: Any) -> None:
    with pytest.raises(OtlpError):
        list(spans_of(document))


@pytest.mark.parametrize(
    ("usd", "nanousd"),
    [
        (0.00234, 2_340_000),
        ("0.000000001", 1),
        (3, 3_000_000_000),
        (0.1 + 0.2, 300_000_000),
        ("1e999999999", None),
        ("NaN", None),
        (float("inf"), None),
        (True, None),
        ("much", None),
    ],
)
def test_dollars_become_whole_nano_dollars(usd: Any, nanousd: int | None) -> None:
    assert usd_to_nanousd(usd) == nanousd
