"""What the categories' rules and classifier may look at of a LiteLLM call. Stays in the process. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from tokentide_producers.categories.conversation import conversation_in
from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.litellm.calls import Call
from tokentide_producers.litellm.reading import items, mapping, text

_REDACTED: Final = "redacted-by-litellm"
"""What LiteLLM's setting `turn_off_message_logging` leaves of a text: no words of a user."""
_REFERERS: Final = ("http-referer", "referer")


def category_input_of(call: Call, *, with_text: bool) -> CategoryInput:
    """Route, referer and tags; with_text: for a request in the classifier's sample also the start of its system prompt
    and its last words, cut to their bounds at once, so that no whole conversation is held."""
    request = mapping(call.params, "proxy_server_request") or mapping(call.data, "proxy_server_request")
    headers = {str(name).lower(): value for name, value in mapping(request, "headers").items()}
    route = text(call.metadata.get("user_api_key_request_route")) or _path_of(text(request.get("url")))
    referer = text(*(headers.get(name) for name in _REFERERS))
    tags = [tag for tag in items(call.payload, "request_tags") or items(call.metadata, "tags") if isinstance(tag, str)]
    if not with_text:
        return CategoryInput(route, referer, tags)
    bodies = (call.data, call.details, mapping(call.details, "optional_params"))
    excerpt = conversation_in(*bodies, redacted=_REDACTED).excerpt()
    return CategoryInput(route, referer, tags, text=excerpt.user or None, system=excerpt.system or None)


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
