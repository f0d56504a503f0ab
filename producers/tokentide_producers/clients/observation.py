"""One model call as it is seen from its client: timed, read without its text, and emitted once however it ends."""

from __future__ import annotations

import datetime as dt
import logging
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tokentide_producers.categories.categorizer import Categorizer
from tokentide_producers.categories.conversation import conversation_in
from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.clients.answers import Answer
from tokentide_producers.clients.endpoints import Endpoint
from tokentide_producers.clients.labels import BESIDE, IDENTIFIERS, NOTHING
from tokentide_producers.clients.reading import get, items, word
from tokentide_producers.emitter import Emitter
from tokentide_producers.otlp.numbers import as_count
from tokentide_producers.request import CANCELLED
from tokentide_producers.rows import InvalidEventError, RowBuilder
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.event import MAX_COUNT16, MAX_COUNT32, CategorySource, CostSource, Outcome, Source

logger = logging.getLogger(__name__)

RETRY_COUNT: Final = "x-stainless-retry-count"
"""Header in which these clients tell the server how often they have tried before."""
_MAX_ATTEMPT: Final = 255


@dataclass(slots=True)
class Reporting:
    """Where calls are reported, and what they share. provider: '' for what the client's address says.

    hasher: of identifiers. is_active: False once `uninstrument` was called.
    """

    emitter: Emitter
    source: Source
    provider: str
    labels: Mapping[str, Any]
    hasher: Callable[[str], bytes]
    add_stream_usage: bool
    is_active: bool = True
    checker: RowBuilder = field(default_factory=RowBuilder)
    has_warned: bool = False

    def hash(self, identifier: Any) -> bytes:
        """The keyed hash; unknown, and one line in the log, without a key."""
        if not isinstance(identifier, str) or not identifier:
            return NO_HASH
        try:
            return self.hasher(identifier)
        except ValueError as error:
            self.warn("identifiers are not recorded: %s", error)
            return NO_HASH

    def warn(self, message: str, *arguments: object) -> None:
        """Say once what would otherwise be said with each call."""
        if not self.has_warned:
            self.has_warned = True
            logger.warning(message, *arguments)


