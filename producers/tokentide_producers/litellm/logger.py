"""LiteLLM's callback. It never waits, never raises into a request, and reads no message."""

from __future__ import annotations

import atexit
import datetime as dt
import functools
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, ParamSpec, Self

import litellm
from litellm.integrations.custom_logger import CustomLogger

from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.emitter import Emitter
from tokentide_producers.litellm.attempts import Attempts, Fields
from tokentide_producers.litellm.calls import Call, request_id_of
from tokentide_producers.litellm.category_inputs import category_input_of
from tokentide_producers.litellm.mapping import (
    Timing,
    cancelled_fields,
    failed_fields,
    failure_fields,
    refused_fields,
    snapshot_fields,
    success_fields,
)
from tokentide_producers.litellm.naming import catalogue_or_none, naming
from tokentide_producers.litellm.reading import part, text
from tokentide_producers.litellm.settings import LiteLLMSettings
from tokentide_producers.litellm.shutdown import flush_when_the_proxy_stops, logging_worker
from tokentide_producers.litellm.streams import note_usage_of_streams
from tokentide_producers.outcomes import DropReason
from tokentide_schemas.event import Source
from tokentide_schemas.settings import read_settings

logger = logging.getLogger(__name__)
P = ParamSpec("P")
_SWEEP_S: Final = 1.0
_TELL_EVERY_S: Final = 60.0


