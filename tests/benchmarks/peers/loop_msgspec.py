"""A hand-written loop: confluent-kafka, msgspec, clickhouse-connect."""

from __future__ import annotations

from confluent_kafka import Consumer
from job import CONSUMER, TOPIC, Due, client, count, insert_counts, insert_raw

store = client()
consumer = Consumer(CONSUMER)
consumer.subscribe([TOPIC])
due = Due()
values: list[bytes] = []
while True:
    values += [message.value() for message in consumer.consume(10_000, 0.1) if message.error() is None]
    if due(len(values)):
        insert_raw(store, values)
        insert_counts(store, count(values))
        consumer.commit(asynchronous=False)
        values = []
