"""Stock Faust: an agent that takes batches, counts in a table, and writes rows and counts."""

from __future__ import annotations

import sys

import faust
from job import GROUP, ROWS, SERVERS, TOPIC, WAIT_S, client, count, insert_counts, insert_raw

app = faust.App(
    GROUP,
    broker=f"kafka://{SERVERS}",
    store="memory://",
    value_serializer="raw",
    topic_disable_leader=True,
    stream_buffer_maxsize=65_536,
    broker_commit_every=100_000,
    stream_wait_empty=False,
    producer_linger=0.02,
    topic_partitions=4,
    web_enabled=False,
)
topic = app.topic(TOPIC, value_type=bytes, value_serializer="raw")
table = app.Table("counts", default=int, partitions=4)
store = client()


@app.agent(topic)
async def counted(stream: faust.Stream[bytes]) -> None:
    async for values in stream.take(ROWS, within=WAIT_S):
        found = count(values)
        for (start, model, category), requests in found.items():
            table[f"{start}|{model}|{category}"] += requests
        insert_raw(store, values)
        insert_counts(store, found)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
