"""The Faust application: a source of envelopes, a table of checkpoints, a sink of rollups, around `RollupWorker`.

Faust gives group membership, the recovered table and acknowledged sends. What it counts, publishes and acknowledges is
decided in worker.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import faust
from confluent_kafka import Consumer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import TP

from tokentide_schemas import topics
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.cube_file import load_cubes
from tokentide_schemas.cubes import Cube
from tokentide_schemas.health import Health
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_schemas.settings import write_json_atomically
from tokentide_stream.faust_options import faust_options
from tokentide_stream.settings import StreamSettings
from tokentide_stream.worker import RollupWorker

log = logging.getLogger(__name__)

TICK_S = 0.1
GAP_CHECK_S = 10.0
STATUS_INTERVAL_S = 1.0
EXIT_FAILED = 70


class TopicError(Exception):
    """A topic is not as the worker needs it."""


def topic_facts(bootstrap_servers: str, topic: str, timeout_s: float = 30.0) -> tuple[str, int]:
    """A topic's id, which changes when it is made anew, and its partition count. Raises TopicError."""
    admin = AdminClient({**kafka_client(bootstrap_servers), "log_level": 0})
    future = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout_s)[topic]
    try:
        description = future.result()
    except Exception as error:
        raise TopicError(f"cannot read topic {topic} on {bootstrap_servers}: {error}") from error
    return str(description.topic_id), len(description.partitions)


class StreamApp(faust.App):  # type: ignore[misc]  # faust ships no types for it
    """A Faust app that lets the worker finish before the consumer goes away."""

    worker: RollupWorker | None = None
    health: Health | None = None

    def beat(self) -> None:
        """The loop has turned; told about once a second."""
        now_s = time.monotonic()
        if self.health is None or self.worker is None or now_s - self._beat_s < STATUS_INTERVAL_S:
            return
        self._beat_s = now_s
        self.health.ready(is_ready(self))
        self.health.tick(self.worker.status(), ["partitions are being moved"] if self.rebalancing else [])

    _beat_s = 0.0

    async def on_stop(self) -> None:
        """Publish and checkpoint what has come, then stop."""
        if self.worker is not None:
            try:
                await asyncio.wait_for(self.worker.finish(), timeout=15)
            except (TimeoutError, RuntimeError, OSError) as error:
                log.warning("stopping without a last checkpoint (it will be recounted at the next start): %s", error)
        await super().on_stop()


