"""OpenRouter's exports: the activity log as CSV and the answers of its generation API. Pure.

Columns: the header of the log's CSV export (one row a generation), and `GET /api/v1/generation`. Both call a generation
by the same id, so what is in both is one request.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from tokentide_producers.importing import cells
from tokentide_producers.importing.cells import Row
from tokentide_producers.importing.events import UNKNOWN_PROVIDER, Context, Request
from tokentide_producers.importing.problems import ImportSourceError, RowError
from tokentide_producers.otlp.endings import OTHER_ERROR, finish_reason_of
from tokentide_producers.token_usage import without_parts
from tokentide_schemas.event import CostSource, Outcome

NAMESPACE: Final = "openrouter"
GATEWAY: Final = "openrouter"
_STANDARD: Final = frozenset({"", "standard"})
_OPERATIONS: Final = {"completions": "chat", "embeddings": "embeddings", "rerank": "rerank"}

DAILY_TOTALS: Final = (
    "these are totals (by day, model or key), not requests; importing them would invent requests. Export the requests "
    "instead: Logs page of OpenRouter, Export, CSV (one row a generation); or GET /api/v1/generation for each id; or "
    "let Broadcast write them (docs/gateways/openrouter.md)"
)


class Activity:
    """The activity log's CSV. `created_at` has no zone and is UTC: it agrees with the second in the generation's id."""

    name = "openrouter-activity"
    columns = (
        *("generation_id", "created_at", "cost_total", "byok_usage_inference", "tokens_prompt", "tokens_completion"),
        *("tokens_reasoning", "tokens_cached", "model_permaslug", "provider_name", "variant", "cancelled", "streamed"),
        *("user", "finish_reason_raw", "finish_reason_normalized", "generation_time_ms", "time_to_first_token_ms"),
        *("api_key_name", "app_name"),
    )
    required = (("generation_id",), ("created_at",), ("model_permaslug",), ("tokens_prompt",), ("tokens_completion",))

    def request(self, row: Row, context: Context) -> Request:
        """One generation."""
        model = cells.required_text(row, "model_permaslug")
        variant = cells.text(row, "variant")
        usage = _usage(
            cells.count(row, "tokens_prompt"),
            cells.count(row, "tokens_completion"),
            cached=cells.count(row, "tokens_cached"),
            reasoning=cells.count(row, "tokens_reasoning"),
        )
        finish = cells.text(row, "finish_reason_normalized") or cells.text(row, "finish_reason_raw")
        first_ms = cells.milliseconds(row, "time_to_first_token_ms")
        byok = cells.nanousd(row, "byok_usage_inference")
        return _request(
            row,
            context,
            source_id=cells.required_text(row, "generation_id"),
            model=model if variant in _STANDARD or ":" in model else f"{model}:{variant}",
            usage=usage,
            cost=cells.nanousd(row, "cost_total"),
            finish=finish,
            first_ms=first_ms,
            total_ms=cells.milliseconds(row, "generation_time_ms"),
            fields={
                "is_byok": bool(byok),
                "app": cells.text(row, "app_name"),
                "user_hash": context.naming.hashed(cells.text(row, "user")),
                "api_key_hash": context.naming.hashed(cells.text(row, "api_key_name")),
            },
        )


class Generation:
    """`data` of the generation API, alone or many of them in one file."""

    name = "openrouter-generation"
    columns = (
        *("id", "created_at", "model", "provider_name", "api_type", "workspace_id", "external_user", "session_id"),
        *("origin", "data_region", "streamed", "cancelled", "finish_reason", "native_finish_reason", "latency"),
        *("generation_time", "tokens_prompt", "tokens_completion", "native_tokens_prompt", "native_tokens_completion"),
        *("native_tokens_reasoning", "native_tokens_cached", "native_tokens_completion_images", "total_cost", "usage"),
        "is_byok",
    )
    required = (("id",), ("created_at",), ("model",))

    def request(self, row: Row, context: Context) -> Request:
        """One generation. Native token counts are the ones that are billed, so they come first."""
        prompt, completion = (_first_count(row, f"native_tokens_{n}", f"tokens_{n}") for n in ("prompt", "completion"))
        images = cells.count(row, "native_tokens_completion_images")
        usage = _usage(
            prompt,
            completion,
            cached=cells.count(row, "native_tokens_cached"),
            reasoning=cells.count(row, "native_tokens_reasoning"),
            images=images,
        )
        cost = cells.nanousd(row, "total_cost")
        return _request(
            row,
            context,
            source_id=cells.required_text(row, "id"),
            model=cells.required_text(row, "model"),
            usage=usage,
            cost=cost if cost is not None else cells.nanousd(row, "usage"),
            finish=cells.text(row, "finish_reason") or cells.text(row, "native_finish_reason"),
            first_ms=cells.milliseconds(row, "latency") if cells.flag(row, "streamed") else None,
            total_ms=_longer(cells.milliseconds(row, "generation_time"), cells.milliseconds(row, "latency")),
            fields={
                "operation": _OPERATIONS.get(cells.text(row, "api_type"), "chat"),
                "is_byok": bool(cells.flag(row, "is_byok")),
                "app": urlsplit(cells.text(row, "origin")).hostname or "",
                "tenant": cells.text(row, "workspace_id"),
                "gateway_region": cells.text(row, "data_region"),
                "user_hash": context.naming.hashed(cells.text(row, "external_user")),
                "session_hash": context.naming.hashed(cells.text(row, "session_id")),
            },
        )


def refuse_totals(columns: frozenset[str]) -> None:
    """Raises ImportSourceError for the exports that hold totals: `GET /api/v1/activity` and the Activity page's CSV."""
    is_activity_api = "requests" in columns and bool({"endpoint_id", "usage", "prompt_tokens"} & columns)
    is_totals = "generation_id" not in columns and "id" not in columns and "date" in {name.lower() for name in columns}
    if is_activity_api or is_totals:
        raise ImportSourceError(DAILY_TOTALS)


