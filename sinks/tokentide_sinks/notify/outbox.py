"""What is to be told to whom, from the alerts topic's records. Pure: time is an argument, nothing is sent here.

The topic is read from its beginning, so the outbox knows every alert that goes on and, from the deliveries in the same
topic, everything that was told. A change is done when every receiver that takes it has it or never will.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tokentide_schemas.alert_deliveries import AlertDelivery, DeliveryOutcome
from tokentide_schemas.alerting.receivers import AlertmanagerReceiver, AnyReceiver
from tokentide_schemas.alerts import AlertChange, AlertState
from tokentide_sinks.notify.answers import DeliveryResult, Verdict
from tokentide_sinks.notify.requests import RESEND_EVERY_S

MAX_WAITING: Final = 1_000
"""Changes that may wait for one receiver; beyond that the oldest is given up."""
FIRST_RUN_MAX_AGE_S: Final = 3_600.0
"""A notifier that has never run tells nothing that was found longer ago."""

Key = tuple[str, uuid.UUID, AlertState]


@dataclass(eq=False, slots=True)
class Letter:
    """One change for one receiver. due_s: when to try, in the clock of `Outbox`. firing: what began what this ends."""

    receiver: AnyReceiver
    change: AlertChange
    offset: int
    firing: AlertChange | None = None
    attempts: int = 0
    due_s: float = 0.0
    is_in_flight: bool = False

    @property
    def key(self) -> Key:
        """Identity."""
        return self.receiver.name, self.change.alert_id, self.change.state


@dataclass(slots=True)
class Outbox:
    """Everything that waits, for one reading of the topic.

    from_offset: what was committed; changes before it are not told. None: this group never ran.
    """

    receivers: Sequence[AnyReceiver]
    from_offset: int | None
    waiting: dict[str, list[Letter]] = field(default_factory=dict)
    next_offset: int = 0
    _replayed: list[tuple[int, AlertChange]] = field(default_factory=list)
    _firing: dict[uuid.UUID, AlertChange] = field(default_factory=dict)
    _open: set[uuid.UUID] = field(default_factory=set)
    _asked_s: dict[tuple[str, uuid.UUID], float] = field(default_factory=dict)
    _final: set[Key] = field(default_factory=set)
    _tried: dict[Key, int] = field(default_factory=dict)
    _is_live: bool = False

    def __post_init__(self) -> None:
        self.waiting = {receiver.name: [] for receiver in self.receivers}

    def read_change(self, offset: int, change: AlertChange, now: dt.datetime) -> list[AlertDelivery]:
        """A change from the topic. Gives what is to be recorded at once."""
        self.next_offset = offset + 1
        if change.state is AlertState.FIRING:
            self._firing.setdefault(change.alert_id, change)
            self._open.add(change.alert_id)
        elif change.state is AlertState.RESOLVED:
            self._open.discard(change.alert_id)
        if not self._is_live:
            self._replayed.append((offset, change))
            return []
        return self._enqueue(offset, change, now)

    def read_delivery(self, offset: int, delivery: AlertDelivery) -> None:
        """A delivery from the topic, this process's own or an earlier one's."""
        self.next_offset = offset + 1
        key = (delivery.receiver, delivery.alert_id, delivery.state)
        if delivery.outcome.is_final:
            self._final.add(key)
        else:
            self._tried[key] = max(self._tried.get(key, 0), delivery.attempts)

    def read_other(self, offset: int) -> None:
        """A record of another kind, or one that cannot be read."""
        self.next_offset = offset + 1

    def go_live(self, now: dt.datetime) -> list[AlertDelivery]:
        """The topic was read to its end: what is left to tell now waits. Gives what is to be recorded at once."""
        self._is_live = True
        recorded = []
        for offset, change in self._replayed:
            if self._is_wanted(offset, change, now):
                recorded += self._enqueue(offset, change, now)
        self._replayed.clear()
        return recorded

    def _is_wanted(self, offset: int, change: AlertChange, now: dt.datetime) -> bool:
        if self.from_offset is not None:
            return offset >= self.from_offset
        return (now - change.emitted_at).total_seconds() <= FIRST_RUN_MAX_AGE_S

    def _enqueue(self, offset: int, change: AlertChange, now: dt.datetime) -> list[AlertDelivery]:
        recorded: list[AlertDelivery] = []
        firing = self._firing.get(change.alert_id) if change.state is AlertState.RESOLVED else None
        for receiver in self.receivers:
            letter = Letter(receiver, change, offset, firing)
            # Who was not to hear of the begin is not told the end.
            is_for_it = receiver.takes(change) and (firing is None or receiver.takes(firing))
            if not is_for_it or letter.key in self._final:
                continue
            queue = self.waiting[receiver.name]
            if any(one.key == letter.key for one in queue):
                continue
            letter.attempts = self._tried.get(letter.key, 0)
            if firing is not None:
                recorded += self._take_out_superseded(queue, firing, now)
            queue.append(letter)
            if len(queue) > MAX_WAITING:
                oldest = next(one for one in queue if not one.is_in_flight)
                error = f"more than {MAX_WAITING} alerts wait for this receiver; see why it takes none"
                recorded.append(self._end(oldest, DeliveryOutcome.GIVEN_UP, None, error, now))
        return recorded

    def _take_out_superseded(self, queue: list[Letter], firing: AlertChange, now: dt.datetime) -> list[AlertDelivery]:
        late = [
            one
            for one in queue
            if one.change.alert_id == firing.alert_id and one.change.state is AlertState.FIRING and not one.is_in_flight
        ]
        error = "it ended before it could be told; its end is told instead"
        return [self._end(one, DeliveryOutcome.SUPERSEDED, None, error, now) for one in late]

    def next_letter(self, receiver: str, now_s: float) -> Letter | None:
        """What to try at one receiver now; it is in flight until `settle`. None: nothing is due.

        An alert's end waits while its begin is on its way.
        """
        queue = self.waiting[receiver]
        busy = {one.change.alert_id for one in queue if one.is_in_flight}
        due = [one for one in queue if one.due_s <= now_s and one.change.alert_id not in busy]
        if not due:
            return None
        # A letter that failed before must not keep new ones from their first attempt.
        letter = min(due, key=lambda one: (one.attempts, one.offset))
        letter.is_in_flight = True
        return letter

    def settle(
        self, letter: Letter, result: DeliveryResult, now: dt.datetime, now_s: float, wait_s: float
    ) -> AlertDelivery:
        """An attempt's end. wait_s: until the next one, if there is one. Gives what is to be recorded."""
        letter.attempts += 1
        letter.is_in_flight = False
        if result.verdict is Verdict.DELIVERED:
            self._asked_s[letter.receiver.name, letter.change.alert_id] = now_s
            return self._end(letter, DeliveryOutcome.DELIVERED, result, "", now)
        if result.verdict is Verdict.REFUSED:
            return self._end(letter, DeliveryOutcome.REFUSED, result, result.error, now)
        if letter.attempts >= letter.receiver.max_attempts:
            error = f"{result.error}; given up after {letter.attempts} attempts (max_attempts in the alerts file)"
            return self._end(letter, DeliveryOutcome.GIVEN_UP, result, error, now)
        letter.due_s = now_s + wait_s
        return _record(letter, DeliveryOutcome.RETRYING, result, result.error, now)

    def _end(
        self,
        letter: Letter,
        outcome: DeliveryOutcome,
        result: DeliveryResult | None,
        error: str,
        now: dt.datetime,
    ) -> AlertDelivery:
        self.waiting[letter.receiver.name].remove(letter)
        self._final.add(letter.key)
        return _record(letter, outcome, result, error, now)

    def to_repeat(self, receiver: AnyReceiver, now_s: float) -> AlertChange | None:
        """An alert that goes on and of which Alertmanager has to hear again before it forgets it."""
        if not self._is_live or not isinstance(receiver, AlertmanagerReceiver):
            return None
        for alert_id in self._open:
            change = self._firing[alert_id]
            is_told = (receiver.name, alert_id, AlertState.FIRING) in self._final
            asked_s = self._asked_s.get((receiver.name, alert_id), -RESEND_EVERY_S)
            if is_told and receiver.takes(change) and now_s - asked_s >= RESEND_EVERY_S:
                # Whatever it will say: the next repeat is due later.
                self._asked_s[receiver.name, alert_id] = now_s
                return change
        return None

    def safe_offset(self) -> int:
        """Where another start may begin: no change before it waits for anybody."""
        offsets = [one.offset for queue in self.waiting.values() for one in queue]
        return min([self.next_offset, *offsets])


def _record(
    letter: Letter, outcome: DeliveryOutcome, result: DeliveryResult | None, error: str, now: dt.datetime
) -> AlertDelivery:
    return AlertDelivery(
        receiver=letter.receiver.name,
        receiver_type=letter.receiver.type,
        alert_id=letter.change.alert_id,
        state=letter.change.state,
        outcome=outcome,
        attempts=letter.attempts,
        http_status=result.http_status if result else None,
        error=error,
        changed_at=letter.change.changed_at,
        attempted_at=now,
        latency_ms=result.latency_ms if result else 0,
    )
