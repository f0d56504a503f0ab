"""LiteLLM's spend logs: rows of the table LiteLLM_SpendLogs, from its API, as CSV or out of a database dump. Pure.

Columns: LiteLLM's schema.prisma. `messages`, `response` and `proxy_server_request` are content and are not among those
that are read; of `metadata` only the members named here are.
"""

from __future__ import annotations

from typing import Any, Final

from tokentide_producers.importing import cells
from tokentide_producers.importing.cells import Row
from tokentide_producers.importing.events import UNKNOWN_PROVIDER, Context, Request
from tokentide_producers.importing.problems import ImportSourceError, NotARequestError, RowError
from tokentide_producers.otlp.endings import OTHER_ERROR
from tokentide_producers.token_usage import without_parts
from tokentide_schemas.event import CostSource, Outcome

NAMESPACE: Final = "litellm"
GATEWAY: Final = "litellm"
OWN_CACHE: Final = "litellm-cache"
"""Provider of what LiteLLM answered from its own cache: no model ran, no tokens were used."""

SUMMARY: Final = (
    "these are LiteLLM's totals by day, not requests. Ask for the rows: GET /spend/logs?summarize=false with "
    "start_date and end_date, GET /spend/logs/v2, or export the table LiteLLM_SpendLogs"
)
_OPERATIONS: Final = {
    **dict.fromkeys(("completion", "acompletion", "responses", "aresponses", "anthropic_messages"), "chat"),
    **dict.fromkeys(("generate_content", "agenerate_content", "agenerate_content_stream"), "generate_content"),
    **dict.fromkeys(("text_completion", "atext_completion"), "text_completion"),
    **dict.fromkeys(("embedding", "aembedding"), "embeddings"),
    **dict.fromkeys(("rerank", "arerank"), "rerank"),
    **dict.fromkeys(("transcription", "atranscription"), "transcription"),
    **dict.fromkeys(("speech", "aspeech"), "speech"),
    **dict.fromkeys(("moderation", "amoderation"), "moderation"),
    **dict.fromkeys(("image_generation", "aimage_generation", "image_edit", "aimage_edit"), "image_generation"),
    "": "chat",
}
_NO_MODEL_CALL: Final = ("mcp", "file", "vector_store", "assistant", "thread", "fine_tuning", "container")


class SpendLogs:
    """Times without a zone are UTC: LiteLLM converts before it writes."""

    name = "litellm-spend-logs"
    columns = (
        *("request_id", "call_type", "api_key", "spend", "total_tokens", "prompt_tokens", "completion_tokens"),
        *("startTime", "endTime", "completionStartTime", "request_duration_ms", "model", "model_group"),
        *("custom_llm_provider", "user", "metadata", "cache_hit", "team_id", "organization_id", "end_user"),
        *("session_id", "status"),
    )
    required = (("request_id",), ("startTime", "endTime"), ("model", "model_group"), ("prompt_tokens",))

    def request(self, row: Row, context: Context) -> Request:
        """One row. `model_group` is what the client asked for, `model` what LiteLLM called."""
        call_type = cells.text(row, "call_type")
        operation = _OPERATIONS.get(call_type, "")
        if not operation and any(word in call_type for word in _NO_MODEL_CALL):
            raise NotARequestError("a call of LiteLLM that runs no model (files, MCP tools, vector stores)")
        source_id = cells.required_text(row, "request_id")
        start_ms, end_ms, first_ms = (
            cells.instant_ms(row, name, context.zone) for name in ("startTime", "endTime", "completionStartTime")
        )
        occurred_ms = end_ms if end_ms is not None else start_ms
        if occurred_ms is None:
            raise RowError("endTime", "is empty, and startTime is as well; a time is needed")
        called = cells.text(row, "model")
        asked = cells.text(row, "model_group") or called
        if not asked:
            raise RowError("model", "is empty, and model_group is as well; a model is needed")
        metadata = cells.document(row, "metadata")
        provider = cells.text(row, "custom_llm_provider") or called.partition("/")[0] * ("/" in called)
        fields: dict[str, Any] = {
            "operation": operation or call_type,
            "request_id": source_id,
            "request_model": asked,
            "model": context.naming.model(asked, called),
            "provider": context.naming.provider(provider) if provider else UNKNOWN_PROVIDER,
            "tenant": _label(metadata, "user_api_key_team_alias")
            or cells.text(row, "team_id")
            or cells.text(row, "organization_id"),
            "user_hash": context.naming.hashed(cells.text(row, "end_user") or cells.text(row, "user")),
            "api_key_hash": context.naming.hashed(cells.text(row, "api_key")),
            "session_hash": context.naming.hashed(cells.text(row, "session_id")),
            **_ending(row, metadata),
            **_speed(row, start_ms, end_ms, first_ms),
        }
        if cells.flag(row, "cache_hit"):
            fields |= {"provider": OWN_CACHE, "input_uncached_tokens": 0, "output_tokens": 0, "usage_reported": True}
            fields |= {"cost_nanousd": 0, "cost_source": CostSource.REPORTED.value}
        else:
            fields |= _usage(row, metadata)
            cost = cells.nanousd(row, "spend")
            # LiteLLM writes 0 as well where it knows no price: that is unknown, and the catalogue may know it.
            if cost:
                fields |= {"cost_nanousd": cost, "cost_source": CostSource.REPORTED.value}
        return Request(NAMESPACE, source_id, occurred_ms, fields)


