"""One request in the engine's thread: decide what it is, prepare a connection, run it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tokentide_deploy.store import compression, native
from tokentide_deploy.store.access import AccessPolicy, User, settings_of, substitutions_of
from tokentide_deploy.store.disk_guard import DiskGuard
from tokentide_deploy.store.engine import Engine
from tokentide_deploy.store.engine_config import DATABASE
from tokentide_deploy.store.errors import (
    ACCESS_DENIED,
    BAD_ARGUMENTS,
    READONLY,
    SYNTAX_ERROR,
    StoreError,
    store_error,
)
from tokentide_deploy.store.metrics import RequestKind
from tokentide_deploy.store.sessions import Lease, Sessions
from tokentide_deploy.store.sqltext import Statement, data_start, insert_from_file, outline

MAX_QUERY_BYTES = 64 << 20
# Formats whose blocks carry no header, footer or separator of the whole result: they can be sent as they come.
STREAMED_FORMATS = frozenset(
    {"Native", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary", "JSONEachRow", "JSONLines",
     "NDJSON", "JSONCompactEachRow"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What the client asked: lower-cased ``headers``, URL and form ``parameters``, and our own ``tag`` for KILL."""

    method: str
    headers: Mapping[str, str]
    parameters: Mapping[str, str]
    tag: str

    def integer(self, name: str) -> int:
        text = self.parameters.get(name, "") or "0"
        if not text.isdigit():
            raise store_error(BAD_ARGUMENTS, "BAD_ARGUMENTS", f"Parameter {name} must be a number, not {text[:50]!r}.")
        return int(text)


@dataclass(frozen=True, slots=True)
class Reply:
    """A result: ``chunks`` raises StoreError when the query fails after the first block. ``streamed`` has no length."""

    kind: RequestKind
    format: str
    summary: dict[str, str]
    chunks: Iterator[bytes]
    streamed: bool
    inserted_rows: int = 0


class Executor:
    """Runs requests on one engine; called from worker threads."""

    def __init__(self, engine: Engine, policy: AccessPolicy, sessions: Sessions, disk: DiskGuard) -> None:
        self._engine = engine
        self._disk = disk
        self._policy = policy
        self._sessions = sessions

    def run(self, request: StoreRequest, user: User, slices: Iterator[bytes]) -> Reply:
        """Runs one request. Raises StoreError before any result, or from ``Reply.chunks`` later."""
        started_s = time.monotonic()
        if request.parameters.get("decompress") == "1":
            body = compression.unframe(slices)
        else:
            body = compression.decode(slices, request.headers.get("content-encoding", ""))
        query = request.parameters.get("query", "").encode()
        first = next(body, b"")
        head = query + b"\n" + first if query.strip() and first else query if query.strip() else first
        statement = outline(head)
        if query.strip() and statement.is_insert_with_data and statement.format is None and first:
            statement = _continued_insert(query, first, statement)
        self._reject_files(statement)
        if statement.is_insert_with_data and (statement.format is not None or first):
            return self._insert(request, user, statement, head, query, first, body, started_s)
        return self._query(request, user, statement, _whole(head, body), started_s)

    @staticmethod
    def _reject_files(statement: Statement) -> None:
        for word, clause in (("INFILE", "FROM INFILE"), ("OUTFILE", "INTO OUTFILE")):
            if word in statement.words and clause.split()[0] in statement.words:
                raise store_error(
                    ACCESS_DENIED,
                    "ACCESS_DENIED",
                    f"{clause} would use files of the store's host: send or read the data over HTTP instead.",
                )

    def _lease(self, request: StoreRequest, user: User, statement: Statement) -> Lease:
        parameters = request.parameters
        database = parameters.get("database") or request.headers.get("x-clickhouse-database", "")
        if database in ("", "default"):
            # Clients name `default` when nobody chose one. chDB's overlays the host's files: an unknown table there is
            # a refused file access instead of UNKNOWN_TABLE.
            database = DATABASE
        settings = settings_of(parameters, user)
        # A reader's statements leave nothing behind, so its sessions need no connection of their own.
        session_id = "" if user.is_reader else parameters.get("session_id", "")
        timeout_s = float(request.integer("session_timeout") or 60)
        lease = self._sessions.lease(user.name, session_id, timeout_s, statement.needs_session, database)
        try:
            if user.is_reader:
                settings |= self._policy.reader_limits.settings()
            elif request.method != "POST" and not lease.kept:
                settings["readonly"] = "2"
            lease.configure(
                database=database, tag=request.tag, settings=settings, substitutions=substitutions_of(parameters)
            )
            if user.is_reader:
                lease.connection.restrict_to_reader()
        except BaseException:
            lease.close()
            raise
        return lease

    def _check(self, request: StoreRequest, user: User, lease: Lease, sql: str, statement: Statement) -> None:
        connection = lease.connection
        if user.is_reader:
            count, query_class = connection.classify(sql)
            canonical = connection.canonical(sql)
            self._engine.guard.check(count, query_class, canonical, substitutions_of(request.parameters))
            return
        must_read = request.method != "POST" and statement.first not in ("SET", "USE")
        if must_read or ";" in sql.rstrip().rstrip(";"):
            count, query_class = connection.classify(sql)
            if count > 1:
                raise store_error(
                    SYNTAX_ERROR, "SYNTAX_ERROR", "Multi-statements are not allowed: send them one by one."
                )
            if must_read and query_class != "READ_ONLY":
                raise store_error(READONLY, "READONLY", "GET only reads: use POST for this statement.")

    def _insert(
        self,
        request: StoreRequest,
        user: User,
        statement: Statement,
        head: bytes,
        query: bytes,
        first: bytes,
        body: Iterator[bytes],
        started_s: float,
    ) -> Reply:
        if user.is_reader:
            raise store_error(READONLY, "READONLY", "This user may only read: INSERT needs the writer user.")
        if request.method != "POST":
            raise store_error(READONLY, "READONLY", "GET only reads: use POST for INSERT.")
        clause = statement.format
        if clause is None:
            sql, input_format, start_data = query, "Values", first
        else:
            sql, input_format, start_data = head[: clause.start], clause.name, head[data_start(head, clause) :]
        watch = self._disk.begin()
        with_lease = self._lease(request, user, statement)
        try:
            insert = with_lease.connection.insert(_sql_text(insert_from_file(sql, statement, input_format)))
            try:
                if start_data:
                    insert.append(start_data)
                for data in body:
                    insert.append(data)
                rows, size = insert.finish()
            except BaseException:
                insert.cancel()
                raise
        finally:
            with_lease.close()
        self._disk.confirm(watch)
        return Reply("insert", "TabSeparated", _summary(started_s, written=(rows, size)), iter(()), False, rows)

    def _query(self, request: StoreRequest, user: User, statement: Statement, text: bytes, started_s: float) -> Reply:
        sql = _sql_text(text)
        if not sql.strip():
            raise store_error(SYNTAX_ERROR, "SYNTAX_ERROR", "Empty query.")
        lease = self._lease(request, user, statement)
        try:
            self._check(request, user, lease, sql, statement)
            output_format = _output_format(request, statement)
            revision = request.integer("client_protocol_version")
            if revision and native.is_preflight(sql):
                block = native.preflight_block(self._engine.identity, revision)
                return _close_after(lease, Reply("select", "Native", _summary(started_s), iter((block,)), False))
            if self._can_stream(request, statement, output_format):
                return self._stream(lease, sql, output_format, started_s)
            watch = self._disk.begin() if statement.first == "INSERT" else None
            result = lease.connection.query(sql, output_format)
            if watch is not None:
                self._disk.confirm(watch)
            kind: RequestKind = "select" if statement.is_streamable_select else "other"
            summary = _summary(
                started_s,
                read=(result.read_rows, result.read_bytes),
                written=(result.written_rows, result.written_bytes),
                result=(result.result_rows, len(result.data)),
            )
            chunks = iter((result.data,) if result.data else ())
            reply = Reply(kind, output_format, summary, chunks, False, result.written_rows)
        except BaseException:
            _close_quietly(lease)
            raise
        return _close_after(lease, reply)

    @staticmethod
    def _can_stream(request: StoreRequest, statement: Statement, output_format: str) -> bool:
        # Totals and extremes come after the rows, in a part of their own that the streaming interface leaves out.
        return (
            statement.is_streamable_select
            and output_format in STREAMED_FORMATS
            and "TOTALS" not in statement.words
            and request.parameters.get("extremes", "0") in ("", "0")
            and request.parameters.get("wait_end_of_query") != "1"
        )

    @staticmethod
    def _stream(lease: Lease, sql: str, output_format: str, started_s: float) -> Reply:
        blocks = lease.connection.stream(sql, output_format)
        # The first block before the status, so that most errors get a proper one.
        first = next(blocks, None)

        def chunks() -> Iterator[bytes]:
            try:
                if first is not None:
                    yield first
                yield from blocks
            finally:
                blocks.close()  # type: ignore[attr-defined]
                lease.close()

        if first is None:
            lease.close()
            return Reply("select", output_format, _summary(started_s), iter(()), False)
        return Reply("select", output_format, _summary(started_s), chunks(), True)


