"""One member of a sinks' consumer group: paused whenever nobody reads, and no record passes unseen."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tokentide_sinks.kafka import FENCED, consumer_config
from tokentide_sinks.retry import StoppedError
from tokentide_sinks.settings import ConsumerSettings

log = logging.getLogger(__name__)

POLL_S = 0.05


class LostPartitionsError(Exception):
    """The partitions went to another member of the group in the middle of a cycle."""


class GroupMember:
    """A consumer whose callbacks run inside `read` and `wait_a_moment` only.

    on_assign: gets the new partitions with their commits, returns where to begin. on_revoke: the partitions are gone.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        group: str,
        topics: Sequence[str],
        stop: threading.Event,
        on_assign: Callable[[list[TopicPartition]], list[TopicPartition]],
        on_revoke: Callable[[list[TopicPartition]], None],
    ) -> None:
        self._topics = list(topics)
        self._stop = stop
        self._on_assign = on_assign
        self._on_revoke = on_revoke
        self._consumer = Consumer(consumer_config(settings, group))
        self._held: list[Message] = []
        self._ends: dict[tuple[str, int], int] = {}
        self.generation = 0
        """Changes with every assignment and revocation."""
        self.is_paused = False

    def join(self) -> None:
        """Become a member. Partitions come with a later `read`."""
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def leave(self) -> None:
        """Give the partitions back."""
        self._consumer.close()

    def read(self, count: int) -> list[Message]:
        """Up to about `count` records, in offset order within a partition. Raises KafkaException when Kafka gives up
        on this consumer."""
        if self.is_paused:
            self._consumer.resume(self._consumer.assignment())
            self.is_paused = False
        messages = [message for message in self._consumer.consume(count, timeout=POLL_S) if self._is_record(message)]
        # Only now: a rebalance inside consume takes from what is held.
        held, self._held = self._held, []
        return held + messages

    def wait_a_moment(self, generation: int | None = None) -> None:
        """Stay in the group for up to 50 ms without reading further.

        With `generation`, raises LostPartitionsError once there was a rebalance since. Partitions stay paused until
        the next read: resuming in between would fetch the same records again and again.
        """
        if not self.is_paused:
            self._consumer.pause(self._consumer.assignment())
            self.is_paused = True
        message = self._consumer.poll(POLL_S)
        if message is not None and self._is_record(message):
            # Not expected of paused partitions; but the client will not deliver it a second time.
            self._held.append(message)
        if generation is not None and self.generation != generation:
            raise LostPartitionsError("a rebalance came while waiting")

    def go_back(self, topic: str, partition: int, offset: int) -> None:
        """Read a partition again from an offset on."""
        self._consumer.seek(TopicPartition(topic, partition, offset))

    def commit(self, offsets: list[TopicPartition]) -> None:
        """Commit, trying again while Kafka is away. Raises LostPartitionsError when the partitions are somebody
        else's by now, StoppedError when it is time to stop."""
        generation = self.generation
        while True:
            try:
                committed = self._consumer.commit(offsets=offsets, asynchronous=False) or []
                errors = [entry.error for entry in committed if entry.error is not None]
            except KafkaException as error:
                errors = [error.args[0]]
            if not errors:
                return
            if any(error.code() in FENCED for error in errors):
                raise LostPartitionsError(str(errors[0]))
            log.warning("commit failed, trying again: %s", errors[0])
            if self._stop.is_set():
                raise StoppedError(f"committing to Kafka: {errors[0]}")
            self.wait_a_moment(generation)

    def committed(self, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """What the group has committed. Raises KafkaException."""
        found = self._consumer.committed(partitions, timeout=30)
        for entry in found:
            if entry.error is not None:
                raise KafkaException(entry.error)
        return found

    def low(self, topic: str, partition: int) -> int:
        """Offset of the oldest record that the topic still has. Raises KafkaException."""
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10, cached=False)
        return int(low)

    def end(self, topic: str, partition: int) -> int:
        """Offset after the newest record. Fetches bring it along; before the first and while they rest the broker is
        asked."""
        entry = TopicPartition(topic, partition)
        is_fetched = not self.is_paused and (topic, partition) in self._ends
        try:
            _, end = self._consumer.get_watermark_offsets(entry, timeout=0.5, cached=is_fetched)
        except KafkaException as error:
            log.warning("%s[%d]: its end is not known at the moment: %s", topic, partition, error)
            return self._ends.get((topic, partition), 0)
        if end >= 0:
            self._ends[topic, partition] = int(end)
        return self._ends.get((topic, partition), 0)

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self.generation += 1
        self._drop_held(assigned)
        starts = self._on_assign(assigned)
        consumer.assign(starts)
        # Whoever waits goes on waiting without records of the new assignment; whoever reads resumes. A pause would
        # outlive the assignment anyway, so the next read must resume in every case.
        consumer.pause(starts)
        self.is_paused = True

    def _revoked(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self.generation += 1
        self._drop_held(revoked)
        self._on_revoke(revoked)

    def _drop_held(self, partitions: list[TopicPartition]) -> None:
        gone = {(entry.topic, entry.partition) for entry in partitions}
        self._held = [message for message in self._held if (message.topic(), message.partition()) not in gone]

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        log.warning("Kafka: %s", error)
        return False
