"""The only module that touches chDB, pinned to 4.4.0; its private calls are all here.

Private because the public interface has no counterpart: ``Connection._conn.classify_query`` (the engine's own verdict
on a statement; chDB's durable mode is built on it too). Everything else is public: a fresh connection for each request
costs 0.3 ms and keeps settings apart, and all connections of the process share one engine.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import chdb

from tokentide_deploy.store.access import READER_ROLE
from tokentide_deploy.store.engine_config import DATABASE, EngineSettings, write_engine_config
from tokentide_deploy.store.errors import from_engine
from tokentide_deploy.store.guard import ReaderGuard
from tokentide_deploy.store.native import ServerIdentity
from tokentide_deploy.store.spool import Spool
from tokentide_deploy.store.sqltext import INFILE_MARK, identifier, literal

_TAG_SETTING = "log_comment"
# ChdbError from queries, RuntimeError from opening.
_ENGINE_ERRORS = (chdb.ChdbError, RuntimeError)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A whole result: its bytes and what it cost."""

    data: bytes
    read_rows: int
    read_bytes: int
    result_rows: int
    written_rows: int
    written_bytes: int


class Insert:
    """An insert that collects raw bytes in the declared format; the engine sees them at :meth:`finish`, all or none.

    Not chDB's own streaming insert: 4.4.0's ``finish`` reports success, with the number of rows, also when the engine
    failed after parsing (full disk, violated constraint). The same insert from a file raises what went wrong.
    """

    def __init__(self, raw: Any, sql: str, folder: Path) -> None:
        self._raw = raw
        self._sql = sql
        self._spool = Spool(folder)

    def append(self, data: bytes) -> None:
        """Adds bytes. Raises StoreError when there is no room for them."""
        self._spool.append(data)

    def finish(self) -> tuple[int, int]:
        """Inserts; returns rows and bytes written, cascaded views included. Raises StoreError: nothing is stored."""
        with self._spool:
            try:
                result = self._raw.query(self._sql.replace(INFILE_MARK, literal(self._spool.path), 1), "Null")
            except _ENGINE_ERRORS as error:
                raise from_engine(error) from None
            return int(result.rows_written() or 0), int(result.bytes_written() or 0)

    def cancel(self) -> None:
        """Drops the insert; safe at any time."""
        self._spool.close()


class EngineConnection:
    """One session with the engine: its own database, settings, roles. Not for two threads at once."""

    def __init__(self, raw: Any, spool_folder: Path) -> None:
        self._raw = raw
        self._spool_folder = spool_folder

    def execute(self, sql: str) -> None:
        """Runs statements (several with ``;``) whose results do not matter. Raises StoreError."""
        try:
            self._raw.query(sql, "Null")
        except _ENGINE_ERRORS as error:
            raise from_engine(error) from None

    def query(self, sql: str, output_format: str) -> QueryResult:
        """Runs one statement to its end. Raises StoreError."""
        try:
            result = self._raw.query(sql, output_format)
            return QueryResult(
                bytes(result.bytes() or b""),
                int(result.storage_rows_read() or 0),
                int(result.storage_bytes_read() or 0),
                int(result.rows_read() or 0),
                int(result.rows_written() or 0),
                int(result.bytes_written() or 0),
            )
        except _ENGINE_ERRORS as error:
            raise from_engine(error) from None

    def stream(self, sql: str, output_format: str) -> Iterator[bytes]:
        """Runs one SELECT and yields its blocks in a format without headers. Raises StoreError, also in between."""
        try:
            result = self._raw.send_query(sql, output_format)
        except _ENGINE_ERRORS as error:
            raise from_engine(error) from None
        try:
            while True:
                try:
                    chunk = result.fetch()
                except _ENGINE_ERRORS as error:
                    raise from_engine(error) from None
                if chunk is None:
                    return
                yield chunk.bytes()
        finally:
            result.close()

    def insert(self, sql: str) -> Insert:
        """Opens an insert: a statement of ``sqltext.insert_from_file``."""
        return Insert(self._raw, sql, self._spool_folder)

    def text(self, sql: str) -> str:
        return self.query(sql, "TSVRaw").data.decode("utf-8", "replace").rstrip("\n")

    def configure(self, *, database: str, tag: str, values: Mapping[str, str]) -> None:
        """Chooses the database ('' keeps it), tags the session's queries, sets parameters and settings."""
        statements = [f"USE {identifier(database)}"] if database else []
        assignments = {_TAG_SETTING: tag, **values}
        statements.append("SET " + ", ".join(f"{name}={literal(value)}" for name, value in assignments.items()))
        self.execute("; ".join(statements))

    def restrict_to_reader(self) -> None:
        """Gives up the writer role and every further change of settings: nothing on this session can undo it."""
        self.execute(f"SET ROLE {READER_ROLE}; SET readonly=1")

    def classify(self, sql: str) -> tuple[int, str]:
        """The engine's verdict: how many statements, and the most powerful class (READ_ONLY, MUTATING, CONTROL...)."""
        try:
            report = self._raw._conn.classify_query(sql)
        except _ENGINE_ERRORS as error:
            raise from_engine(error) from None
        return int(report["statement_count"]), str(report["query_class"].name)

    def canonical(self, sql: str) -> str:
        """The engine's own formatting of one statement. Raises StoreError when it does not parse."""
        return self.text(f"SELECT formatQuerySingleLine({literal(sql)})")

    def close(self) -> None:
        self._raw.close()


class Engine:
    """The engine of one directory. Opens it, makes the database, and hands out connections until closed."""

    def __init__(self, directory: Path, settings: EngineSettings) -> None:
        data = directory / "engine"
        data.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        # A small file system would have no space at all by the default.
        self.keep_free_bytes = min(settings.keep_free_bytes, shutil.disk_usage(data).total // 20)
        config = write_engine_config(directory / "config", replace(settings, keep_free_bytes=self.keep_free_bytes))
        self._address = f"{data}?config-file={config}"
        self._spool_folder = directory / "incoming"
        # What a killed process had received and not inserted; its clients were told nothing.
        shutil.rmtree(self._spool_folder, ignore_errors=True)
        self._keeper = self.connect()
        self._kill_lock = threading.Lock()
        # chDB's own database `default` overlays the file system; ours does not.
        self._keeper.execute(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        version, timezone = self._keeper.text("SELECT version(), timezone()").split("\t")
        self.identity = ServerIdentity("tokentide", version, timezone)
        names = self._keeper.text("SELECT name FROM system.table_functions").split("\n")
        functions = self._keeper.text("SELECT name FROM system.functions").split("\n")
        self.guard = ReaderGuard.of_engine(names, functions)

    def connect(self) -> EngineConnection:
        try:
            return EngineConnection(chdb.connect(self._address), self._spool_folder)
        except _ENGINE_ERRORS as error:
            raise from_engine(error) from None

    def kill(self, tag: str) -> None:
        """Ends the running queries that carry ``tag``; returns without waiting for them."""
        with self._kill_lock:
            connection = self.connect()
            try:
                connection.execute(f"KILL QUERY WHERE Settings['{_TAG_SETTING}'] = {literal(tag)} ASYNC")
            finally:
                connection.close()

    def close(self) -> None:
        self._keeper.close()
