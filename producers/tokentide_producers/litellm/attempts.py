"""Which attempts are one request, and which of them is its last. Pure: time is an argument.

LiteLLM tells each attempt's end when it has ended, before anybody knows whether there will be another one. So a failed
attempt is held back until the next attempt starts (then it was not the last), the request ends, or nothing has
happened for longer than LiteLLM ever waits before a retry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.litellm.calls import request_id_of

Fields = dict[str, Any]
MAX_ATTEMPT: Final = 255


@dataclass(slots=True)
class OpenRequest:
    """started_s: of the present attempt (seconds since 1970). held: the failed attempt that may have been the last.
    told_by_hook: the failure came through the deployment hook, so the log event that follows tells the same again.
    snapshot: the present attempt's event if its end is never told. category_input: what its category is looked for in,
    the same for all attempts."""

    request_id: str
    asked_model: str
    started_s: float
    changed_s: float
    attempts: int = 0
    is_running: bool = True
    may_go_on: bool = True
    told_by_hook: bool = False
    category_input: CategoryInput | None = None
    held: Fields | None = None
    snapshot: Fields | None = None


class Attempts:
    """Requests in flight. Every method returns the events that are now complete, in the order of their attempts."""

    def __init__(self, *, retry_wait_s: float, max_open_requests: int) -> None:
        self._retry_wait_s = retry_wait_s
        self._max_open = max_open_requests
        self._open: OrderedDict[str, OpenRequest] = OrderedDict()
        self.forgotten = 0
        """Requests whose end was not seen before there were too many."""

    def __len__(self) -> int:
        return len(self._open)

    def get(self, key: str) -> OpenRequest | None:
        """The request of that key, None when none is in flight."""
        return self._open.get(key)

    def start(self, key: str, asked_model: str, now_s: float, *, is_new: bool, may_go_on: bool) -> list[Fields]:
        """An attempt begins. is_new: it cannot be a further attempt of a request that is known by this key."""
        request = self._open.get(key)
        done: list[Fields] = []
        if request is not None and is_new and not request.is_running:
            done += self._last(self._open.pop(key))
            request = None
        if request is not None:
            done += _release(request, is_final=False)
            if not request.is_running:
                request.started_s = now_s
            request.is_running, request.told_by_hook, request.snapshot = True, False, None
            request.may_go_on = request.may_go_on or may_go_on
            request.changed_s = now_s
            self._open.move_to_end(key)
            return done
        self._open[key] = OpenRequest(request_id_of(key), asked_model, now_s, now_s, may_go_on=may_go_on)
        return done + self._bounded()

    def fail(self, key: str, fields: Fields, now_s: float, *, by_hook: bool, may_go_on: bool) -> list[Fields]:
        """An attempt has failed. A second telling of the same failure changes nothing."""
        request = self._open.get(key)
        if request is None:
            request = OpenRequest(request_id_of(key), fields["request_model"], now_s, now_s, may_go_on=may_go_on)
            self._open[key] = request
        elif request.told_by_hook and not request.is_running:
            return []
        done = _release(request, is_final=False)
        request.held = self._numbered(request, fields)
        request.is_running, request.told_by_hook, request.changed_s = False, by_hook, now_s
        self._open.move_to_end(key)
        if not (may_go_on or request.may_go_on):
            # The hook's failure will be told once more: the empty request remembers that.
            done += _release(request, is_final=True)
            if not by_hook:
                del self._open[key]
        return done + self._bounded()

    def succeed(self, key: str, fields: Fields) -> list[Fields]:
        """The request was answered."""
        request = self._open.pop(key, None)
        if request is None:
            return [{**fields, "request_id": request_id_of(key), "attempt": 0, "is_final_attempt": True}]
        return [*_release(request, is_final=False), {**self._numbered(request, fields), "is_final_attempt": True}]

    def end(self, key: str, fields: Callable[[], Fields]) -> list[Fields]:
        """The request has failed for good. fields: of the failure, asked for when no attempt has told of it."""
        request = self._open.get(key)
        if request is None:
            return [{**fields(), "request_id": request_id_of(key), "attempt": 0, "is_final_attempt": True}]
        if request.is_running:
            request.held = self._numbered(request, fields())
        # It stays for a while, empty, so that a late log event of the same failure is recognised.
        request.is_running, request.told_by_hook, request.may_go_on = False, True, False
        return _release(request, is_final=True)

    def due(self, now_s: float) -> list[Fields]:
        """What has waited long enough for another attempt."""
        over = [
            key
            for key, request in self._open.items()
            if not request.is_running and now_s - request.changed_s >= self._retry_wait_s
        ]
        return self._all_last(self._open.pop(key) for key in over)

    def close(self) -> list[Fields]:
        """Everything that is held: there will be no further attempt. Running attempts stay."""
        over = [key for key, request in self._open.items() if not request.is_running]
        return self._all_last(self._open.pop(key) for key in over)

    def let_go(self, key: str, attempt: int, ended: Callable[[Fields, float], Fields]) -> list[Fields]:
        """LiteLLM has dropped an attempt. ended: from its snapshot and start to the event of a cancelled attempt.

        An attempt that still runs was cancelled. What a request without a Router holds was its last attempt; behind a
        bare Router the next attempt has an object of its own, so nothing follows from it.
        """
        request = self._open.get(key)
        if request is None or request.attempts != attempt + (not request.is_running):
            return []
        if not request.is_running:
            return [] if key.startswith("trace:") else self._last(self._open.pop(key))
        if request.snapshot is None:
            return []
        request.held = self._numbered(request, ended(request.snapshot, request.started_s))
        return self._last(self._open.pop(key))

    def _numbered(self, request: OpenRequest, fields: Fields) -> Fields:
        number = min(request.attempts, MAX_ATTEMPT)
        request.attempts += 1
        asked = request.asked_model or fields["request_model"]
        numbered = {**fields, "request_model": asked, "request_id": request.request_id, "attempt": number}
        if request.category_input is not None:
            numbered["category_input"] = request.category_input
        return numbered

    def _last(self, request: OpenRequest) -> list[Fields]:
        return _release(request, is_final=True)

    def _all_last(self, requests: Iterable[OpenRequest]) -> list[Fields]:
        return [event for request in requests for event in self._last(request)]

    def _bounded(self) -> list[Fields]:
        done: list[Fields] = []
        while len(self._open) > self._max_open:
            _key, oldest = self._open.popitem(last=False)
            self.forgotten += oldest.is_running
            done += self._last(oldest)
        return done


def _release(request: OpenRequest, *, is_final: bool) -> list[Fields]:
    held, request.held = request.held, None
    return [] if held is None else [{**held, "is_final_attempt": is_final}]
