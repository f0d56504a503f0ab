from __future__ import annotations

from typing import Any

import pytest

from tokentide_producers.litellm.calls import operation_of, request_id_of
from tokentide_producers.litellm.endings import ending_of_error
from tokentide_producers.litellm.reading import label
from tokentide_producers.litellm.settings import LiteLLMSettings
from tokentide_producers.litellm.streams import is_reported
from tokentide_producers.litellm.usage import usage_of
from tokentide_schemas.settings import SettingsError, read_settings


@pytest.mark.parametrize(
    "reported",
    [
        None,
        {},
        "150",
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": None, "completion_tokens": 4},
        {"prompt_tokens": -1, "completion_tokens": 4},
        {"prompt_tokens": 2**40, "completion_tokens": 4},
        {"prompt_tokens": True, "completion_tokens": 4},
    ],
)
def test_what_is_no_usage_is_unknown(reported: Any) -> None:
    usage = usage_of(reported)
    assert (usage.is_reported, usage.input_uncached, usage.output, usage.image) == (False, 0, 0, 0)


def test_the_responses_objects_words_are_the_same_buckets() -> None:
    reported = {
        "input_tokens": 90,
        "output_tokens": 50,
        "input_tokens_details": {"cached_tokens": 30},
        "output_tokens_details": {"reasoning_tokens": 20},
    }
    usage = usage_of(reported)
    assert (usage.input_uncached, usage.input_cache_read, usage.output, usage.output_reasoning) == (60, 30, 30, 20)


def test_images_are_apart_and_all_buckets_sum_to_the_total() -> None:
    details = {"image_tokens": 7, "text_tokens": 3}
    usage = usage_of({"prompt_tokens": 10, "completion_tokens": 6, "prompt_tokens_details": details})
    assert (usage.input_uncached, usage.image, usage.output) == (3, 7, 6)


def test_embeddings_without_an_output_are_reported() -> None:
    usage = usage_of({"prompt_tokens": 17}, input_only=True)
    assert (usage.is_reported, usage.input_uncached, usage.output) == (True, 17, 0)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (None, False),
        ([], False),
        ([{"choices": []}], False),
        ([{"usage": {"prompt_tokens": 0, "completion_tokens": 0}}], False),
        ([{"choices": []}, {"usage": {"prompt_tokens": 4, "completion_tokens": 0}}], True),
        ([{"_hidden_params": {"usage": {"prompt_tokens": 4}}}], True),
    ],
)
def test_a_stream_has_reported_usage_when_a_chunk_carries_some(chunks: Any, expected: bool) -> None:
    assert is_reported(chunks) is expected


@pytest.mark.parametrize("text", ["Tell me, please: why?", "two\nlines", "x" * 129, "", 5, None, '{"a": 1}'])
def test_a_label_that_may_be_prose_stays_out(text: Any) -> None:
    assert label(text) == ""


@pytest.mark.parametrize("text", ["programming", "Search team", "team/eu-west_1", "日本語"])
def test_a_name_is_a_label(text: str) -> None:
    assert label(None, text) == text


@pytest.mark.parametrize(
    ("call_type", "expected"),
    [
        ("acompletion", "chat"),
        ("aembedding", "embeddings"),
        ("_arealtime", "chat"),
        ("anthropic_messages", "chat"),
        ("atext_completion", "text_completion"),
        ("acreate_file", ""),
        (None, ""),
    ],
)
def test_call_types_are_operations_or_no_model_calls(call_type: Any, expected: str) -> None:
    assert operation_of(call_type) == expected


def test_a_clients_own_text_is_no_request_id() -> None:
    assert request_id_of("call:0b5e-1") == "0b5e-1"
    assert request_id_of("call:my secret prompt") != "my secret prompt"
    assert request_id_of("call:") and request_id_of("call:") != request_id_of("call:")


def test_an_error_without_a_status_or_a_proper_name_is_still_an_error() -> None:
    assert ending_of_error(None) == {"outcome": "error", "error_type": "_OTHER", "http_status": 0}
    assert ending_of_error(ValueError("secret")) == {"outcome": "error", "error_type": "ValueError", "http_status": 0}
    assert ending_of_error(type("Gone", (Exception,), {"code": "499"})())["outcome"] == "cancelled"


def test_settings_name_every_wrong_variable_and_show_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("TOKENTIDE_LITELLM_RETRY_WAIT_S", "secret-soon")
    monkeypatch.setenv("TOKENTIDE_SPOOL_WHEN_FULL", "secret-other")
    with pytest.raises(SettingsError) as caught:
        read_settings(LiteLLMSettings)
    message = str(caught.value)
    for name in ("TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS", "TOKENTIDE_LITELLM_RETRY_WAIT_S", "TOKENTIDE_SPOOL_WHEN_FULL"):
        assert name in message
    assert "secret" not in message


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("TOKENTIDE_LITELLM_GATEWAY", "gw-2")
    own = read_settings(LiteLLMSettings)
    assert (own.kafka_bootstrap_servers, own.gateway, own.retry_wait_s) == ("127.0.0.1:1", "gw-2", 65.0)
