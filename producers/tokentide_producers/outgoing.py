"""Identity and place of the envelopes that one process sends. Pure.

Readers recognise a repeat by (producer, sequence) within one partition, so the sender chooses the partition itself and
counts 0, 1, 2, ... in each partition. An envelope keeps its identity and its partition however often it is sent.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

UNPLACED: Final = -1
"""Partition of an envelope that was made before the topic's partitions were known."""


def new_producer_id() -> str:
    """The id of one producer incarnation: never used again, not by a restart and not by a forked child."""
    return uuid.uuid4().hex


@dataclass(slots=True, eq=False)
class OutgoingEnvelope:
    """An encoded envelope on its way. producer: number of its producer among those of the sender. attempts: sends.
    submitted_s: when the sender got it, on the sender's clock."""

    value: bytes
    events: int
    tokens: int
    producer: int
    producer_id: str
    partition: int = UNPLACED
    sequence: int = -1
    attempts: int = 0
    submitted_s: float = 0.0


class Placement:
    """Round robin over the topic's partitions, and a sequence for each producer and partition."""

    def __init__(self, partitions: int, producers: int) -> None:
        if partitions < 1:
            raise ValueError(f"a topic has at least one partition, not {partitions}")
        # Producers start at different partitions: many short-lived ones would otherwise all fill partition 0.
        self._turn = [number % partitions for number in range(producers)]
        self._next_sequence = [[0] * partitions for _ in range(producers)]
        self.partitions = partitions

    def place(self, envelope: OutgoingEnvelope) -> None:
        """Give an envelope its partition and sequence; one that has them keeps them."""
        if envelope.partition != UNPLACED:
            return
        partition = self._turn[envelope.producer]
        self._turn[envelope.producer] = (partition + 1) % self.partitions
        envelope.partition = partition
        envelope.sequence = self._next_sequence[envelope.producer][partition]
        self._next_sequence[envelope.producer][partition] += 1