def _request(
    row: Row,
    context: Context,
    *,
    source_id: str,
    model: str,
    usage: dict[str, Any],
    cost: int | None,
    finish: str,
    first_ms: int | None,
    total_ms: int | None,
    fields: dict[str, Any],
) -> Request:
    occurred_ms = cells.instant_ms(row, "created_at", context.zone)
    if occurred_ms is None:
        raise RowError("created_at", "is empty; a time is needed")
    finish = _finish_reason(finish)
    outcome = Outcome.OK
    if cells.flag(row, "cancelled") or finish == "cancelled":
        outcome = Outcome.CANCELLED
    elif finish == "error":
        outcome = Outcome.ERROR
    provider = cells.text(row, "provider_name")
    fields |= usage
    fields |= {
        "request_id": source_id,
        "request_model": model,
        "model": context.naming.model(model, ""),
        "provider": context.naming.provider(provider) if provider else UNKNOWN_PROVIDER,
        "outcome": outcome.value,
        "finish_reason": finish,
        "error_type": OTHER_ERROR if outcome is Outcome.ERROR else "",
        "streamed": bool(cells.flag(row, "streamed")),
        "time_to_first_token_ms": first_ms,
        "latency_ms": total_ms,
    }
    # An error without usage is listed with a cost of nothing; that is not known to be free.
    if cost is not None and (cost or usage["usage_reported"]):
        fields |= {"cost_nanousd": cost, "cost_source": CostSource.REPORTED.value}
    return Request(NAMESPACE, source_id, occurred_ms, fields)


@lru_cache(maxsize=1_024)
def _finish_reason(word: str) -> str:
    return finish_reason_of({"gen_ai.response.finish_reason": word})


def _usage(
    prompt: int | None, completion: int | None, *, cached: int | None, reasoning: int | None, images: int | None = None
) -> dict[str, Any]:
    """Prompt includes cached tokens, completion includes reasoning and images: disjoint buckets from them."""
    if prompt is None or completion is None:
        return {"input_uncached_tokens": 0, "output_tokens": 0, "usage_reported": False}
    return {
        "input_uncached_tokens": without_parts(prompt, cached or 0),
        "input_cache_read_tokens": cached or 0,
        "output_tokens": without_parts(completion, (reasoning or 0) + (images or 0)),
        "output_reasoning_tokens": reasoning or 0,
        "image_tokens": images or 0,
        "usage_reported": True,
    }


def _first_count(row: Row, *columns: str) -> int | None:
    for column in columns:
        found = cells.count(row, column)
        if found is not None:
            return found
    return None


def _longer(one: int | None, other: int | None) -> int | None:
    known = [value for value in (one, other) if value is not None]
    return max(known) if known else None
