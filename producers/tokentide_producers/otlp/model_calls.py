"""Which spans are model calls: a request inflates when its agents, tools, chains and retries are counted too. Pure."""

from __future__ import annotations

from typing import Final

from tokentide_producers.otlp import names
from tokentide_producers.otlp.numbers import first_text
from tokentide_producers.otlp.spans import Span

OPENROUTER: Final = "openrouter"
OPENROUTER_ROOT: Final = "LLM Generation"
CONNECTION_TEST: Final = "openrouter-connection-test"

_OPERATIONS: Final = {
    **{name: name for name in ("chat", "text_completion", "generate_content", "embeddings", "rerank")},
    "completion": "text_completion",
    "embedding": "embeddings",
    "responses": "chat",
    "messages": "chat",
    "generate": "generate_content",
}
_OPENINFERENCE: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}


def is_openrouter(span: Span) -> bool:
    """A span of OpenRouter's Broadcast."""
    return OPENROUTER in (span.scope, span.resource.get(names.SERVICE_NAME))


def operation_of(span: Span) -> str:
    """The event's operation, '' when the span is no model call.

    OpenRouter: its root spans alone. Else what the span says of itself, in the words of the three conventions; a span
    that names a model and a provider and says nothing else (before GenAI had operation names) is a chat.
    """
    if span.name == CONNECTION_TEST:
        return ""
    attributes = span.attributes
    named = attributes.get("gen_ai.operation.name")
    if is_openrouter(span):
        if span.name != OPENROUTER_ROOT:
            return ""
        return _OPERATIONS.get(named, "chat") if isinstance(named, str) else "chat"
    if isinstance(named, str) and named:
        # Agents, tools, workflows, retrieval: their model calls have spans of their own.
        return _OPERATIONS.get(named.lower(), "")
    kind = attributes.get(names.OPENINFERENCE_KIND)
    if isinstance(kind, str) and kind:
        return _OPENINFERENCE.get(kind.upper(), "")
    if attributes.get(names.TRACELOOP_KIND):
        return ""
    request = attributes.get(names.REQUEST_TYPE)
    if isinstance(request, str) and request:
        return _OPERATIONS.get(request.lower(), "")
    if first_text(attributes, names.REQUEST_MODEL) and first_text(attributes, names.PROVIDER):
        return "chat"
    return ""