def _continued_insert(query: bytes, first: bytes, statement: Statement) -> Statement:
    """The URL holds ``INSERT INTO t``; only a FORMAT, VALUES or SELECT at the body's start still belongs to it."""
    own = outline(query)
    if own.format is not None or outline(first[:4096]).first not in ("FORMAT", "VALUES", "SELECT", "WITH"):
        return own
    return statement


def _whole(head: bytes, body: Iterator[bytes]) -> bytes:
    parts = [head]
    size = len(head)
    for data in body:
        parts.append(data)
        size += len(data)
        if size > MAX_QUERY_BYTES:
            raise store_error(SYNTAX_ERROR, "SYNTAX_ERROR", f"The query is larger than {MAX_QUERY_BYTES} bytes.", 413)
    return b"".join(parts)


def _sql_text(sql: bytes) -> str:
    try:
        return sql.decode()
    except UnicodeDecodeError as error:
        raise store_error(SYNTAX_ERROR, "SYNTAX_ERROR", f"The query is not UTF-8 at byte {error.start}.") from None


def _output_format(request: StoreRequest, statement: Statement) -> str:
    if statement.format is not None and statement.first != "INSERT":
        return statement.format.name
    return request.headers.get("x-clickhouse-format") or request.parameters.get("default_format") or "TabSeparated"


def _summary(
    started_s: float,
    *,
    read: tuple[int, int] = (0, 0),
    written: tuple[int, int] = (0, 0),
    result: tuple[int, int] = (0, 0),
) -> dict[str, str]:
    numbers = {
        "read_rows": read[0],
        "read_bytes": read[1],
        "written_rows": written[0],
        "written_bytes": written[1],
        "total_rows_to_read": 0,
        "result_rows": result[0] or written[0],
        "result_bytes": result[1] or written[1],
        "elapsed_ns": int((time.monotonic() - started_s) * 1e9),
    }
    return {name: str(value) for name, value in numbers.items()}


def _close_after(lease: Lease, reply: Reply) -> Reply:
    lease.close()
    return reply


def _close_quietly(lease: Lease) -> None:
    try:
        lease.close()
    except StoreError:
        # The request's own error is the one to report; the session has already been given up.
        return
