"""Putting observation into a client, and taking it out again.

Every resource of these clients sends through its client's `request`, which also holds the client's retries: that one
method of the one object is replaced, and `copy` (`with_options`), whose clients are to be observed as well.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from tokentide_producers.clients.bodies import watch_raw
from tokentide_producers.clients.endpoints import Endpoint, Library, library_of, provider_of
from tokentide_producers.clients.labels import current_labels, given
from tokentide_producers.clients.observation import Observation, Reporting, quietly
from tokentide_producers.clients.reading import get
from tokentide_producers.clients.streams import is_stream, is_usage_only, watch_stream
from tokentide_producers.emitter import Emitter

C = TypeVar("C")

_MARK: Final = "_tokentide_reporting"
_REPLACED: Final = ("request", "copy", "with_options", "_process_response")
_RAW_HEADER: Final = "x-stainless-raw-response"
_sending: ContextVar[Observation | None] = ContextVar("tokentide_sending", default=None)


def instrument(
    client: C,
    emitter: Emitter,
    *,
    app: str = "",
    tenant: str = "",
    category: str = "",
    subcategory: str = "",
    user: str = "",
    session: str = "",
    api_key: str = "",
    country: str = "",
    language: str = "",
    provider: str = "",
    hasher: Callable[[str], bytes] | None = None,
    add_stream_usage: bool = False,
) -> C:
    """Emit one usage event for each model call of this client, sync or asyncio; gives the same client back.

    client: of `openai` (OpenAI, AzureOpenAI, or one whose `base_url` is OpenRouter's or another provider's) or of
    `anthropic`. app ... language: labels of all its calls, which `labels` overrides. user, session, api_key: plain
    identifiers, which leave the process as keyed hashes only. provider: the name to report instead of the one that the
    address or the answer gives. hasher: from an identifier to its 16 bytes, when a gateway hashes by itself; the
    emitter's key when left out. add_stream_usage: ask for usage in chat streams where the caller does not; the piece
    that carries it is kept from the caller.

    Again on the same client it replaces what was set before. Raises TypeError for any other object.
    """
    library = library_of(client)
    if library is None:
        raise TypeError(
            f"instrument takes a client object of the openai or anthropic package, not {type(client).__qualname__}"
        )
    shared = given(
        app=app,
        tenant=tenant,
        category=category,
        subcategory=subcategory,
        user=user,
        session=session,
        api_key=api_key,
        country=country,
        language=language,
    )
    reporting = Reporting(emitter, library.source, provider, shared, hasher or emitter.hash, add_stream_usage)
    _install(client, library, reporting)
    return client


def uninstrument(client: C) -> C:
    """Take the observation out again, also of the copies that `with_options` has made; gives the client back.

    Streams that are still open are observed to their end. A client that was not instrumented stays as it is.
    """
    reporting = vars(client).get(_MARK)
    if reporting is not None:
        reporting.is_active = False
        _remove(client)
    return client


def _remove(client: Any) -> None:
    for name in (*_REPLACED, _MARK):
        vars(client).pop(name, None)


def _install(client: Any, library: Library, reporting: Reporting) -> None:
    _remove(client)
    setattr(client, _MARK, reporting)
    replace = _arequest if inspect.iscoroutinefunction(client.request) else _request
    client.request = replace(client, client.request, library, reporting)
    client.copy = client.with_options = _copy(client.copy, library, reporting)
    process = getattr(client, "_process_response", None)
    if process is not None:
        # Only here the response of a call is seen whose answer is given as a model.
        client._process_response = _noting_response(process)


def _copy(original: Callable[..., Any], library: Library, reporting: Reporting) -> Callable[..., Any]:
    @functools.wraps(original)
    def copy(*arguments: Any, **options: Any) -> Any:
        made = original(*arguments, **options)
        if reporting.is_active:
            quietly(_install, made, library, reporting)
        return made

    return copy


def _noting_response(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def process_response(*arguments: Any, **options: Any) -> Any:
        observation = _sending.get()
        if observation is not None and options.get("response") is not None:
            quietly(observation.answered, options["response"])
        return original(*arguments, **options)

    return process_response


class _Call:
    """What is decided before a request is sent. observation: None for what is no model call."""

    def __init__(self, client: Any, library: Library, reporting: Reporting, options: Any, stream: bool) -> None:
        self.options = options
        self.observation: Observation | None = None
        self.hides_usage = False
        endpoint = _endpoint(library, options) if reporting.is_active else None
        if endpoint is None:
            return
        body = _body(options)
        is_streamed = stream or body.get("stream") is True
        self.observation = Observation(reporting, endpoint, provider_of(client), current_labels(), body, is_streamed)
        if reporting.add_stream_usage and is_streamed and not _is_raw(options):
            self._add_stream_usage(endpoint, body)

    def _add_stream_usage(self, endpoint: Endpoint, body: Mapping[str, Any]) -> None:
        asked = body.get("stream_options")
        if endpoint.answer.__name__ != "ChatAnswer" or not isinstance(self.options.json_data, dict):
            return
        if asked is not None and not isinstance(asked, dict):
            return
        if asked is None or "include_usage" not in asked:
            with_usage = {**self.options.json_data, "stream_options": {**(asked or {}), "include_usage": True}}
            self.options = self.options.model_copy(update={"json_data": with_usage})
            self.hides_usage = True

    def came(self, result: Any) -> None:
        """The request has given its result, which the caller gets as it is."""
        observation = self.observation
        if observation is None:
            return
        if is_stream(result):
            watch_stream(observation, result, is_usage_only if self.hides_usage else None)
        elif hasattr(result, "http_response") or hasattr(result, "iter_raw"):
            watch_raw(observation, result)
        else:
            observation.whole(result)

    def raised(self, error: BaseException) -> None:
        if self.observation is not None:
            self.observation.fail(error)


def _begun(client: Any, library: Library, reporting: Reporting, options: Any, stream: bool) -> _Call | None:
    found: list[_Call] = []
    quietly(lambda: found.append(_Call(client, library, reporting, options, stream)))
    return found[0] if found and found[0].observation is not None else None


def _request(client: Any, original: Callable[..., Any], library: Library, reporting: Reporting) -> Callable[..., Any]:
    @functools.wraps(original)
    def request(cast_to: Any, options: Any, *arguments: Any, **keywords: Any) -> Any:
        call = _begun(client, library, reporting, options, keywords.get("stream") is True)
        if call is None:
            return original(cast_to, options, *arguments, **keywords)
        token = _sending.set(call.observation)
        try:
            result = original(cast_to, call.options, *arguments, **keywords)
        except BaseException as error:
            quietly(call.raised, error)
            raise
        finally:
            _sending.reset(token)
        quietly(call.came, result)
        return result

    return request


def _arequest(client: Any, original: Callable[..., Any], library: Library, reporting: Reporting) -> Callable[..., Any]:
    @functools.wraps(original)
    async def request(cast_to: Any, options: Any, *arguments: Any, **keywords: Any) -> Any:
        call = _begun(client, library, reporting, options, keywords.get("stream") is True)
        if call is None:
            return await original(cast_to, options, *arguments, **keywords)
        token = _sending.set(call.observation)
        try:
            result = await original(cast_to, call.options, *arguments, **keywords)
        except BaseException as error:
            quietly(call.raised, error)
            raise
        finally:
            _sending.reset(token)
        quietly(call.came, result)
        return result

    return request


def _endpoint(library: Library, options: Any) -> Endpoint | None:
    if str(get(options, "method")).lower() != "post":
        return None
    return library.endpoints.get(str(get(options, "url")).partition("?")[0])


def _body(options: Any) -> dict[str, Any]:
    body = get(options, "json_data")
    extra = get(options, "extra_json")
    return {**(body if isinstance(body, Mapping) else {}), **(extra if isinstance(extra, Mapping) else {})}


def _is_raw(options: Any) -> bool:
    headers = get(options, "headers")
    return isinstance(headers, Mapping) and any(str(name).lower() == _RAW_HEADER for name in headers)
