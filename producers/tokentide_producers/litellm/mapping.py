"""A LiteLLM call to the fields of a usage event. Pure: names and hashes come in as functions, times as arguments."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.litellm.calls import INPUT_ONLY, Call
from tokentide_producers.litellm.endings import ending_of_error, finish_reason_of, tool_calls_in
from tokentide_producers.litellm.reading import items, label, mapping, part, text
from tokentide_producers.litellm.usage import usage_of
from tokentide_producers.otlp.numbers import usd_to_nanousd
from tokentide_producers.token_usage import UNKNOWN, Usage
from tokentide_schemas.event import MAX_COUNT16, MAX_COUNT32, CategorySource, CostSource, Outcome

UNKNOWN_NAME: Final = "unknown"
CACHE: Final = "litellm-cache"
"""The provider of what LiteLLM's own cache answered: nobody else saw the request."""
REFUSED_BY: Final = "litellm"
"""The provider of what the proxy itself refused."""
STREAM_USAGE: Final = "tokentide_stream_usage_reported"
"""Key in LiteLLM's call details: whether any chunk of the stream carried usage (`streams.py`)."""
_OWN: Final = ("category", "subcategory", "app", "tenant")
_CODES: Final = {"country": re.compile(r"[A-Z]{2}"), "language": re.compile(r"[a-z]{2}")}
_MAX_MODEL_CHARS: Final = 256


@dataclass(frozen=True, slots=True)
class Naming:
    """model: from the asked name and the names of what answered, best first, to the canonical one. provider: to the
    catalogue's name. hashed: an identifier's keyed hash. app_from_key_alias: see `LiteLLMSettings`."""

    model: Callable[[str, tuple[str, ...]], str]
    provider: Callable[[str], str]
    hashed: Callable[[str], bytes]
    app_from_key_alias: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds since 1970. first_token_s: None when unknown."""

    started_s: float
    ended_s: float
    first_token_s: float | None = None


def success_fields(call: Call, response: Any, timing: Timing, naming: Naming) -> dict[str, Any]:
    """The event of an attempt that was answered, wholly or until its client went away."""
    fields = _common_fields(call, timing, naming, response)
    is_cancelled = call.metadata.get("client_disconnected") is True
    fields["outcome"] = (Outcome.CANCELLED if is_cancelled else Outcome.OK).value
    fields["finish_reason"] = "cancelled" if is_cancelled else finish_reason_of(response)
    fields["http_status"] = 0 if is_cancelled else 200
    fields["tool_calls"] = tool_calls_in(response)
    if call.details.get("cache_hit") is True:
        # No provider did any work: known to be nothing, not unknown.
        _add_usage(fields, Usage(is_reported=True))
        fields |= {"provider": CACHE, "cost_nanousd": 0, "cost_source": CostSource.REPORTED.value}
        return fields
    reported = call.payload.get("metadata", {}).get("usage_object") or part(response, "usage")
    usage = usage_of(reported, input_only=fields["operation"] in INPUT_ONLY)
    # LiteLLM counts with a tokenizer of its own what a stream has not reported: that is not the provider's number.
    if is_cancelled or call.details.get(STREAM_USAGE) is False:
        usage = UNKNOWN
    _add_usage(fields, usage)
    _add_cost(fields, call)
    return fields


def failure_fields(call: Call, error: Any, timing: Timing, naming: Naming) -> dict[str, Any]:
    """The event of an attempt that failed: no usage and no cost are known."""
    fields = _common_fields(call, timing, naming, None, text(part(error, "llm_provider")))
    _add_usage(fields, UNKNOWN)
    return fields | ending_of_error(error)


def snapshot_fields(call: Call, started_s: float, naming: Naming) -> dict[str, Any]:
    """What is known of an attempt when it is sent: enough for its event, should nobody tell its end."""
    fields = _common_fields(call, Timing(started_s, started_s), naming, None)
    _add_usage(fields, UNKNOWN)
    return fields


def cancelled_fields(snapshot: Mapping[str, Any], started_s: float, ended_s: float) -> dict[str, Any]:
    """The event of an attempt whose caller has let go of it."""
    return {**snapshot, **_ended(started_s, ended_s), "outcome": Outcome.CANCELLED.value, "finish_reason": "cancelled"}


def failed_fields(snapshot: Mapping[str, Any], error: Any, started_s: float, ended_s: float) -> dict[str, Any]:
    """The event of an attempt whose end only the proxy has told."""
    return {**snapshot, **_ended(started_s, ended_s), **ending_of_error(error)}


def refused_fields(call: Call, error: Any, asked_model: str, now_s: float, naming: Naming) -> dict[str, Any]:
    """The event of a request that the proxy refused before any attempt. asked_model: '' unless it is one it serves."""
    fields = _common_fields(call, Timing(now_s, now_s), naming, None)
    _add_usage(fields, UNKNOWN)
    model = asked_model or UNKNOWN_NAME
    own = {"request_model": model, "model": model, "provider": REFUSED_BY, "latency_ms": None}
    return {**fields, **own, **ending_of_error(error)}


def _ended(started_s: float, ended_s: float) -> dict[str, Any]:
    latency_ms = min(max(0, round((ended_s - started_s) * 1000)), MAX_COUNT32)
    return {"occurred_at": dt.datetime.fromtimestamp(ended_s, dt.UTC), "latency_ms": latency_ms}


def _common_fields(call: Call, timing: Timing, naming: Naming, response: Any, host: str = "") -> dict[str, Any]:
    asked = call.asked_model[:_MAX_MODEL_CHARS] or UNKNOWN_NAME
    deployment = text(call.metadata.get("deployment"), call.payload.get("model"), call.details.get("model"))
    bare = text(call.details.get("model"), deployment)
    answered = tuple(name for name in (text(part(response, "model")), deployment, bare) if name)
    provider = text(call.details.get("custom_llm_provider"), call.payload.get("custom_llm_provider"), host)
    if not provider and "/" in (deployment or asked):
        provider = (deployment or asked).partition("/")[0]
    fields: dict[str, Any] = {
        "operation": call.operation or "chat",
        "request_model": asked,
        "model": naming.model(asked, answered)[:_MAX_MODEL_CHARS],
        "provider": naming.provider(label(provider) or UNKNOWN_NAME),
        "streamed": (call.details.get("stream") or call.data.get("stream")) is True,
        "tools_offered": _tools_offered(call),
        **_ended(timing.started_s, timing.ended_s),
    }
    if fields["streamed"] and timing.first_token_s is not None and timing.first_token_s >= timing.started_s:
        first_ms = round((timing.first_token_s - timing.started_s) * 1000)
        fields["time_to_first_token_ms"] = min(first_ms, fields["latency_ms"])
    _add_who(fields, call, naming)
    _add_labels(fields, call)
    return fields


def _tools_offered(call: Call) -> int:
    given = mapping(call.details, "optional_params")
    count = len(items(given, "tools") or items(call.data, "tools"))
    return min(count or len(items(given, "functions") or items(call.data, "functions")), MAX_COUNT16)


def _add_usage(fields: dict[str, Any], usage: Usage) -> None:
    fields |= {
        "usage_reported": usage.is_reported,
        "input_uncached_tokens": usage.input_uncached,
        "input_cache_read_tokens": usage.input_cache_read,
        "input_cache_write_tokens": usage.input_cache_write,
        "output_tokens": usage.output,
        "output_reasoning_tokens": usage.output_reasoning,
        "audio_tokens": usage.audio,
        "image_tokens": usage.image,
    }


def _add_cost(fields: dict[str, Any], call: Call) -> None:
    """LiteLLM's cost. It says 0 where it has no price, too: 0 is unknown, as is the cost of unknown usage."""
    nanousd = usd_to_nanousd(call.details.get("response_cost"))
    if nanousd and fields["usage_reported"]:
        fields |= {"cost_nanousd": nanousd, "cost_source": CostSource.REPORTED.value}