def refuse_totals(columns: frozenset[str]) -> None:
    """Raises ImportSourceError for `/spend/logs` as it answers without `summarize=false`."""
    if "request_id" not in columns and {"spend", "models", "users"} & columns and "startTime" in columns:
        raise ImportSourceError(SUMMARY)


def _usage(row: Row, metadata: dict[str, Any]) -> dict[str, Any]:
    """Disjoint buckets. LiteLLM's prompt includes what caches served and stored, its completion includes reasoning."""
    prompt, completion = cells.count(row, "prompt_tokens"), cells.count(row, "completion_tokens")
    usage = metadata.get("usage_object") or metadata.get("additional_usage_values") or {}
    usage = usage if isinstance(usage, dict) else {}
    inner, outer = (_member(usage, f"{name}_tokens_details") for name in ("prompt", "completion"))
    read = _number(usage, "cache_read_input_tokens") or _number(inner, "cached_tokens")
    write = _number(usage, "cache_creation_input_tokens") or _number(inner, "cache_creation_tokens")
    reasoning = _number(outer, "reasoning_tokens")
    audio_in, audio_out = _number(inner, "audio_tokens"), _number(outer, "audio_tokens")
    # LiteLLM writes zeros where a provider gave no usage.
    if prompt is None or not (prompt or completion or usage.get("total_tokens")):
        return {"input_uncached_tokens": 0, "output_tokens": 0, "usage_reported": False}
    return {
        "input_uncached_tokens": without_parts(prompt, read + write + audio_in),
        "input_cache_read_tokens": read,
        "input_cache_write_tokens": write,
        "output_tokens": without_parts(completion or 0, reasoning + audio_out),
        "output_reasoning_tokens": reasoning,
        "audio_tokens": audio_in + audio_out,
        "usage_reported": True,
    }


def _ending(row: Row, metadata: dict[str, Any]) -> dict[str, Any]:
    status = cells.text(row, "status") or _label(metadata, "status") or "success"
    if status == "success":
        return {"outcome": Outcome.OK.value}
    error = _member(metadata, "error_information")
    code = _number(error, "error_code")
    if code == 499:
        return {"outcome": Outcome.CANCELLED.value, "http_status": code}
    name = _label(error, "error_class")
    is_name = bool(name) and name.replace(".", "").replace("_", "").isalnum()
    return {
        "outcome": Outcome.ERROR.value,
        "error_type": name if is_name else OTHER_ERROR,
        "http_status": code if code <= 999 else 0,
    }


def _speed(row: Row, start_ms: int | None, end_ms: int | None, first_ms: int | None) -> dict[str, Any]:
    latency = cells.milliseconds(row, "request_duration_ms")
    if latency is None and start_ms is not None and end_ms is not None and start_ms <= end_ms:
        latency = end_ms - start_ms
    # Where nothing was streamed LiteLLM writes the end as the time of the first token.
    streamed = first_ms is not None and end_ms is not None and start_ms is not None and start_ms <= first_ms < end_ms
    first = first_ms - start_ms if streamed and first_ms is not None and start_ms is not None else None
    return {"latency_ms": latency, "streamed": streamed, "time_to_first_token_ms": first}


def _member(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _number(value: dict[str, Any], name: str) -> int:
    try:
        return cells.count(value, name) or 0
    except RowError:
        return 0


def _label(value: dict[str, Any], name: str) -> str:
    try:
        return cells.text(value, name)
    except RowError:
        return ""
