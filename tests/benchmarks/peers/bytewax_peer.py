"""Bytewax: a keyed tumbling window on event time, and sinks that batch."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, count_window
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from job import SERVERS, TOPIC, Due, Key, client, decode_event, insert_counts, insert_raw

BATCH = 10_000
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
START_S = int(START.timestamp())


class RawPartition(StatelessSinkPartition[bytes]):
    def __init__(self) -> None:
        self._store, self._due, self._values = client(), Due(), []

    def write_batch(self, items: list[bytes]) -> None:
        self._values += items
        # Nothing calls a sink when no more comes: a batch that is not full is the last for now.
        if self._due(len(self._values)) or len(items) < BATCH:
            insert_raw(self._store, self._values)
            self._values = []


class CountPartition(StatelessSinkPartition[Any]):
    def __init__(self) -> None:
        self._store = client()

    def write_batch(self, items: list[Any]) -> None:
        counts: Counter[Key] = Counter()
        for key, (window, requests) in items:
            model, category = key.split("|")
            counts[START_S + window * 60, model, category] += requests
        insert_counts(self._store, counts)


class Sink(DynamicSink[Any]):
    def __init__(self, partition: Any) -> None:
        self._partition = partition

    def build(self, *_: Any) -> Any:
        return self._partition()


def time_of(event: Any) -> dt.datetime:
    return dt.datetime.fromtimestamp(event.occurred_at / 1000, dt.UTC)


flow = Dataflow("peer")
config = {"queued.min.messages": "200000", "queued.max.messages.kbytes": "262144", "fetch.queue.backoff.ms": "10"}
messages = op.input("in", flow, KafkaSource([SERVERS], [TOPIC], batch_size=BATCH, add_config=config))
values = op.map("value", messages, lambda message: message.value)
op.output("raw", values, Sink(RawPartition))
events = op.map("decode", values, decode_event)
counted = count_window(
    "count",
    events,
    EventClock(time_of, wait_for_system_duration=dt.timedelta(seconds=5)),
    TumblingWindower(length=dt.timedelta(minutes=1), align_to=START),
    lambda event: f"{event.model}|{event.category}",
)
op.output("counts", counted.down, Sink(CountPartition))

if __name__ == "__main__":
    cli_main(flow)