def _add_who(fields: dict[str, Any], call: Call, naming: Naming) -> None:
    metadata = call.metadata
    body = mapping(call.params, "proxy_server_request", "body")
    user = text(
        metadata.get("user_api_key_end_user_id"),
        call.payload.get("end_user"),
        call.details.get("user"),
        call.data.get("user"),
        body.get("user"),
        metadata.get("user_api_key_user_id"),
    )
    session = text(call.params.get("litellm_session_id"), metadata.get("session_id"), body.get("litellm_session_id"))
    key = text(metadata.get("user_api_key_hash"), metadata.get("user_api_key"))
    fields |= {"user_hash": naming.hashed(user), "session_hash": naming.hashed(session)}
    fields["api_key_hash"] = naming.hashed(key)
    fields["tenant"] = label(*(metadata.get(f"user_api_key_{name}") for name in ("team_alias", "team_id", "org_id")))
    if naming.app_from_key_alias:
        fields["app"] = label(metadata.get("user_api_key_alias"))


def _add_labels(fields: dict[str, Any], call: Call) -> None:
    """The client's words: metadata `tokentide_category` before `category`, before the tag `category:...`."""
    metadata = {**mapping(call.metadata, "requester_metadata"), **call.metadata}
    tags = _tags(items(call.payload, "request_tags") or items(call.metadata, "tags"))
    for name in _OWN:
        found = label(metadata.get(f"tokentide_{name}"), metadata.get(name), tags.get(name))
        if found:
            fields[name] = found
    for name, form in _CODES.items():
        found = text(metadata.get(f"tokentide_{name}"), metadata.get(name), tags.get(name))
        if form.fullmatch(found):
            fields[name] = found
    if fields.get("category"):
        fields["category_source"] = CategorySource.GATEWAY.value


def _tags(tags: list[Any]) -> Mapping[str, str]:
    pairs = (tag.partition(":") for tag in tags if isinstance(tag, str) and ":" in tag)
    return {name.strip(): value.strip() for name, _colon, value in pairs}
