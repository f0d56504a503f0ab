"""A classifier on a sampled share of the requests, off the request's path, with weights that scale its labels up.

Each request is sampled with probability `rate`, by its request id, so that all attempts of one request are sampled or
none. A label stands for 1/rate requests. A sampled request that gets no answer (the queue was full, the answer too
late, the model failed) must not lower the totals: the next answers stand for it as well, each for at most
`MAX_STOOD_FOR` others. An answer below `min_confidence` is no label.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from tokentide_producers.categories.inputs import CategoryInput, Excerpt
from tokentide_producers.categories.label import Label
from tokentide_schemas.event import CategorySource

logger = logging.getLogger(__name__)

DEFAULT_RATE: Final = 0.0025
"""The study's share of requests."""
MIN_CONFIDENCE: Final = 0.5
"""The study's: labels below it are dropped."""
MAX_WAITING: Final = 16
MAX_STOOD_FOR: Final = 9
UNANSWERED: Final = ("queue_full", "too_late", "failed", "no_text")
_HASH_RANGE: Final = 2**64


class TextClassifier(Protocol):
    """From a bounded text to its most likely category, subcategory ('' for none) and confidence (0 to 1)."""

    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        """May raise; the request then has no label. Called by one thread at a time."""
        ...


@dataclass(frozen=True, slots=True)
class ClassifierStats:
    """Counts of requests in the sample since the start: sampled = labelled + below_confidence + all of unanswered.

    unanswered: by reason (queue_full, too_late, failed, no_text). not_stood_for: of those, how many no later answer
    stands for yet.
    """

    sampled: int
    labelled: int
    below_confidence: int
    unanswered: Mapping[str, int]
    not_stood_for: int


class Ticket:
    """A sampled request's place at the classifier."""

    __slots__ = ("answer", "done", "excerpt", "failure")

    def __init__(self) -> None:
        self.excerpt: Excerpt | None = None
        self.answer: tuple[str, str, float] | None = None
        self.failure = "too_late"
        self.done = threading.Event()


class SampledClassifier:
    """Samples requests and classifies them in a thread of its own. Threads share it; a fork starts anew.

    rate: share of the requests, above 0 up to 1. seed: for requests without an id; none draws differently every time.
    max_waiting: sampled requests that may wait for the model.
    """

    def __init__(
        self,
        model: TextClassifier,
        *,
        rate: float = DEFAULT_RATE,
        min_confidence: float = MIN_CONFIDENCE,
        max_waiting: int = MAX_WAITING,
        seed: int | None = None,
    ) -> None:
        if not 0 < rate <= 1:
            raise ValueError(f"rate is {rate}: give a share above 0, up to 1")
        self._model = model
        self._rate = rate
        self._threshold = int(rate * _HASH_RANGE)
        self._min_confidence = min_confidence
        self._max_waiting = max_waiting
        self._seed = seed
        self._start_anew()
        _living.add(self)

    def _start_anew(self) -> None:
        self._random = random.Random(self._seed)
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        # A destructor that emits may run in the middle of anything: what `submit` takes must be re-entrant.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._counts: Counter[str] = Counter()
        self._not_stood_for = 0
        self._has_told = False

    def has_in_sample(self, request_id: str) -> bool:
        """Whether the request of this id, which is not '', is in the sample: the same answer every time."""
        digest = hashlib.blake2b(request_id.encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(digest) < self._threshold

    def sample(self, request_id: str) -> Ticket | None:
        """A ticket when the request is in the sample."""
        is_in = self.has_in_sample(request_id) if request_id else self._random.random() < self._rate
        return Ticket() if is_in else None

    def submit(self, ticket: Ticket, given: CategoryInput) -> None:
        """Hand a sampled request's text over. Does not wait and does not raise."""
        try:
            excerpt = given.excerpt()
        except Exception:  # noqa: BLE001 - messages are anybody's objects; what they say must not reach a log
            excerpt = None
        if not excerpt:
            _finish(ticket, "no_text")
            return
        ticket.excerpt = excerpt
        if self._queue.qsize() >= self._max_waiting or not self._has_thread():
            ticket.excerpt = None
            _finish(ticket, "queue_full")
            return
        self._queue.put(ticket)

    def settle(self, ticket: Ticket, deadline_s: float) -> Label | None:
        """The label of a ticket, once; waits for it until `deadline_s` (monotonic)."""
        if not ticket.done.wait(max(0.0, deadline_s - time.monotonic())):
            ticket.failure = "too_late"
            answer = None
        else:
            answer = ticket.answer
        ticket.excerpt = None
        with self._lock:
            self._counts["sampled"] += 1
            if answer is None:
                self._counts[ticket.failure] += 1
                # Without text there is no telling the category of the request, nor of those that it would stand for.
                self._not_stood_for += ticket.failure != "no_text"
                return None
            others = min(self._not_stood_for, MAX_STOOD_FOR)
            self._not_stood_for -= others
            category, subcategory, confidence = answer
            if confidence < self._min_confidence:
                self._counts["below_confidence"] += 1
                return None
            self._counts["labelled"] += 1
        return Label(category, subcategory, CategorySource.CLASSIFIER, confidence, (1 + others) / self._rate)

    def withdraw(self, ticket: Ticket) -> None:
        """The request has a label from elsewhere: it is not in the classifier's population."""
        ticket.excerpt = None

    def stats(self) -> ClassifierStats:
        """A consistent snapshot."""
        with self._lock:
            counts = self._counts
            unanswered = {name: counts[name] for name in UNANSWERED if counts[name]}
            return ClassifierStats(
                counts["sampled"], counts["labelled"], counts["below_confidence"], unanswered, self._not_stood_for
            )

    def close(self) -> None:
        """Stop the thread after what it has in hand."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join()

    def _has_thread(self) -> bool:
        """Start the thread with the first text; False when the interpreter is shutting down."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="tokentide-classifier", daemon=True)
                    try:
                        thread.start()
                    except RuntimeError:
                        return False
                    self._thread = thread
        return True

    def _run(self) -> None:
        waiting = self._queue
        while (ticket := waiting.get()) is not None:
            excerpt, ticket.excerpt = ticket.excerpt, None
            if excerpt is None:
                continue  # withdrawn, or given up by `settle`
            try:
                ticket.answer = self._model.classify(excerpt)
                ticket.failure = ""
            except Exception as error:  # noqa: BLE001 - whatever the model does, requests go on
                # The exception's words may quote the text: its kind alone is told.
                if not self._has_told:
                    self._has_told = True
                    logger.error("the classifier failed (%s); such requests stay without a label", type(error).__name__)
                ticket.failure = "failed"
            del excerpt
            ticket.done.set()


def _finish(ticket: Ticket, failure: str) -> None:
    ticket.failure = failure
    ticket.done.set()


_living: weakref.WeakSet[SampledClassifier] = weakref.WeakSet()


def _start_anew_in_child() -> None:
    for classifier in list(_living):
        classifier._start_anew()


os.register_at_fork(after_in_child=_start_anew_in_child)
