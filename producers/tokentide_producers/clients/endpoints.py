"""Which requests of a client are model calls, and which provider a client talks to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.clients.answers import Answer, ChatAnswer, MessagesAnswer, ResponsesAnswer
from tokentide_schemas.event import Source


@dataclass(frozen=True, slots=True)
class Endpoint:
    """operation: OpenTelemetry's name. answer: reads what comes back."""

    operation: str
    answer: type[Answer]


@dataclass(frozen=True, slots=True)
class Library:
    """A client library. endpoints: by the path that its resources post to. source: of its events."""

    name: str
    source: Source
    endpoints: dict[str, Endpoint]


_LIBRARIES: Final = {
    "openai": Library(
        "openai",
        Source.OPENAI,
        {
            "/chat/completions": Endpoint("chat", ChatAnswer),
            "/completions": Endpoint("text_completion", ChatAnswer),
            "/embeddings": Endpoint("embeddings", ChatAnswer),
            "/responses": Endpoint("chat", ResponsesAnswer),
        },
    ),
    "anthropic": Library("anthropic", Source.SDK, {"/v1/messages": Endpoint("chat", MessagesAnswer)}),
}

_BY_CLASS: Final = {
    **dict.fromkeys(("AzureOpenAI", "AsyncAzureOpenAI", "AnthropicFoundry", "AsyncAnthropicFoundry"), "azure"),
    **dict.fromkeys(("AnthropicBedrock", "AsyncAnthropicBedrock"), "amazon-bedrock"),
    **dict.fromkeys(("AnthropicVertex", "AsyncAnthropicVertex"), "google-vertex"),
}
_BY_HOST: Final = {
    "api.openai.com": "openai",
    "openrouter.ai": "openrouter",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google-ai-studio",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.x.ai": "xai",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.deepinfra.com": "deepinfra",
    "api.perplexity.ai": "perplexity",
    "api.cerebras.ai": "cerebras",
}
_BY_DOMAIN: Final = {".openai.azure.com": "azure", ".services.ai.azure.com": "azure", ".openrouter.ai": "openrouter"}


def library_of(client: Any) -> Library | None:
    """The library that a client's class comes from; None for anything else, a module or a class among them."""
    if isinstance(client, type):
        return None
    for base in type(client).__mro__:
        library = _LIBRARIES.get(base.__module__.partition(".")[0])
        if library is not None and callable(getattr(client, "request", None)):
            return library
    return None


def provider_of(client: Any) -> str:
    """The catalogue's name of whom a client talks to; the host's name when it is nobody known."""
    for base in type(client).__mro__:
        if base.__name__ in _BY_CLASS:
            return _BY_CLASS[base.__name__]
    host = str(getattr(getattr(client, "base_url", None), "host", "") or "").lower()
    for domain, provider in _BY_DOMAIN.items():
        if host.endswith(domain):
            return provider
    return _BY_HOST.get(host, host or "unknown")