class FaustOutlet:
    """Where a `RollupWorker` writes, on a Faust app."""

    def __init__(self, app: StreamApp, table: Any, rollups: Any, usage: str, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._app = app
        self._table = table
        self._rollups = rollups
        self._usage = usage
        self._looker: Consumer | None = None

    async def send_rollups(self, partition: int, records: Sequence[tuple[list[tuple[str, bytes]], bytes]]) -> None:
        """Append records in order and wait until the broker has all of them."""
        sent = [
            await self._rollups.send(key=None, value=value, partition=partition, headers=headers)
            for headers, value in records
        ]
        for future in sent:
            await future

    async def write_checkpoint(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Write to the table's changelog, wait for the broker, then keep the value in the local table."""
        await self._table.send_changelog(partition, key, value)
        if value is None:
            self._table.data.pop(key, None)
        else:
            self._table.data[key] = value

    def checkpoints(self, partition: int) -> dict[bytes, bytes]:
        """Recovered checkpoints of a partition; keys are `partition/incarnation`."""
        prefix = b"%d/" % partition
        return {key: value for key, value in self._table.data.items() if key.startswith(prefix)}

    def next_record(self, partition: int, offset: int) -> int | None:
        """Offset of the first record at or after an offset that the topic has, None when there is no answer in time."""
        if self._looker is None:
            # Kept: with a transactional producer every transaction leaves a gap that is looked into.
            self._looker = Consumer(
                {
                    **kafka_client(self._bootstrap_servers),
                    "group.id": f"{topics.STREAM_APP_ID}-gap",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "queued.max.messages.kbytes": 1024,
                    "log_level": 0,
                }
            )
        self._looker.assign([TopicPartition(self._usage, partition, offset)])
        try:
            message = self._looker.poll(GAP_CHECK_S)
            return message.offset() if message is not None and message.error() is None else None
        finally:
            self._looker.unassign()

    def end_offset(self, partition: int) -> int:
        """Offset after the newest record, as of the last fetch; 0 when nothing was fetched yet."""
        try:
            return int(self._app.consumer.highwater(TP(self._usage, partition)) or 0)
        except (KeyError, AssertionError, RuntimeError, ValueError):
            return 0


def build_app(settings: StreamSettings, cubes: Sequence[Cube] | None = None) -> StreamApp:
    """The application, not started. Raises TopicError and CatalogueError."""
    catalogue = load_catalogue(settings.catalogue_paths)
    log.info("costs by catalogue %s", catalogue.version)
    epoch, partitions = topic_facts(settings.kafka_bootstrap_servers, topics.USAGE)
    app = StreamApp(
        topics.STREAM_APP_ID,
        **faust_options(settings, partitions),
    )
    usage = app.topic(topics.USAGE, key_serializer="raw", value_serializer="raw", partitions=partitions)
    rollups = app.topic(topics.ROLLUPS, key_serializer="raw", value_serializer="raw", partitions=partitions)
    table = app.Table(
        topics.CHECKPOINT_TABLE,
        partitions=partitions,
        key_type=bytes,
        value_type=bytes,
    )
    cubes = cubes or load_cubes(settings.cubes_file)
    outlet = FaustOutlet(app, table, rollups, topics.USAGE, settings.kafka_bootstrap_servers)
    worker = RollupWorker(settings, cubes, epoch, outlet, pricer=catalogue)
    app.worker = worker
    _attach(app, worker, usage, settings, catalogue.version)
    return app


def _attach(app: StreamApp, worker: RollupWorker, usage: Any, settings: StreamSettings, catalogue_version: str) -> None:
    async def count(stream: Any) -> None:
        # noack: Faust would acknowledge in a `finally`, so also for an envelope whose counting failed.
        async for event in stream.noack().events():
            try:
                await worker.receive(event)
            except Exception:  # noqa: BLE001 - whatever it is, going on would skip an envelope
                die("counting failed")

    app.agent(usage, name="rollup")(count)

    async def tick() -> None:
        # A task with pauses, not a Faust timer: a step may well take longer than the pause.
        while not app.should_stop:
            try:
                if not app.rebalancing:
                    await worker.step()
            except Exception:  # noqa: BLE001 - whatever it is, the state may be half published
                die("publishing failed")
            # Here, not where it is written down: a step that hangs must not look alive.
            app.beat()
            await app.sleep(TICK_S)

    app.task(tick)

    async def report() -> None:
        while not app.should_stop:
            if settings.ready_file is not None and not settings.ready_file.exists() and is_ready(app):
                write_json_atomically(settings.ready_file, {"component": "worker", "pid": os.getpid()})
            if settings.status_file is not None:
                status = {
                    "component": "worker",
                    "catalogue_version": catalogue_version,
                    "updated_at_ms": int(worker.clock() * 1000),
                    **worker.status(),
                }
                write_json_atomically(settings.status_file, status)
            await app.sleep(STATUS_INTERVAL_S)

    app.task(report)

    async def forget(_app: Any, moved: set[Any], **_: Any) -> None:
        worker.drop(tp.partition for tp in moved if tp.topic == topics.USAGE)

    # Both ways: every state starts from the checkpoint that the table recovered, which the reading position fits.
    app.on_partitions_revoked.connect(forget)
    app.on_partitions_assigned.connect(forget)


def is_ready(app: faust.App) -> bool:
    """The app has its partitions, or there are none for it."""
    return not app.rebalancing and (bool(app.consumer.assignment()) or app.unassigned)


def die(what: str) -> None:
    """End the process: Faust would restart the agent and skip the envelope. The next start is from a checkpoint."""
    log.exception("%s; ending this worker so that it restarts from its last checkpoint", what)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(EXIT_FAILED)
