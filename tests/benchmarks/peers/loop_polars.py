"""A hand-written loop: confluent-kafka, polars for decoding and counting, Arrow inserts."""

from __future__ import annotations

import io

import polars as pl
from confluent_kafka import Consumer
from job import CONSUMER, COUNTS, RAW, TOPIC, Due, client

store = client()
consumer = Consumer(CONSUMER)
consumer.subscribe([TOPIC])
due = Due()
values: list[bytes] = []
while True:
    values += [message.value() for message in consumer.consume(10_000, 0.1) if message.error() is None]
    if due(len(values)):
        rows = pl.read_ndjson(io.BytesIO(b"\n".join(values)))
        counts = (
            rows.group_by(
                (pl.col("occurred_at") // 60_000 * 60).cast(pl.UInt32).alias("window_start"), "model", "category"
            )
            .len("requests")
            .with_columns(pl.col("requests").cast(pl.UInt64))
        )
        store.insert_arrow(RAW, rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
        store.insert_arrow(COUNTS, counts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        consumer.commit(asynchronous=False)
        values = []
