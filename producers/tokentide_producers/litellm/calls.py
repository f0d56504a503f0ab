"""One call as LiteLLM describes it to its callbacks: what it is, whose it is, to which request it belongs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import uuid4

from tokentide_producers.litellm.reading import mapping, part, text

_OPERATIONS: Final = {
    **dict.fromkeys(("completion", "responses", "anthropic_messages", "generate_content"), "chat"),
    **dict.fromkeys(("generate_content_stream", "responses_websocket", "realtime"), "chat"),
    "text_completion": "text_completion",
    "embedding": "embeddings",
    "rerank": "rerank",
    "moderation": "moderation",
    "transcription": "transcription",
    "speech": "speech",
    "image_generation": "image_generation",
    "image_edit": "image_edit",
}
INPUT_ONLY: Final = frozenset({"embeddings", "rerank", "moderation"})
_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_PROXY_MARKS: Final = ("user_api_key_hash", "user_api_key", "requester_metadata")


def operation_of(call_type: Any) -> str:
    """OpenTelemetry's operation name of LiteLLM's call type, which asynchronous calls begin with an `a`; '' when it is
    no model call (files, batches, containers, ...)."""
    name = str(getattr(call_type, "value", call_type) or "").lstrip("_")
    return _OPERATIONS.get(name) or _OPERATIONS.get(name.removeprefix("a"), "")


@dataclass(frozen=True, slots=True)
class Call:
    """details: LiteLLM's `model_call_details`. data: the arguments of the attempt, where a hook gives them."""

    details: Mapping[str, Any]
    data: Mapping[str, Any]

    @classmethod
    def of_details(cls, details: Any) -> Self:
        """As the log events give it."""
        return cls(mapping(details), {})

    @classmethod
    def of_attempt(cls, data: Any) -> Self:
        """As the deployment hooks give it: with the logging object that the log events will speak of."""
        return cls(mapping(data, "litellm_logging_obj", "model_call_details"), mapping(data))

    @property
    def params(self) -> Mapping[str, Any]:
        """LiteLLM's own parameters of the call."""
        return mapping(self.details, "litellm_params")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the client, the router and the proxy have noted; the proxy's own word wins."""
        return {
            **mapping(self.params, "metadata"),
            **mapping(self.data, "metadata"),
            **mapping(self.params, "litellm_metadata"),
            **mapping(self.data, "litellm_metadata"),
        }

    @property
    def payload(self) -> Mapping[str, Any]:
        """LiteLLM's StandardLoggingPayload; empty before the call has ended."""
        return mapping(self.details, "standard_logging_object")

    @property
    def is_proxied(self) -> bool:
        """The call came through the proxy, which tells when a request has failed for good."""
        metadata = self.metadata
        return any(mark in metadata for mark in _PROXY_MARKS) or bool(mapping(self.params, "proxy_server_request"))

    @property
    def is_routed(self) -> bool:
        """A Router chose the deployment, so that there may be further attempts."""
        return bool(text(self.metadata.get("model_group")))

    @property
    def key(self) -> str:
        """The same for all attempts of a request. The proxy's attempts share a call id, a bare Router's a trace id."""
        call_id = text(
            part(self.data.get("litellm_logging_obj"), "litellm_call_id"),
            self.details.get("litellm_call_id"),
            self.data.get("litellm_call_id"),
        )
        trace_id = text(self.data.get("litellm_trace_id"), self.params.get("litellm_trace_id"))
        trace_id = trace_id or text(self.payload.get("trace_id"), self.details.get("litellm_trace_id"))
        if self.is_routed and not self.is_proxied and trace_id:
            return f"trace:{trace_id}"
        return f"call:{call_id}"

    @property
    def is_first_of_router(self) -> bool:
        """The Router has neither retried nor fallen back yet."""
        metadata = self.metadata
        return not metadata.get("attempted_retries") and not metadata.get("attempted_fallbacks")

    @property
    def operation(self) -> str:
        """See `operation_of`."""
        found = self.details.get("call_type") or part(self.data.get("litellm_logging_obj"), "call_type")
        return operation_of(found)

    @property
    def asked_model(self) -> str:
        """The name that the caller used: the proxy's or the Router's model group, else the model."""
        return text(self.metadata.get("model_group"), self.data.get("model"), self.details.get("model"))


def request_id_of(key: str) -> str:
    """LiteLLM's own id where it is one; clients may send any text as an id, and that is replaced."""
    own = key.partition(":")[2]
    return own if _ID.fullmatch(own) else str(uuid4())
