"""Quix Streams: a tumbling window of a minute for each key, and batching sinks."""

from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any

import msgspec
from job import GROUP, SERVERS, TOPIC, client, insert_counts, insert_raw
from quixstreams import Application
from quixstreams.models import BytesDeserializer
from quixstreams.sinks import BatchingSink

store = client()
Time = msgspec.defstruct("Time", [("occurred_at", int)])
time_of = msgspec.json.Decoder(Time).decode


class RawSink(BatchingSink):
    def write(self, batch: Any) -> None:
        insert_raw(store, [item.value for item in batch])


class CountSink(BatchingSink):
    def write(self, batch: Any) -> None:
        counts: Counter[tuple[int, str, str]] = Counter()
        for item in batch:
            model, category = item.key.split("|")
            counts[item.value["start"] // 1000, model, category] += item.value["value"]
        insert_counts(store, counts)


app = Application(
    broker_address=SERVERS,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    commit_interval=1.0,
    commit_every=100_000,
    state_dir=tempfile.mkdtemp(),
    loglevel="WARNING",
    consumer_extra_config={"queued.min.messages": 200_000, "queued.max.messages.kbytes": 262_144},
)
topic = app.topic(
    TOPIC,
    key_deserializer="str",
    value_deserializer=BytesDeserializer(),
    timestamp_extractor=lambda value, *_: time_of(value).occurred_at,
)
rows = app.dataframe(topic)
rows.sink(RawSink())
rows.tumbling_window(60_000, grace_ms=5_000).count().final(closing_strategy="partition").sink(CountSink())

if __name__ == "__main__":
    app.run()
