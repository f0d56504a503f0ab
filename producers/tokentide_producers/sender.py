"""Envelopes to Kafka: identity, partitions, retries and exact delivery accounting over confluent-kafka.

The emitter and the simulator both send through this. One thread calls `submit`, `service` and `close`; `stats` may be
read from any thread.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tokentide_producers.outcomes import DropReason
from tokentide_producers.outgoing import OutgoingEnvelope, Placement, new_producer_id
from tokentide_producers.settings import SenderSettings
from tokentide_schemas import topics
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, headers_for
from tokentide_schemas.kafka_settings import kafka_client

logger = logging.getLogger(__name__)

Settled = Callable[[OutgoingEnvelope, DropReason | None], None]
"""Called once for each envelope: with None when Kafka has acknowledged it, else with why it never will."""

KAFKA_QUEUE_KBYTES: Final = 256 * 1024
# The broker would give the same answer for ever; every other error may pass, so the envelope is kept and sent again.
_PERMANENT: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})


@dataclass(frozen=True, slots=True)
class SenderStats:
    """Counts since the start. bytes: envelope values before Kafka's compression. retries: envelopes sent again."""

    acknowledged_envelopes: int
    acknowledged_events: int
    acknowledged_tokens: int
    acknowledged_bytes: int
    outstanding_envelopes: int
    outstanding_events: int
    outstanding_bytes: int
    retries: int
    last_error: str


def kafka_config(bootstrap_servers: str, settings: SenderSettings) -> dict[str, Any]:
    """Settings of the confluent-kafka producer: idempotent, acknowledged by all replicas, large batches."""
    return {
        **kafka_client(bootstrap_servers),
        "client.id": "tokentide-producer",
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": settings.linger_ms,
        "compression.type": settings.compression,
        "batch.size": 1_000_000,
        "message.max.bytes": topics.MAX_RECORD_BYTES,
        "delivery.timeout.ms": settings.delivery_timeout_ms,
        "queue.buffering.max.kbytes": KAFKA_QUEUE_KBYTES,
        "reconnect.backoff.max.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 30_000,
    }


