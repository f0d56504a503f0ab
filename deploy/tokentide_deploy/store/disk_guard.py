"""What the engine leaves undone on a full disk, done by the store.

chDB 4.4 answers "inserted", and commits a merge, when the disk took none of their files (seen on a file system that
filled up while it wrote; with fsync settings, too).

Inserts are refused while space is low, and one that may have met a full disk is acknowledged only once its parts have
been read back. A merge that met one leaves parts that a start of the engine takes aside and replaces by those that were
merged, so the process ends for its supervisor to start it again.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokentide_deploy.store.engine import Engine, EngineConnection
from tokentide_deploy.store.errors import NOT_ENOUGH_SPACE, StoreError, store_error
from tokentide_deploy.store.sqltext import identifier, literal

logger = logging.getLogger(__name__)

EXIT_DAMAGED: Final = 6
LOOK_S: Final = 0.05
"""Pause between two looks at the free space."""
SCAN_S: Final = 0.5
"""Pause between two looks for damaged merges while space is low, and for AFTER_S afterwards."""
AFTER_S: Final = 5.0
SLACK_S: Final = 2
"""system.parts knows modification times to the second."""
RESERVE_BYTES: Final = 8 << 20
"""Kept in a file of its own and given back while damaged parts are removed, which needs some space, too."""
_NO_SUCH_DATA_PART: Final = 232
_ALWAYS_FILLED: Final = ("checksums.txt", "columns.txt", "count.txt")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a MergeTree table. path: its folder."""

    database: str
    table: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class InsertWatch:
    """An insert that has begun. started_s: of the guard's clock. started_at_s: seconds since 1970."""

    started_s: float
    started_at_s: int


class DiskGuard:
    """Watches the file system of one engine.

    low_bytes: free space below which nothing is written. end: ends the process at once.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        low_bytes: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._low_bytes = low_bytes
        self._clock = clock
        self._end = end
        self._reserve = folder / "disk-reserve"
        self._lock = threading.Lock()
        self._low_at_s = float("-inf")
        self._dropped_at_s = float("-inf")
        self._low_since_s: int | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="disk-guard", daemon=True)
        self._keep_reserve()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def close(self) -> None:
        """End the watching; idempotent."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self) -> InsertWatch:
        """Call before an insert. Raises StoreError (NOT_ENOUGH_SPACE) when space is low."""
        if self._is_low():
            raise self._not_enough_space("nothing was inserted")
        return InsertWatch(self._clock(), int(time.time()))

    def confirm(self, watch: InsertWatch) -> None:
        """Call when the engine says that an insert is done. Raises StoreError (NOT_ENOUGH_SPACE) when the disk may not
        have it: what is damaged has been taken out, so the same insert can be sent again with the same token."""
        self._is_low()
        if self._low_at_s < watch.started_s and self._dropped_at_s < watch.started_s:
            return
        with self._lock:
            damaged = self._damaged(watch.started_at_s - SLACK_S, "level = 0")
            if damaged:
                self._drop(damaged)
            # Another insert's check may have taken this one's part out.
            if self._dropped_at_s >= watch.started_s:
                raise self._not_enough_space("parts of this or of another insert were cut off by it and taken out")

    def _is_low(self) -> bool:
        is_low = shutil.disk_usage(self._folder).free < self._low_bytes
        if is_low:
            self._low_at_s = self._clock()
        return is_low

    def _not_enough_space(self, what: str) -> StoreError:
        return store_error(
            NOT_ENOUGH_SPACE,
            "NOT_ENOUGH_SPACE",
            f"The disk of {self._folder} has less than {self._low_bytes >> 20} MiB left: {what}. Make room; the sinks "
            "send it again by themselves.",
        )

    def _watch(self) -> None:
        scanned_s = float("-inf")
        while not self._stopped.wait(LOOK_S):
            is_low = self._is_low()
            now_s = self._clock()
            if is_low and self._low_since_s is None:
                self._low_since_s = int(time.time())
                logger.error("space is low, inserts are refused: %s", self._not_enough_space("").message)
                self._command("SYSTEM STOP MERGES")
            if self._low_since_s is None:
                continue
            if now_s - scanned_s >= SCAN_S:
                self._look_for_damaged_merges(self._low_since_s)
                scanned_s = self._clock()
            if not is_low and now_s - self._low_at_s > AFTER_S:
                self._low_since_s = None
                self._keep_reserve()
                self._command("SYSTEM START MERGES")
                logger.info("there is enough space again")

    def _look_for_damaged_merges(self, since_s: int) -> None:
        with self._lock:
            damaged = self._damaged(since_s - SLACK_S, "level > 0")
        if damaged:
            logger.critical(
                "a full disk cut off the merged parts %s; ending, so that the next start takes the parts they were "
                "made of",
                ", ".join(f"{part.table}/{part.name}" for part in damaged),
            )
            logging.shutdown()
            self._end(EXIT_DAMAGED)

    def _damaged(self, since_s: int, which: str) -> list[Part]:
        """Active parts that were written since an instant and cannot be read back."""
        connection = self._engine.connect()
        try:
            lines = connection.text(
                "SELECT database, table, name, path FROM system.parts WHERE active AND database NOT IN ('system') "
                f"AND {which} AND modification_time >= toDateTime({since_s})"
            )
            parts = [
                Part(database, table, name, Path(path))
                for database, table, name, path in (line.split("\t") for line in lines.splitlines())
            ]
            return [part for part in parts if not _is_whole(connection, part)]
        finally:
            connection.close()

    def _drop(self, parts: list[Part]) -> None:
        # The engine writes when it removes a part, so it gets the reserve first.
        self._reserve.unlink(missing_ok=True)
        connection = self._engine.connect()
        try:
            for part in parts:
                logger.error("a full disk cut off part %s of %s.%s: taken out", part.name, part.database, part.table)
                table = f"{identifier(part.database)}.{identifier(part.table)}"
                connection.execute(f"ALTER TABLE {table} DROP PART {literal(part.name)}")
        finally:
            self._dropped_at_s = self._clock()
            connection.close()

    def _keep_reserve(self) -> None:
        try:
            with self._reserve.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError as error:
            self._reserve.unlink(missing_ok=True)
            logger.warning("no space for the reserve of %d MiB: %s", RESERVE_BYTES >> 20, error.strerror)

    def _command(self, sql: str) -> None:
        connection = self._engine.connect()
        try:
            connection.execute(sql)
        except StoreError as error:
            # Merges are not what inserts depend on; what they damage is found by the scan.
            logger.error("%s failed: %s", sql, error.message)
        finally:
            connection.close()


def _is_whole(connection: EngineConnection, part: Part) -> bool:
    """Read a part back. The engine's own check comes second: files of no length are what a full disk leaves."""
    try:
        if any((part.path / name).stat().st_size == 0 for name in _ALWAYS_FILLED if (part.path / name).exists()):
            return False
    except FileNotFoundError:
        return True  # merged away or dropped meanwhile
    table = f"{identifier(part.database)}.{identifier(part.table)}"
    try:
        answer = connection.text(
            f"CHECK TABLE {table} PART {literal(part.name)} SETTINGS check_query_single_value_result = 1"
        )
    except StoreError as error:
        if error.code == _NO_SUCH_DATA_PART:
            return True
        logger.error("part %s of %s cannot be checked: %s", part.name, table, error.message)
        return False
    return answer.strip() == "1"
