"""Names of span attributes: what is read, and by whom it is called so. Everything else is left unread. Pure.

Each tuple is in order of preference: the OpenTelemetry GenAI conventions 1.41 first, then their deprecated names, then
OpenRouter Broadcast, OpenInference and OpenLLMetry (Traceloop).
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

OPERATION: Final = ("gen_ai.operation.name",)
REQUEST_TYPE: Final = "llm.request.type"
OPENINFERENCE_KIND: Final = "openinference.span.kind"
TRACELOOP_KIND: Final = "traceloop.span.kind"
REQUEST_MODEL: Final = ("gen_ai.request.model", "llm.request.model", "llm.model_name", "embedding.model_name")
RESPONSE_MODEL: Final = ("gen_ai.response.model", "llm.response.model")
OPENROUTER_HOST: Final = ("trace.metadata.openrouter.provider_name", "trace.metadata.openrouter.provider_slug")
PROVIDER: Final = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor")
RESPONSE_ID: Final = ("gen_ai.response.id", "llm.response.id")

INPUT: Final = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    *("llm.token_count.prompt", "llm.usage.prompt_tokens"),
)
OUTPUT: Final = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    *("llm.token_count.completion", "llm.usage.completion_tokens"),
)
TOTAL: Final = ("gen_ai.usage.total_tokens", "llm.token_count.total", "llm.usage.total_tokens")
CACHE_READ: Final = (
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.input_tokens.cached"),
    *("gen_ai.usage.cache_read_input_tokens", "llm.token_count.prompt_details.cache_read"),
    "llm.usage.cache_read_input_tokens",
)
CACHE_WRITE: Final = (
    *("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.input_tokens.cache_write"),
    *("gen_ai.usage.input_tokens.cache_creation", "gen_ai.usage.cache_creation_input_tokens"),
    *("llm.token_count.prompt_details.cache_write", "llm.usage.cache_creation_input_tokens"),
)
REASONING: Final = (
    *("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.output_tokens.reasoning"),
    *("gen_ai.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens"),
)
INPUT_AUDIO: Final = ("llm.token_count.prompt_details.audio",)
OUTPUT_AUDIO: Final = ("llm.token_count.completion_details.audio",)
COST_USD: Final = ("gen_ai.usage.total_cost", "gen_ai.usage.cost", "llm.cost.total")

FIRST_CHUNK_S: Final = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
FIRST_TOKEN_MS: Final = ("trace.metadata.openrouter.first_token_ms",)
STREAMED: Final = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming", "llm.request.is_streaming")
FINISH_REASON: Final = (
    *("gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.finish_reason"),
    *("llm.response.finish_reason", "llm.response.stop_reason", "gen_ai.response.stop_reason"),
    "gen_ai.completion.0.finish_reason",
)
ERROR_TYPE: Final = ("error.type", "exception.type")
HTTP_STATUS: Final = ("http.response.status_code", "http.status_code")
RESEND_COUNT: Final = ("http.request.resend_count",)

SESSION: Final = ("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id")
USER: Final = (
    *("user.id", "enduser.id", "gen_ai.request.user", "gen_ai.user", "llm.user"),
    "traceloop.association.properties.user_id",
)
API_KEY: Final = ("trace.metadata.openrouter.api_key_name",)

OWN_PREFIX: Final = "tokentide."
OWN_TEXT: Final = (
    *("category", "subcategory", "app", "tenant", "country", "language"),
    *("gateway", "gateway_region", "request_id"),
)
"""Fields of the event that a span or its resource may give itself, as `tokentide.<field>`."""
ROUTE: Final = ("tokentide.route", "http.route", "url.path")
REFERER: Final = ("tokentide.referer", "http.request.header.referer")
TAGS: Final = ("tokentide.tags", "langfuse.trace.tags", "tag.tags")
"""What rules for the category may look at; not stored."""
SERVICE_NAME: Final = "service.name"
REGION: Final = "cloud.region"

WANTED: Final = frozenset(
    {
        *(OPERATION + REQUEST_MODEL + RESPONSE_MODEL + OPENROUTER_HOST + PROVIDER + RESPONSE_ID),
        *(INPUT + OUTPUT + TOTAL + CACHE_READ + CACHE_WRITE + REASONING + INPUT_AUDIO + OUTPUT_AUDIO + COST_USD),
        *(FIRST_CHUNK_S + FIRST_TOKEN_MS + STREAMED + FINISH_REASON + ERROR_TYPE + HTTP_STATUS + RESEND_COUNT),
        *(SESSION + USER + API_KEY + ROUTE + REFERER + TAGS),
        *(REQUEST_TYPE, OPENINFERENCE_KIND, TRACELOOP_KIND),
        *(OWN_PREFIX + name for name in OWN_TEXT),
        *(SERVICE_NAME, REGION),
    }
)

FIRST_TOKEN_EVENTS: Final = frozenset({"First Token Stream Event", "gen_ai.content.completion.chunk"})
"""Span events that OpenInference and OpenLLMetry write at the first (or at each) token: only their time is read."""
EXCEPTION_EVENT: Final = "exception"

_CONTENT: Final = (
    *("gen_ai.prompt", "gen_ai.completion", "gen_ai.input", "gen_ai.output.messages", "gen_ai.system_instructions"),
    *("gen_ai.tool.", "gen_ai.content", "gen_ai.choice", "gen_ai.event.content", "gen_ai.request.messages"),
    *("llm.prompts", "llm.completions", "llm.choices", "llm.input_messages", "llm.output_messages", "llm.tools"),
    *("llm.prompt_template", "llm.invocation_parameters", "llm.function_call", "llm.request.functions"),
    *("input.value", "output.value", "trace.input", "trace.output", "span.input", "span.output", "message."),
    *("traceloop.entity.input", "traceloop.entity.output", "retrieval.documents", "embedding.embeddings"),
    *("embedding.text", "tool.parameters", "exception.message", "exception.stacktrace"),
)
_TOOL_CALL: Final = re.compile(
    r"(?:gen_ai\.completion|llm\.completions|llm\.output_messages)\.(\d{1,4})\.(?:message\.)?tool_calls\.(\d{1,4})\."
)
_TOOL_OFFERED: Final = re.compile(r"llm\.(?:request\.functions|tools)\.(\d{1,4})\.")
_MAX_NAME_CHARS: Final = 128
"""Longer names are nobody's convention; the memory of names stays small."""


class Kind(IntEnum):
    """What a name is to us. TOOL_CALL and TOOL_OFFERED: content as well, of which only the name's numbers are used."""

    OTHER = 0
    WANTED = 1
    CONTENT = 2
    TOOL_CALL = 3
    TOOL_OFFERED = 4


def kind_of(name: str) -> tuple[Kind, str]:
    """What a name is, and for tools which one (from the numbers in the name)."""
    return _kind_of(name) if len(name) <= _MAX_NAME_CHARS else _uncached(name)


def _uncached(name: str) -> tuple[Kind, str]:
    if name in WANTED:
        return Kind.WANTED, ""
    if not name.startswith(_CONTENT):
        return Kind.OTHER, ""
    if found := _TOOL_CALL.match(name):
        return Kind.TOOL_CALL, f"{found[1]}.{found[2]}"
    if found := _TOOL_OFFERED.match(name):
        return Kind.TOOL_OFFERED, found[1]
    return Kind.CONTENT, ""


_kind_of = lru_cache(maxsize=4_096)(_uncached)
