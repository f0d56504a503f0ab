"""The notifier: reads the alerts topic, tells every receiver, writes what became of it into the same topic.

Order: tell, record, commit. A crash between the first two tells once more after the restart (with the same idempotency
key); nothing else does, and nothing is lost.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, Producer, TopicPartition
from pydantic import ValidationError

from tokentide_schemas import topics
from tokentide_schemas.alert_deliveries import KIND_DELIVERY, AlertDelivery, DeliveryOutcome
from tokentide_schemas.alerting.receivers import AnyReceiver
from tokentide_schemas.alerts import HEADER_KIND, KIND_CHANGE, AlertChange
from tokentide_schemas.crash_points import reach
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_sinks.consumer_group import GroupMember, LostPartitionsError
from tokentide_sinks.kafka import record_of
from tokentide_sinks.notify.answers import wait_s
from tokentide_sinks.notify.delivery import deliver
from tokentide_sinks.notify.outbox import Letter, Outbox
from tokentide_sinks.retry import StoppedError
from tokentide_sinks.settings import ConsumerSettings

log = logging.getLogger(__name__)

GROUP_NOTIFY: Final = "tokentide-notify-v1"
KIND_START: Final = b"notifier-start"
"""A record that says nothing: a notifier that reads its own has read everything before it. The topic's end would not
do, since a transaction's end has an offset that no reader ever gets to."""
_IDLE_S: Final = 0.1
_COMMIT_EVERY_S: Final = 1.0
_STOP_S: Final = 12.0
"""Attempts on their way may end within this when the process is asked to stop."""