class EnvelopeSender:
    """Sends envelopes of one or more producers (logical gateways) over one Kafka connection.

    bootstrap_servers: Kafka's host:port list. producers: how many producer ids to send under. on_settled: see
    `Settled`; runs in the thread that calls `service` or `close`. clock: seconds, monotonic.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        settings: SenderSettings,
        producers: int = 1,
        on_settled: Settled | None = None,
        clock: Callable[[], float] = time.monotonic,
        extra_config: dict[str, Any] | None = None,
    ) -> None:
        self.producer_ids = tuple(new_producer_id() for _ in range(producers))
        self._settings = settings
        self._config = kafka_config(bootstrap_servers, settings) | (extra_config or {})
        self._bootstrap_servers = bootstrap_servers
        self._on_settled = on_settled
        self._clock = clock
        self._kafka: Producer | None = None
        self._placement: Placement | None = None
        self._waiting: deque[OutgoingEnvelope] = deque()
        self._failed: deque[OutgoingEnvelope] = deque()
        self._outstanding: dict[int, OutgoingEnvelope] = {}
        self._not_before_s = 0.0
        self._broken = False
        self._acknowledged_envelopes = 0
        self._acknowledged_events = 0
        self._acknowledged_tokens = 0
        self._acknowledged_bytes = 0
        self._outstanding_events = 0
        self._outstanding_bytes = 0
        self._retries = 0
        self.last_error = ""

    def submit(self, value: bytes, events: int, *, tokens: int = 0, producer: int = 0) -> OutgoingEnvelope:
        """Take over one encoded envelope; it is sent by `service`, in order, until it is acknowledged."""
        return self.resubmit(OutgoingEnvelope(value, events, tokens, producer, self.producer_ids[producer]))

    def resubmit(self, envelope: OutgoingEnvelope) -> OutgoingEnvelope:
        """Take over an envelope that was made earlier; where it has an identity and a partition it keeps them."""
        envelope.submitted_s = self._clock()
        self._outstanding[id(envelope)] = envelope
        self._outstanding_events += envelope.events
        self._outstanding_bytes += len(envelope.value)
        self._waiting.append(envelope)
        return envelope

    def oldest_age_s(self) -> float:
        """How long the oldest envelope has waited for its acknowledgement; 0 when none does."""
        if not self._outstanding:
            return 0.0
        return self._clock() - next(iter(self._outstanding.values())).submitted_s

    def withdraw(self) -> list[OutgoingEnvelope]:
        """Give back all that is not acknowledged, oldest first, without settling it; the connection is given up.

        Kafka may have stored some of it: sent again with the same identity, it is recognised.
        """
        self._discard_producer()
        left = list(self._outstanding.values())
        self._outstanding.clear()
        self._waiting.clear()
        self._failed.clear()
        self._outstanding_events = self._outstanding_bytes = 0
        return left

    def is_reachable(self) -> bool:
        """Ask the broker for the topic; at most once every backoff, and False between two questions."""
        if self._clock() < self._not_before_s:
            return False
        return self._connected(ask_again=True)

    def service(self, wait_s: float = 0.0) -> None:
        """Send what waits and settle what Kafka has answered, for which it waits up to `wait_s` seconds.

        Kafka's errors are not raised: what they hit is sent again, and `last_error` tells of them.
        """
        if self._broken:
            self._replace_producer()
        if (self._waiting or self._failed) and self._clock() >= self._not_before_s and self._connected():
            self._produce_waiting()
        if self._kafka is not None:
            self._kafka.poll(wait_s)
        elif wait_s > 0:
            time.sleep(min(wait_s, max(0.0, self._not_before_s - self._clock())))

    def close(self, timeout_s: float) -> list[OutgoingEnvelope]:
        """Send until everything is acknowledged or the time is over; gives back what is not, identity and all.

        Settles those as UNACKNOWLEDGED_AT_CLOSE. A spool can keep them: sent again later, they are recognised.
        """
        deadline_s = self._clock() + timeout_s
        while self._outstanding and (left_s := deadline_s - self._clock()) > 0:
            self.service(min(0.05, left_s))
        # Acknowledgements may still arrive while the client is taken down, so what is left is known only after it.
        self._discard_producer()
        left = list(self._outstanding.values())
        self._waiting.clear()
        self._failed.clear()
        for envelope in left:
            self._settle(envelope, DropReason.UNACKNOWLEDGED_AT_CLOSE)
        return left

    @property
    def outstanding_bytes(self) -> int:
        """Bytes of the envelopes that are not acknowledged yet."""
        return self._outstanding_bytes

    @property
    def outstanding_envelopes(self) -> int:
        """Envelopes that are not acknowledged yet."""
        return len(self._outstanding)

    @property
    def partitions(self) -> int | None:
        """Partitions of the topic; None before the broker has answered for the first time."""
        return None if self._placement is None else self._placement.partitions

    def stats(self) -> SenderStats:
        """A snapshot of the counts."""
        return SenderStats(
            acknowledged_envelopes=self._acknowledged_envelopes,
            acknowledged_events=self._acknowledged_events,
            acknowledged_tokens=self._acknowledged_tokens,
            acknowledged_bytes=self._acknowledged_bytes,
            outstanding_envelopes=len(self._outstanding),
            outstanding_events=self._outstanding_events,
            outstanding_bytes=self._outstanding_bytes,
            retries=self._retries,
            last_error=self.last_error,
        )

    def abandon(self) -> Producer | None:
        """Forget the connection without touching it (after a fork the child must not); gives it to be kept alive."""
        kafka, self._kafka = self._kafka, None
        return kafka

    def _connected(self, *, ask_again: bool = False) -> bool:
        """True when the partitions are known, or with `ask_again` when the broker answers right now."""
        if self._kafka is None:
            try:
                self._kafka = Producer({**self._config, "error_cb": self._on_error}, logger=logger)
            except KafkaException as error:
                self._postpone(f"Kafka client settings are not usable: {error}")
                return False
        if self._placement is not None and not ask_again:
            return True
        topic = self._settings.topic
        try:
            metadata = self._kafka.list_topics(topic, timeout=self._settings.connect_timeout_s).topics[topic]
        except KafkaException as error:
            self._postpone(f"no answer from Kafka at {self._bootstrap_servers}: {error.args[0].str()}")
            return False
        if metadata.error is not None or not metadata.partitions:
            reason = metadata.error.str() if metadata.error is not None else "no partitions"
            self._postpone(f"topic {topic} at {self._bootstrap_servers}: {reason}; start the stack or create the topic")
            return False
        if self._placement is None:
            self._placement = Placement(len(metadata.partitions), len(self.producer_ids))
        return True

    def _produce_waiting(self) -> None:
        placement, kafka = self._placement, self._kafka
        if placement is None or kafka is None:
            return
        for queue in (self._failed, self._waiting):
            while queue:
                envelope = queue[0]
                placement.place(envelope)
                headers: Any = headers_for(CONTENT_TYPE_ARROW, envelope.events, envelope.producer_id, envelope.sequence)
                try:
                    kafka.produce(
                        self._settings.topic,
                        envelope.value,
                        partition=envelope.partition,
                        headers=headers,
                        on_delivery=partial(self._on_delivery, envelope),
                    )
                except BufferError:
                    return  # the client's queue is full; poll makes room
                except KafkaException as error:
                    self._note(error.args[0])
                    return
                envelope.attempts += 1
                self._retries += envelope.attempts > 1
                queue.popleft()

    def _on_delivery(self, envelope: OutgoingEnvelope, error: KafkaError | None, _message: Message) -> None:
        if id(envelope) not in self._outstanding:
            return
        if error is None:
            self._settle(envelope, None)
            return
        if error.code() in _PERMANENT:
            self._note(error)
            self._settle(envelope, DropReason.REFUSED_BY_BROKER)
            return
        if error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._note(error)
        self._failed.append(envelope)

    def _settle(self, envelope: OutgoingEnvelope, reason: DropReason | None) -> None:
        del self._outstanding[id(envelope)]
        self._outstanding_events -= envelope.events
        self._outstanding_bytes -= len(envelope.value)
        if reason is None:
            self._acknowledged_envelopes += 1
            self._acknowledged_events += envelope.events
            self._acknowledged_tokens += envelope.tokens
            self._acknowledged_bytes += len(envelope.value)
        if self._on_settled is not None:
            self._on_settled(envelope, reason)

    def _on_error(self, error: KafkaError) -> None:
        self.last_error = f"{error.name()}: {error.str()}"
        if error.fatal():
            self._broken = True

    def _note(self, error: KafkaError) -> None:
        self._postpone(f"{error.name()}: {error.str()}")
        if error.fatal():
            self._broken = True

    def _postpone(self, message: str) -> None:
        self.last_error = message
        self._not_before_s = self._clock() + self._settings.retry_backoff_s

    def _replace_producer(self) -> None:
        """After a fatal error this client instance can send nothing more: its records go to a new one."""
        logger.warning("replacing the Kafka producer after a fatal error: %s", self.last_error)
        self._discard_producer()
        self._broken = False
        # Every record that the old client had is sent again, also one for which it gave no answer at all.
        waiting = {id(envelope) for envelope in self._waiting}
        self._failed = deque(e for number, e in self._outstanding.items() if number not in waiting)

    def _discard_producer(self) -> None:
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            kafka.purge()
            kafka.flush(1.0)