def _quietly(hook: Callable[P, None]) -> Callable[P, None]:
    """A fault of ours must not become the request's: it is counted, and told without its text, which may be content."""

    @functools.wraps(hook)
    def guarded(*arguments: P.args, **named: P.kwargs) -> None:
        try:
            hook(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request goes on
            owner: Any = arguments[0]
            owner.faults += 1
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place is not None else "?"
            logger.error("a request's usage event was lost to a fault: %s in %s", type(error).__name__, where)

    return guarded


class TokentideLogger(CustomLogger):  # type: ignore[misc,unused-ignore]
    """One of a process; threads and event loops share it, and a forked child's starts anew.

    faults: hooks that failed, each of which may have cost an event.
    """

    def __init__(self, settings: LiteLLMSettings) -> None:
        super().__init__()
        self.faults = 0
        self._settings = settings
        self.emitter = Emitter(
            settings.kafka_bootstrap_servers,
            gateway=settings.gateway,
            gateway_region=settings.gateway_region,
            source=Source.LITELLM,
            settings=settings.emitter,
            on_drop=self._on_drop,
        )
        self._naming = naming(catalogue_or_none(), self.emitter.hash, app_from_key_alias=settings.app_from_key_alias)
        self._told_s: dict[str, float] = {}
        self._start_anew()
        note_usage_of_streams(litellm)
        os.register_at_fork(after_in_child=self._start_anew)
        atexit.register(self.close)
        flush_when_the_proxy_stops(self.close)

    @classmethod
    def from_environment(cls) -> Self:
        """Raises SettingsError, which stops LiteLLM's start with every wrong variable named."""
        return cls(read_settings(LiteLLMSettings))

    def _start_anew(self) -> None:
        settings = self._settings
        self._lock = threading.Lock()
        self._attempts = Attempts(retry_wait_s=settings.retry_wait_s, max_open_requests=settings.max_open_requests)
        self._dropped: deque[tuple[str, int]] = deque()
        self._sweeper: threading.Thread | None = None

    # The attempt begins

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> None:
        """An asynchronous attempt is about to be sent."""
        self._start(kwargs)

    @_quietly
    def _start(self, data: Mapping[str, Any]) -> None:
        call = Call.of_attempt(data)
        if not call.operation:
            return
        routed = call.is_routed
        may_go_on = routed or call.is_proxied or bool(data.get("fallbacks") or data.get("context_window_fallback_dict"))
        key = call.key
        with self._lock:
            done = self._attempts.start(
                key,
                call.asked_model,
                time.time(),
                is_new=routed and not call.is_proxied and call.is_first_of_router,
                may_go_on=may_go_on,
            )
            request = self._attempts.get(key)
            number = request.attempts if request is not None else 0
            if request is not None and request.category_input is None:
                # Now, since LiteLLM's log events may come with the text taken out.
                request.category_input = self._category_input(call, request.request_id)
        if (described := data.get("litellm_logging_obj")) is not None:
            # LiteLLM says nothing when the caller of a stream stops reading; then the call's object goes unheard.
            weakref.finalize(described, self._dropped.append, (key, number)).atexit = False
        self._emit(done)
        self._work_in_background()

    @_quietly
    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """The provider is known: what the event would be if nobody tells the end of the stream."""
        call = Call.of_details(kwargs)
        is_silent = call.params.get("no-log") or getattr(litellm, "disable_streaming_logging", False)
        if call.details.get("stream") is not True or is_silent:
            return
        with self._lock:
            request = self._attempts.get(call.key)
        if request is not None and request.is_running:
            request.snapshot = snapshot_fields(call, request.started_s, self._naming)

    # The attempt ends

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """An asynchronous call was answered."""
        self._succeeded(kwargs, response_obj, start_time, end_time)

    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """A synchronous call was answered."""
        self._succeeded(kwargs, response_obj, start_time, end_time)

    @_quietly
    def _succeeded(self, kwargs: Any, response: Any, start_time: Any, end_time: Any) -> None:
        call = Call.of_details(kwargs)
        if not call.operation:
            return
        timing = self._timing(call, start_time, end_time)
        fields = success_fields(call, response, timing, self._naming)
        with self._lock:
            request = self._attempts.get(call.key)
            if request is None:
                fields["category_input"] = self._category_input(call, request_id_of(call.key))
            elif request.snapshot is not None:
                # At the end of a stream LiteLLM no longer says which tools it had offered.
                fields["tools_offered"] = fields["tools_offered"] or request.snapshot["tools_offered"]
            done = self._attempts.succeed(call.key, fields)
        self._emit(done)

    async def async_post_call_failure_deployment_hook(
        self, request_data: Mapping[str, Any], exception: Exception, call_type: Any, fallback_depth: int | None = None
    ) -> None:
        """An asynchronous attempt has failed: the only telling of the proxy's second attempt and those after it."""
        self._failed(Call.of_attempt(request_data), exception, None, None, by_hook=True)

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """An asynchronous attempt has failed; for a stream that broke off this is the only telling."""
        self._failed(Call.of_details(kwargs), part(kwargs, "exception"), start_time, end_time, is_async=True)

    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """A synchronous attempt has failed."""
        self._failed(Call.of_details(kwargs), part(kwargs, "exception"), start_time, end_time)

    @_quietly
    def _failed(
        self, call: Call, error: Any, start_time: Any, end_time: Any, *, by_hook: bool = False, is_async: bool = False
    ) -> None:
        if not call.operation:
            return
        key = call.key
        with self._lock:
            request = self._attempts.get(key)
        if call.is_proxied and not by_hook and not (is_async and request is not None and request.is_running):
            # The proxy logs what it refuses as a failed call, twice; `async_post_call_failure_hook` tells it once.
            return
        fields = failure_fields(call, error, self._timing(call, start_time, end_time), self._naming)
        with self._lock:
            may_go_on = call.is_routed or call.is_proxied
            if self._attempts.get(key) is None:
                fields["category_input"] = self._category_input(call, request_id_of(key))
            done = self._attempts.fail(key, fields, time.time(), by_hook=by_hook, may_go_on=may_go_on)
        self._emit(done)
        self._work_in_background()

    async def async_post_call_failure_hook(
        self, request_data: Any, original_exception: Exception, user_api_key_dict: Any, traceback_str: str | None = None
    ) -> None:
        """The proxy's request has failed for good, or was refused."""
        self._request_failed(request_data, original_exception)

    @_quietly
    def _request_failed(self, data: Any, error: Exception) -> None:
        call_id = text(part(data, "litellm_call_id"))
        if not call_id:
            return
        key = f"call:{call_id}"
        with self._lock:
            request = self._attempts.get(key)
            if request is None and not any(part(data, name) is not None for name in ("messages", "input", "prompt")):
                return  # not a model call: keys, files, ...
            now_s = time.time()

            def fields() -> Fields:
                if request is not None and request.snapshot is not None:
                    return failed_fields(request.snapshot, error, request.started_s, now_s)
                call = Call.of_attempt(data)
                if request is not None:
                    return failure_fields(call, error, Timing(request.started_s, now_s), self._naming)
                refused = refused_fields(call, error, _served(text(part(data, "model"))), now_s, self._naming)
                return {**refused, "category_input": self._category_input(call, request_id_of(key))}

            done = self._attempts.end(key, fields)
        self._emit(done)

    def _category_input(self, call: Call, request_id: str) -> CategoryInput | None:
        categories = self.emitter.categories
        if categories is None:
            return None
        return category_input_of(call, with_text=categories.wants_text(request_id))

    def _timing(self, call: Call, start_time: Any, end_time: Any) -> Timing:
        details = call.details
        with self._lock:
            request = self._attempts.get(call.key)
        started_s = request.started_s if request is not None and request.is_running else None
        ended_s = _seconds(end_time) or time.time()
        if started_s is None:
            started_s = _seconds(start_time) or _seconds(details.get("start_time")) or ended_s
        return Timing(started_s, max(ended_s, started_s), _seconds(details.get("completion_start_time")))

    # Sending

    def _emit(self, events: list[Fields]) -> None:
        for fields in events:
            self.emitter.emit(**fields)

    def _on_drop(self, reason: DropReason, events: int, detail: str) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s.get(reason, -_TELL_EVERY_S) >= _TELL_EVERY_S:
            self._told_s[reason] = now_s
            logger.error("%d usage events will not be stored (%s): %s", events, reason, detail)

    def _work_in_background(self) -> None:
        self.emitter.start()
        if self._sweeper is not None and self._sweeper.is_alive():
            return
        with self._lock:
            if self._sweeper is None or not self._sweeper.is_alive():
                self._sweeper = threading.Thread(target=self._sweep, name="tokentide-litellm", daemon=True)
                self._sweeper.start()

    def _sweep(self) -> None:
        while True:
            time.sleep(_SWEEP_S)
            self._sweep_once()

    @_quietly
    def _sweep_once(self) -> None:
        done: list[Fields] = []
        now_s = time.time()
        with self._lock:
            while self._dropped:
                key, number = self._dropped.popleft()
                done += self._attempts.let_go(key, number, lambda known, from_s: cancelled_fields(known, from_s, now_s))
            done += self._attempts.due(now_s)
        self._emit(done)

    def close(self) -> None:
        """Take what LiteLLM still has in its queue, end what waits, and flush. Called at the end."""
        flush = getattr(logging_worker(), "_flush_on_exit", None)
        if callable(flush):
            # LiteLLM would do this after us, when the emitter is closed.
            flush()
        self._sweep_once()
        with self._lock:
            done = self._attempts.close()
        self._emit(done)
        self.emitter.close()


def _seconds(moment: Any) -> float | None:
    """LiteLLM's times are local ones without a zone."""
    if isinstance(moment, dt.datetime):
        return moment.timestamp()
    return float(moment) if isinstance(moment, int | float) and moment > 0 else None


def _served(model: str) -> str:
    """The name, if the proxy serves a model of that name: a client can ask for any text."""
    router = getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)
    names = getattr(router, "model_names", ())
    return model if isinstance(names, set | list | tuple | frozenset) and model in names else ""