class Notifier:
    """One member of the notifiers' consumer group; only the one that has the partition tells."""

    def __init__(
        self,
        settings: ConsumerSettings,
        receivers: Sequence[AnyReceiver],
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._receivers = receivers
        self._stop = stop
        self._clock = clock
        self._member = GroupMember(settings, GROUP_NOTIFY, [topics.ALERTS], stop, self._on_assign, self._on_revoke)
        self._producer = Producer(
            {
                **kafka_client(settings.kafka_bootstrap_servers),
                "client.id": "tokentide-notify",
                "acks": "all",
                "enable.idempotence": True,
                # For ever: what was told must be known to the next start.
                "message.timeout.ms": 0,
                "linger.ms": 0,
            }
        )
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        self._outbox: Outbox | None = None
        self._is_assigned = False
        self._is_live = False
        self._start_offset: int | None = None
        self._committed = -1
        self._committed_at = self._ticked_at = 0.0
        self._told = dict.fromkeys(DeliveryOutcome, 0)
        self._last_error: dict[str, str] = {}

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Until `stop` is set. on_ready: once the topic was read to its end. Raises what a receiver's thread raised."""
        threads = [threading.Thread(target=self._serve, args=(one,), daemon=True) for one in self._receivers]
        for thread in threads:
            thread.start()
        self._member.join()
        is_ready = False
        unread: list[Message] = []
        try:
            while not self._stop.is_set():
                unread += self._member.read(500)
                if self._is_assigned and self._outbox is None:
                    self._begin()
                if self._outbox is not None:
                    for message in unread:
                        self._take(message)
                    unread.clear()
                    self._go_live_at_the_end()
                if self._is_live and not is_ready:
                    is_ready = True
                    on_ready()
                self._producer.poll(0)
                self._commit()
                self._tick(on_tick)
            deadline_s = time.monotonic() + _STOP_S
            for thread in threads:
                thread.join(max(0.0, deadline_s - time.monotonic()))
            self._producer.flush(_STOP_S / 2)
            self._committed_at = 0.0
            self._commit()
        except StoppedError as stopped:
            log.info("stopped while waiting: %s", stopped)
        finally:
            self._member.leave()
        if self._failure is not None:
            raise self._failure

    def status(self) -> dict[str, Any]:
        """Counters since the start of the process, and what waits for whom."""
        with self._lock:
            waiting = {name: len(queue) for name, queue in self._outbox.waiting.items()} if self._outbox else {}
            return {
                "component": "notify",
                "updated_at_ms": int(self._clock() * 1000),
                "attempts_total": {outcome.value: count for outcome, count in self._told.items()},
                "waiting": waiting,
                "last_errors": dict(self._last_error),
            }

    # Reading

    def _on_assign(self, assigned: list[TopicPartition]) -> list[TopicPartition]:
        self._is_assigned = bool(assigned)
        self._drop_outbox()
        # From the beginning: what goes on and what was told is known from the topic alone.
        return [TopicPartition(entry.topic, entry.partition, OFFSET_BEGINNING) for entry in assigned]

    def _on_revoke(self, _revoked: list[TopicPartition]) -> None:
        self._is_assigned = False
        self._drop_outbox()

    def _drop_outbox(self) -> None:
        with self._lock:
            self._outbox = None
            self._is_live = False

    def _begin(self) -> None:
        try:
            committed = self._member.committed([TopicPartition(topics.ALERTS, 0)])[0].offset
        except KafkaException as error:
            log.warning("what was told is not known yet, trying again: %s", error)
            return
        with self._lock:
            self._outbox = outbox = Outbox(self._receivers, committed if committed >= 0 else None)
            self._start_offset = None

        def written(_error: KafkaError | None, message: Message) -> None:
            if self._outbox is outbox:
                self._start_offset = message.offset()

        self._producer.produce(
            topics.ALERTS, b"{}", headers={HEADER_KIND: KIND_START}, partition=0, on_delivery=written
        )

    def _take(self, message: Message) -> None:
        record = record_of(message)
        kind = record.headers.get(HEADER_KIND)
        assert self._outbox is not None
        with self._lock:
            try:
                if kind == KIND_CHANGE:
                    change = AlertChange.model_validate_json(record.value or b"")
                    self._write(self._outbox.read_change(record.offset, change, self._now()))
                elif kind == KIND_DELIVERY:
                    delivery = AlertDelivery.model_validate_json(record.value or b"")
                    self._outbox.read_delivery(record.offset, delivery)
                else:
                    self._outbox.read_other(record.offset)
            except ValidationError as problem:
                self._outbox.read_other(record.offset)
                log.error("%s@%d cannot be told: %s", topics.ALERTS, record.offset, problem)

    def _go_live_at_the_end(self) -> None:
        with self._lock:
            if self._outbox is None or self._is_live or self._start_offset is None:
                return
            if self._outbox.next_offset > self._start_offset:
                self._is_live = True
                self._write(self._outbox.go_live(self._now()))

    # Telling: one thread for each receiver, so that a slow one holds nobody else.

    def _serve(self, receiver: AnyReceiver) -> None:
        try:
            self._serve_until_stopped(receiver)
        except Exception as error:  # noqa: BLE001 - told by `run`
            # A receiver that is not served any more would be silence: the process ends with it and is started again.
            self._failure = error
            self._stop.set()

    def _serve_until_stopped(self, receiver: AnyReceiver) -> None:
        while not self._stop.is_set():
            with self._lock:
                outbox = self._outbox if self._is_live else None
                letter = outbox.next_letter(receiver.name, time.monotonic()) if outbox else None
                repeat = outbox.to_repeat(receiver, time.monotonic()) if outbox and letter is None else None
            if outbox is not None and letter is not None:
                self._tell(outbox, letter)
            elif repeat is not None:
                result = deliver(receiver, repeat, now=self._now())
                if not result.is_delivered:
                    log.warning("receiver %s: an alert that goes on was not repeated: %s", receiver.name, result.error)
            else:
                self._stop.wait(_IDLE_S)

    def _tell(self, outbox: Outbox, letter: Letter) -> None:
        change = letter.change
        result = deliver(letter.receiver, change, now=self._now(), firing=letter.firing)
        if result.is_delivered:
            reach("notify:after-delivery")
        pause_s = wait_s(letter.attempts + 1, result.retry_after_s, random.random)
        with self._lock:
            record = outbox.settle(letter, result, self._now(), time.monotonic(), pause_s)
            self._write([record])
        what = f"receiver {letter.receiver.name}: alert {change.alert_id} {change.state.value}"
        if record.outcome is DeliveryOutcome.DELIVERED:
            log.info("%s: delivered after %d attempts", what, record.attempts)
        elif record.outcome is DeliveryOutcome.RETRYING:
            log.warning("%s: %s; attempt %d follows in %.0f s", what, record.error, record.attempts + 1, pause_s)
        else:
            log.error("%s: not told: %s", what, record.error)

    def _write(self, deliveries: Sequence[AlertDelivery]) -> None:
        """Into the topic. Its failures are Kafka's being away, which the producer waits out."""
        for one in deliveries:
            self._told[one.outcome] += 1
            self._last_error[one.receiver] = one.error
            self._producer.produce(
                topics.ALERTS,
                one.model_dump_json().encode(),
                key=str(one.alert_id).encode(),
                headers={HEADER_KIND: KIND_DELIVERY},
                partition=0,
            )

    # Keeping

    def _commit(self) -> None:
        """What nobody waits for any more, once the records of it are in the topic."""
        now_s = time.monotonic()
        with self._lock:
            if self._outbox is None or not self._is_live or now_s - self._committed_at < _COMMIT_EVERY_S:
                return
            offset = self._outbox.safe_offset()
            if offset == self._committed or len(self._producer):
                return
        self._committed_at = now_s
        reach("notify:after-record")
        try:
            self._member.commit([TopicPartition(topics.ALERTS, 0, offset)])
            self._committed = offset
        except LostPartitionsError as lost:
            log.info("another notifier goes on: %s", lost)

    def _tick(self, on_tick: Callable[[dict[str, Any]], None]) -> None:
        now = self._clock()
        if now - self._ticked_at >= 1.0:
            self._ticked_at = now
            on_tick(self.status())

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock(), dt.UTC)
