"""The Faust application of stage 2: reads all of the rollup topic in one process, around `SharesWorker`."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import faust
from faust.types import TP

from tokentide_schemas import topics
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.catalogue.watching import CatalogueFiles
from tokentide_schemas.health import Health
from tokentide_schemas.settings import write_json_atomically
from tokentide_stream.app import STATUS_INTERVAL_S, TICK_S, die, is_ready, topic_facts
from tokentide_stream.faust_options import faust_options
from tokentide_stream.one_owner import OneOwnerAssignor
from tokentide_stream.settings import StreamSettings
from tokentide_stream.shares_worker import Headers, SharesWorker

log = logging.getLogger(__name__)

CATALOGUE_CHECK_S = 10.0
"""Pause between two looks for changed catalogue files: how soon a new model has its author and origin in the shares."""
CHECKPOINT_PARTITION = 0
"""The table has the rollup topic's partitions, as Faust wants it; its values must keep their order, so one is used."""


class SharesApp(faust.App):  # type: ignore[misc]  # faust ships no types for it
    """A Faust app that lets the worker finish before the consumer goes away."""

    worker: SharesWorker | None = None
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
                log.warning("stopping without a last checkpoint (it is made up for at the next start): %s", error)
        await super().on_stop()


class FaustSharesOutlet:
    """Where a `SharesWorker` writes, on a Faust app."""

    def __init__(self, app: SharesApp, table: Any, shares: Any, partitions: int) -> None:
        self._app = app
        self._table = table
        self._shares = shares
        self._partitions = partitions

    async def send_shares(self, records: Sequence[tuple[Headers, bytes]]) -> None:
        """Append records in order and wait until the broker has all of them."""
        sent = [
            await self._shares.send(key=None, value=value, partition=0, headers=headers) for headers, value in records
        ]
        for future in sent:
            await future

    async def write_checkpoints(self, values: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Write to the table's changelog, wait for the broker, then keep the values in the local table."""
        await asyncio.gather(*(self._table.send_changelog(CHECKPOINT_PARTITION, key, value) for key, value in values))
        for key, value in values:
            if value is None:
                self._table.data.pop(key, None)
            else:
                self._table.data[key] = value

    def checkpoints(self) -> dict[bytes, bytes]:
        """The recovered table."""
        return dict(self._table.data.items())

    def lag_records(self) -> int:
        """Records that were fetched from the rollup topic's end but not handed on yet."""
        lag = 0
        for partition in range(self._partitions):
            tp = TP(topics.ROLLUPS, partition)
            try:
                end = int(self._app.consumer.highwater(tp) or 0)
            except (KeyError, AssertionError, RuntimeError, ValueError):
                continue
            windows = self._app.worker.windows if self._app.worker is not None else None
            read = windows.offsets.get(partition, -1) + 1 if windows is not None else 0
            lag += max(0, end - read)
        return lag


def build_shares_app(settings: StreamSettings, catalogue: Catalogue) -> SharesApp:
    """The application, not started. Raises TopicError when the rollup topic cannot be read."""
    topic_id, partitions = topic_facts(settings.kafka_bootstrap_servers, topics.ROLLUPS)
    app = SharesApp(
        topics.SHARES_APP_ID,
        PartitionAssignor=OneOwnerAssignor,
        **faust_options(settings, partitions),
    )
    rollups = app.topic(topics.ROLLUPS, key_serializer="raw", value_serializer="raw", partitions=partitions)
    shares = app.topic(topics.SHARES, key_serializer="raw", value_serializer="raw", partitions=1)
    table = app.Table(topics.CHECKPOINT_TABLE, partitions=partitions, key_type=bytes, value_type=bytes)
    outlet = FaustSharesOutlet(app, table, shares, partitions)
    worker = SharesWorker(settings, catalogue, topic_id, partitions, outlet)
    app.worker = worker
    _attach(app, worker, rollups, settings)
    return app


def _attach(app: SharesApp, worker: SharesWorker, rollups: Any, settings: StreamSettings) -> None:
    async def merge(stream: Any) -> None:
        # noack: Faust would acknowledge in a `finally`, so also for a record whose merging failed.
        async for event in stream.noack().events():
            try:
                await worker.receive(event)
            except Exception:  # noqa: BLE001 - whatever it is, going on would skip a record
                die("merging failed")

    app.agent(rollups, name="shares")(merge)

    async def tick() -> None:
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
                write_json_atomically(settings.ready_file, {"component": "shares", "pid": os.getpid()})
            if settings.status_file is not None:
                status = {"component": "shares", "updated_at_ms": int(worker.clock() * 1000), **worker.status()}
                write_json_atomically(settings.status_file, status)
            await app.sleep(STATUS_INTERVAL_S)

    app.task(report)

    async def follow_catalogue() -> None:
        files = CatalogueFiles(settings.catalogue_paths)
        while not app.should_stop:
            await app.sleep(CATALOGUE_CHECK_S)
            catalogue = files.changed()
            if catalogue is not None:
                worker.use(catalogue)
                log.info("the catalogue files have changed: version %s is in use", catalogue.version)

    app.task(follow_catalogue)

    async def forget(_app: Any, revoked: set[Any], **_: Any) -> None:
        if any(tp.topic == topics.ROLLUPS for tp in revoked):
            worker.drop()

    app.on_partitions_revoked.connect(forget)