class Observation:
    """One call, from before its request. Its methods do not raise: each is called from `quietly`, or guards itself.

    labels: of the caller. body: of the request, of which only names and counts are read.
    """

    def __init__(
        self,
        reporting: Reporting,
        endpoint: Endpoint,
        provider: str,
        labels: Mapping[str, Any],
        body: Mapping[str, Any],
        is_streamed: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer: Answer = endpoint.answer()
        self.is_ended = False
        self.is_reading = False
        """The caller is inside of a read: what is closed meanwhile is closed by the client itself."""
        self._reporting = reporting
        self._clock = clock
        self._started_s = clock()
        self._first_token_s: float | None = None
        self._status = 0
        self._retries = 0
        self._request_id = ""
        given = {**reporting.labels, **_identifiers(body), **labels}
        self._beside = {name: given.pop(name) for name in BESIDE if name in given}
        self._labels = given
        self._body = body if reporting.emitter.categories is not None else NOTHING
        self._fields: dict[str, Any] = {
            "source": reporting.source.value,
            "operation": endpoint.operation,
            "request_model": word(get(body, "model")) or "unknown",
            "provider": provider,
            "streamed": is_streamed,
            "tools_offered": min(MAX_COUNT16, len(items(body, "tools")) or len(items(body, "functions"))),
        }

    def answered(self, response: Any) -> None:
        """The response has begun. response: httpx's."""
        self._status = as_count(get(response, "status_code")) or self._status
        headers = get(response, "headers")
        if headers is not None:
            self._request_id = word(headers.get("x-request-id") or headers.get("request-id"))
        self._count_retries(get(response, "request"))

    def _count_retries(self, request: Any) -> None:
        headers = get(request, "headers")
        if headers is not None:
            self._retries = as_count(headers.get(RETRY_COUNT)) or 0

    def piece(self, piece: Any) -> None:
        """A piece of a stream has come."""
        if self.answer.piece(piece) and self._first_token_s is None:
            self._first_token_s = self._clock()

    def whole(self, answer: Any) -> None:
        """The answer has come in one piece, and is at its end."""
        self.answer.whole(answer)
        self.end()

    def end(self) -> None:
        """Everything was read."""
        self._emit(Outcome.OK)

    def end_early(self) -> None:
        """The caller reads no further: cancelled, unless the provider had already said that it is at its end."""
        self._emit(Outcome.OK if self.answer.is_complete else Outcome.CANCELLED)

    def fail(self, error: BaseException) -> None:
        """The call, or reading on, has raised."""
        if isinstance(error, CANCELLED):
            self._emit(Outcome.CANCELLED)
            return
        response = get(error, "response")
        if response is not None:
            self.answered(response)
        else:
            self._count_retries(get(error, "request"))
        code = as_count(get(get(error, "body"), "code")) or 0
        self._status = as_count(get(error, "status_code")) or (code if 100 <= code < 600 else 0) or self._status
        self._emit(Outcome.ERROR, type(error).__name__)

    def _emit(self, outcome: Outcome, error_type: str = "") -> None:
        if self.is_ended:
            return
        self.is_ended = True
        answer = self.answer
        if outcome is Outcome.OK and (answer.error_type or answer.finish_reason == "error"):
            outcome, error_type = Outcome.ERROR, answer.error_type or "_OTHER"
        elif outcome is Outcome.OK and answer.finish_reason == "cancelled":
            outcome = Outcome.CANCELLED
        usage, cost = answer.usage(), answer.cost()
        fields = self._fields
        fields.update(
            occurred_at=dt.datetime.now(dt.UTC),
            request_id=answer.response_id or self._request_id,
            attempt=min(_MAX_ATTEMPT, self._retries),
            input_uncached_tokens=min(MAX_COUNT32, usage.input_uncached),
            input_cache_read_tokens=min(MAX_COUNT32, usage.input_cache_read),
            input_cache_write_tokens=min(MAX_COUNT32, usage.input_cache_write),
            output_tokens=min(MAX_COUNT32, usage.output),
            output_reasoning_tokens=min(MAX_COUNT32, usage.output_reasoning),
            audio_tokens=min(MAX_COUNT32, usage.audio),
            image_tokens=min(MAX_COUNT32, usage.image),
            usage_reported=usage.is_reported,
            outcome=outcome.value,
            finish_reason=answer.finish_reason,
            error_type=error_type,
            http_status=min(MAX_COUNT16, answer.error_status or self._status),
            tool_calls=min(MAX_COUNT16, answer.tool_calls()),
            latency_ms=self._since_start_ms(self._clock()),
            is_byok=cost.is_byok,
        )
        if self._first_token_s is not None:
            fields["time_to_first_token_ms"] = self._since_start_ms(self._first_token_s)
        if cost.nanousd is not None:
            fields.update(cost_nanousd=cost.nanousd, cost_source=CostSource.REPORTED.value)
        if self._reporting.emitter.categories is not None:
            fields["category_input"] = self._category_input(self._reporting.emitter.categories)
        self._body = NOTHING
        self._reporting.emitter.emit_later(self._complete)

    def _category_input(self, categories: Categorizer) -> CategoryInput:
        """What rules look at; of a request in the classifier's sample its words too, cut to their bounds at once."""
        request_id = self._labels.get("request_id") or self._fields["request_id"]
        if not request_id or not categories.wants_text(request_id):
            return CategoryInput(**self._beside)
        excerpt = conversation_in(self._body).excerpt()
        return CategoryInput(**self._beside, text=excerpt.user or None, system=excerpt.system or None)

    def _since_start_ms(self, now_s: float) -> int:
        return min(MAX_COUNT32, max(0, round((now_s - self._started_s) * 1000)))

    def _complete(self) -> dict[str, Any]:
        """In the emitter's thread: names by the catalogue, hashes, and the caller's labels if an event can have
        them."""
        fields, reporting, answer = self._fields, self._reporting, self.answer
        names = reporting.emitter.names
        fields["model"] = names.answering_model(fields["request_model"], answer.model)
        fields["provider"] = reporting.provider or names.provider(answer.provider or fields["provider"])
        labelled = dict(fields)
        for name, value in self._labels.items():
            labelled[IDENTIFIERS.get(name, name)] = reporting.hash(value) if name in IDENTIFIERS else value
        if labelled.get("category"):
            labelled["category_source"] = CategorySource.GATEWAY.value
        try:
            reporting.checker.from_fields({name: labelled[name] for name in labelled if name != "category_input"}, 0)
        except InvalidEventError as error:
            reporting.warn("an event is sent without its labels, as no event can have them: %s", error)
            return fields
        return labelled


def _identifiers(body: Mapping[str, Any]) -> dict[str, Any]:
    """Who asks and in which conversation, where the request says so: hashed before they leave the process."""
    user = get(body, "user") or get(body, "safety_identifier") or get(get(body, "metadata"), "user_id")
    conversation = get(body, "conversation")
    session = get(body, "session_id") or (conversation if isinstance(conversation, str) else get(conversation, "id"))
    found = {"user": user, "session": session}
    return {name: value for name, value in found.items() if isinstance(value, str) and value}


def quietly(act: Callable[..., object], *arguments: Any) -> None:
    """Observing must not disturb what it observes: whatever goes wrong is logged, and the call goes on."""
    try:
        act(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach the caller
        # Where, but not the message: it could hold what was being read.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("a model call could not be observed (%s):\n%s", type(error).__name__, where)
