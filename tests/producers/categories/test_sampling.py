from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from typing import Any

import pytest

from tokentide_producers.categories import Categorizer, CategoryInput, Excerpt, SampledClassifier
from tokentide_producers.categories.classifying import MAX_STOOD_FOR
from tokentide_producers.rows import PLACE, RowBuilder

MIX = {"programming": 0.5, "roleplay": 0.3, "legal": 0.15, "health": 0.05}
FIELDS: dict[str, Any] = {
    "request_model": "m",
    "provider": "p",
    "input_uncached_tokens": 1,
    "output_tokens": 1,
    "usage_reported": True,
    "outcome": "ok",
}
MARKER = "zebra-4711"


class FirstWord:
    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        return excerpt.user.split()[0], "", 0.9


def truth(number: int) -> str:
    # Numbers times an odd constant go round all residues: the mix is exact, and no category follows another in blocks.
    place, bound = (number * 7919 % 1000) / 1000, 0.0
    for category, share in MIX.items():
        bound += share
        if place < bound - 1e-9:
            return category
    raise AssertionError


def labelled(categorizer: Categorizer, requests: int, batch: int) -> list[tuple[str, float]]:
    """Category and weight of each label."""
    builder, labels = RowBuilder(), []
    for first in range(0, requests, batch):
        rows = []
        for number in range(first, first + batch):
            row, _ = builder.from_fields({**FIELDS, "request_id": f"request-{number}"}, 0)
            pending = categorizer.begin(row, CategoryInput(text=f"{truth(number)} please"))
            assert pending is not None
            pending.submit()
            rows.append(row)
        categorizer.settle(rows, str, 60)
        for row in rows:
            if row[PLACE["category"]]:
                labels.append((row[PLACE["category"]], row[PLACE["category_weight"]]))
            else:
                assert row[PLACE["category_source"]] == "none" and row[PLACE["category_weight"]] == 1.0
    return labels


# With 16 waiting at most, a batch of 50 never fills the queue; one of 1,000 has about 100 in the sample and does.
@pytest.mark.parametrize("batch", [50, 1_000])
def test_weighted_shares_are_the_truth_within_the_samples_error(batch: int) -> None:
    requests, rate = 20_000, 0.1
    classifier = SampledClassifier(FirstWord(), rate=rate)
    categorizer = Categorizer(classifier=classifier)
    labels = labelled(categorizer, requests, batch)
    stats = classifier.stats()
    assert len(labels) == stats.labelled
    assert ("queue_full" in stats.unanswered) == (batch == 1_000)
    weights = Counter[str]()
    for category, weight in labels:
        weights[category] += weight  # type: ignore[assignment]
    # Kish's effective size of a weighted sample.
    effective = sum(weights.values()) ** 2 / sum(weight**2 for _, weight in labels)
    assert abs(stats.sampled - requests * rate) < 4.5 * math.sqrt(requests * rate * (1 - rate))
    # Whatever the queue could not take, later labels stand for: no request of the sample is lost from the totals.
    assert sum(weights.values()) == pytest.approx((stats.sampled - stats.not_stood_for) / rate)
    for category, share in MIX.items():
        found = weights[category] / sum(weights.values())
        assert abs(found - share) < 4.5 * math.sqrt(share * (1 - share) / effective), (category, found)
    assert stats.sampled == stats.labelled + stats.below_confidence + sum(stats.unanswered.values())
    classifier.close()


def test_all_attempts_of_a_request_are_in_the_sample_or_none() -> None:
    classifier = SampledClassifier(FirstWord(), rate=0.5)
    drawn = [[classifier.sample(f"r{number}") is not None for _ in range(5)] for number in range(200)]
    assert all(len(set(one)) == 1 for one in drawn) and len({one[0] for one in drawn}) == 2


class Held:
    def __init__(self) -> None:
        self.go = threading.Event()

    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        self.go.wait(60)
        return "legal", "", 0.9


def test_what_has_no_answer_in_time_is_stood_for_by_later_ones_up_to_a_bound() -> None:
    model = Held()
    classifier = SampledClassifier(model, rate=1, max_waiting=2)
    tickets = [classifier.sample("x") for _ in range(14)]
    for ticket in tickets:
        assert ticket is not None
        classifier.submit(ticket, CategoryInput(text="a"))
        assert classifier.settle(ticket, time.monotonic()) is None
    stats = classifier.stats()
    assert stats.not_stood_for == 14 and set(stats.unanswered) <= {"queue_full", "too_late"}
    model.go.set()
    weights: list[float] = []
    while classifier.stats().not_stood_for or len(weights) < 3:
        assert len(weights) < 1_000
        ticket = classifier.sample("x")
        assert ticket is not None
        classifier.submit(ticket, CategoryInput(text="a"))
        label = classifier.settle(ticket, time.monotonic() + 60)
        if label is not None:
            weights.append(label.weight)
    assert weights[0] == 1 + MAX_STOOD_FOR == max(weights)
    assert sum(weights) == classifier.stats().sampled
    classifier.close()


class Quoting:
    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        raise ValueError(f"cannot read {excerpt.user}")


def test_text_is_in_no_log_no_repr_and_no_object_that_stays(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    classifier = SampledClassifier(Quoting(), rate=1)
    categorizer = Categorizer(classifier=classifier)
    given = CategoryInput(text=MARKER, system=MARKER, messages=[{"role": "user", "content": MARKER}])
    row, _ = RowBuilder().from_fields(FIELDS, 0)
    pending = categorizer.begin(row, given)
    assert pending is not None
    pending.submit()
    categorizer.settle([row], str, 60)
    kept = [given, given.excerpt(), row, categorizer.stats(), pending, pending.ticket]
    assert MARKER not in caplog.text + "".join(map(repr, kept))
    assert pending.ticket is not None and pending.ticket.excerpt is None and pending._given is None
    assert categorizer.stats().classifier is not None and "failed" in caplog.text
    assert classifier.stats().unanswered == {"failed": 1}
    classifier.close()


@pytest.mark.parametrize(
    ("given", "user", "system"),
    [
        (CategoryInput(text="a" * 5_000 + "end"), "end", ""),
        (
            CategoryInput(
                messages=[
                    {"role": "system", "content": "S" * 9_000},
                    {"role": "user", "content": "write a function that sorts"},
                    {"role": "assistant", "content": "done"},
                    {"role": "user", "content": "go on"},
                ]
            ),
            "write a function that sorts\ngo on",
            "S" * 400,
        ),
        (
            CategoryInput(messages=[{"role": "user", "content": [{"text": "hi"}, {"image_url": "x"}, "you"]}]),
            "hi\nyou",
            "",
        ),
        (CategoryInput(messages=["plain", 3, None, {"role": 5}]), "plain", ""),
    ],
)
def test_the_excerpt_is_bounded_and_takes_the_users_last_words(given: CategoryInput, user: str, system: str) -> None:
    excerpt = given.excerpt()
    assert excerpt.user.endswith(user) and excerpt.system == system
    assert len(excerpt.user) <= 1_601


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_a_classifier_that_works() -> None:
    classifier = SampledClassifier(FirstWord(), rate=1)

    def label() -> str:
        ticket = classifier.sample("x")
        assert ticket is not None
        classifier.submit(ticket, CategoryInput(text="legal matter"))
        found = classifier.settle(ticket, time.monotonic() + 30)
        return found.category if found is not None else ""

    assert label() == "legal"
    child = os.fork()
    if child == 0:
        os._exit(0 if label() == "legal" and classifier.stats().sampled == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert label() == "legal"
    classifier.close()
