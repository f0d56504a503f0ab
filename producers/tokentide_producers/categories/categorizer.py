"""Whose label a request gets: its own, else the first rule's that fits, else the sampled classifier's, else none."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokentide_producers.batcher import Row
from tokentide_producers.categories.classifying import ClassifierStats, SampledClassifier, Ticket
from tokentide_producers.categories.inputs import NO_NAMES, CategoryInput, Names
from tokentide_producers.categories.label import Label
from tokentide_producers.categories.rules import Beside, RuleSet, Value
from tokentide_producers.rows import PLACE, InvalidEventError
from tokentide_schemas.event import CategorySource
from tokentide_schemas.rejections import Reason

logger = logging.getLogger(__name__)

_CATEGORY: Final = PLACE["category"]
_SUBCATEGORY: Final = PLACE["subcategory"]
_SOURCE: Final = PLACE["category_source"]
_CONFIDENCE: Final = PLACE["category_confidence"]
_WEIGHT: Final = PLACE["category_weight"]
_REQUEST_ID: Final = PLACE["request_id"]
_REQUEST_MODEL: Final = PLACE["request_model"]
_MODEL: Final = PLACE["model"]
_NONE: Final = CategorySource.NONE.value
_GATEWAY: Final = CategorySource.GATEWAY.value


@dataclass(frozen=True, slots=True)
class CategoryStats:
    """Events by who labelled them (`none`: nobody) since the start, and the classifier's own account."""

    by_source: Mapping[CategorySource, int]
    classifier: ClassifierStats | None


class Pending:
    """Stands in a row's `category` until `Categorizer.settle`: what rules look at, and the ticket of the sample."""

    __slots__ = ("_classifier", "_given", "names", "ticket")

    def __init__(self, names: Names, classifier: SampledClassifier | None, given: CategoryInput | None) -> None:
        self.names = names
        self.ticket: Ticket | None = None
        self._classifier = classifier
        self._given = given

    def sample(self, request_id: str) -> None:
        """Draw whether the classifier sees the request."""
        if self._classifier is not None:
            self.ticket = self._classifier.sample(request_id)
        if self.ticket is None:
            self._given = None

    def submit(self) -> None:
        """The event is accepted: a sampled request's text goes to the classifier; no other reference to it stays."""
        given, self._given = self._given, None
        if self.ticket is not None and self._classifier is not None and given is not None:
            self._classifier.submit(self.ticket, given)


class Categorizer:
    """Gives requests their category. Threads, and several emitters of one process, may share one.

    rules: read by `load_category_rules`. classifier: for what no rule fits.
    """

    def __init__(self, *, rules: RuleSet | None = None, classifier: SampledClassifier | None = None) -> None:
        self.rules = rules if rules is not None else RuleSet()
        self.classifier = classifier
        self._places = [(name, PLACE.get(name)) for name in self.rules.inputs]
        self._lock = threading.Lock()
        self._by_source: Counter[CategorySource] = Counter()

    def wants_text(self, request_id: str) -> bool:
        """Whether the classifier would look at the text of the request of this id, which is not ''. For gateways that
        would have to keep the text until the request's event is made."""
        return self.classifier is not None and self.classifier.has_in_sample(request_id)

    def begin(self, row: Row, given: CategoryInput | None) -> Pending | None:
        """Note in a row without a label of its own what is needed to give it one; `settle` follows.

        Call `Pending.submit` once the row is accepted. Raises InvalidEventError for what is no CategoryInput.
        """
        if row[_CATEGORY]:
            return None
        if given is None:
            pending = Pending(NO_NAMES, None, None)
        elif not isinstance(given, CategoryInput):
            raise InvalidEventError(Reason.INVALID_VALUE, "category_input: give a CategoryInput")
        else:
            with_text = self.classifier is not None and given.has_text
            pending = Pending(given.names(), self.classifier if with_text else None, given if with_text else None)
            pending.sample(row[_REQUEST_ID])
        row[_CATEGORY] = pending
        return pending

    def settle(self, rows: Sequence[Row], resolve_model: Callable[[str], str], wait_s: float) -> None:
        """Put the labels into rows that `begin` has seen. Waits for the classifier, at most `wait_s` for all rows."""
        deadline_s = time.monotonic() + wait_s
        counts: Counter[CategorySource] = Counter()
        for row in rows:
            pending = row[_CATEGORY]
            if type(pending) is not Pending:
                counts[CategorySource(row[_SOURCE])] += 1
                continue
            row[_CATEGORY] = ""
            label = self._by_rule(row, pending.names, resolve_model)
            if pending.ticket is not None and self.classifier is not None:
                if label is None:
                    label = self.classifier.settle(pending.ticket, deadline_s)
                else:
                    self.classifier.withdraw(pending.ticket)
            counts[CategorySource.NONE if label is None else label.source] += 1
            if label is not None:
                row[_CATEGORY], row[_SUBCATEGORY] = label.category, label.subcategory
                row[_SOURCE], row[_CONFIDENCE], row[_WEIGHT] = label.source.value, label.confidence, label.weight
        with self._lock:
            self._by_source.update(counts)

    def label_fields(
        self,
        fields: MutableMapping[str, Any],
        names: Names = NO_NAMES,
        resolve_model: Callable[[str], str] = str,
        gateway: str = "",
    ) -> None:
        """Put a rule's label into the fields of an event that has none. Fields that are no text count as absent.

        gateway: of an event that names none.
        """
        if fields.get("category"):
            return
        given: dict[str, Value] = {name: v for name in self.rules.inputs if isinstance(v := fields.get(name), str)}
        given["gateway"] = given.get("gateway") or gateway
        given |= {"route": names.route, "referer": names.referer, "tag": names.tags}
        if "model" in self.rules.inputs and not given.get("model") and isinstance(fields.get("request_model"), str):
            given["model"] = resolve_model(fields["request_model"])
        found = self.rules.match_named(given)
        if found is not None:
            _, label = found
            fields["category"], fields["subcategory"] = label.category, label.subcategory
            fields["category_source"], fields["category_confidence"] = label.source.value, label.confidence
            fields["category_weight"] = label.weight

    def stats(self) -> CategoryStats:
        """A consistent snapshot of each part."""
        with self._lock:
            by_source = dict(self._by_source)
        return CategoryStats(by_source, self.classifier.stats() if self.classifier is not None else None)

    def _by_rule(self, row: Row, names: Names, resolve_model: Callable[[str], str]) -> Label | None:
        if not self._places:
            found = self.rules.match(()) if self.rules.rules else None
            return found[1] if found is not None else None
        values: list[Value] = []
        for name, place in self._places:
            if place is None:
                values.append(names.tags if name == "tag" else getattr(names, name))
            elif place == _MODEL:
                values.append(row[_MODEL] or resolve_model(row[_REQUEST_MODEL]))
            else:
                values.append(row[place])
        found = self.rules.match(tuple(values))
        return found[1] if found is not None else None


def own_label(row: Row) -> None:
    """A label without a source that came with the event is the gateway's."""
    if row[_CATEGORY] and row[_SOURCE] == _NONE:
        row[_SOURCE] = _GATEWAY


__all__ = ["Beside", "Categorizer", "CategoryStats", "Pending", "own_label"]
