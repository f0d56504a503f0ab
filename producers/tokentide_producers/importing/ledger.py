"""The import ledger: which rows were imported, and the envelopes that are on their way. One SQLite file.

The order that makes an import exact: identities and bytes of an envelope are committed here in one transaction, then it
is sent, then its acknowledgement is noted. What a crash leaves between is sent again under the same identity.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tokentide_producers.importing.events import KEY_BYTES
from tokentide_producers.outgoing import OutgoingEnvelope

_VERSION: Final = "1"
_KEYS_A_QUERY: Final = 10_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS envelopes (
    number INTEGER PRIMARY KEY,
    producer_id TEXT NOT NULL, partition INTEGER NOT NULL, sequence INTEGER NOT NULL,
    events INTEGER NOT NULL, tokens INTEGER NOT NULL,
    journaled_at_ms INTEGER NOT NULL, acknowledged_at_ms INTEGER,
    value BLOB,
    UNIQUE (producer_id, partition, sequence)
);
CREATE INDEX IF NOT EXISTS pending ON envelopes (number) WHERE acknowledged_at_ms IS NULL;
CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, envelope INTEGER NOT NULL) WITHOUT ROWID;
CREATE TEMP TABLE occurrences (content BLOB PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
"""


class LedgerError(Exception):
    """The ledger cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """What the ledger holds. pending: journaled and not known to be acknowledged."""

    rows: int
    envelopes: int
    pending_envelopes: int
    pending_events: int
    oldest_pending_ms: int | None


@dataclass(frozen=True, slots=True)
class Journaled:
    """A pending envelope, and when it was journaled."""

    envelope: OutgoingEnvelope
    journaled_at_ms: int


class Ledger:
    """Opened by one process at a time. cluster_id: the Kafka cluster that it belongs to. Raises LedgerError."""

    def __init__(self, path: Path, cluster_id: str) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=0.5, isolation_level=None)
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            # The journal is a promise: with NORMAL a power cut could take the last commits back.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.execute("COMMIT")
            self._connection.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            raise LedgerError(self._why(error)) from None
        except sqlite3.DatabaseError:
            raise LedgerError(
                f"the import ledger {path} is damaged or no ledger: restore it from a backup, or name another file "
                "with --ledger (docs/import.md says what is promised without it)"
            ) from None
        except OSError as error:
            raise LedgerError(f"the import ledger {path} cannot be opened: {error.strerror}") from None
        self._claim(cluster_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the keys that were journaled before."""
        found: set[bytes] = set()
        for start in range(0, len(keys), _KEYS_A_QUERY):
            part = keys[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            found.update(
                key for (key,) in self._connection.execute(f"SELECT key FROM rows WHERE key IN ({marks})", part)
            )
        return found

    def journal(self, envelopes: Iterable[tuple[OutgoingEnvelope, Sequence[bytes]]], now_ms: int) -> None:
        """Commit envelopes with their identity and the keys of their rows: all or none, on the disk when it returns."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for envelope, keys in envelopes:
                number = execute(
                    "INSERT INTO envelopes (producer_id, partition, sequence, events, tokens, journaled_at_ms, value) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(envelope.producer_id, envelope.partition, envelope.sequence),
                        *(envelope.events, envelope.tokens, now_ms, envelope.value),
                    ),
                ).lastrowid
                self._connection.executemany("INSERT INTO rows VALUES (?, ?)", ((key, number) for key in sorted(keys)))
        except BaseException as error:
            execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise LedgerError(self._why(error)) from None
            raise
        execute("COMMIT")

    def acknowledge(self, envelopes: Iterable[OutgoingEnvelope], now_ms: int) -> None:
        """Note that Kafka has these; their bytes are no longer needed."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "UPDATE envelopes SET acknowledged_at_ms = ?, value = NULL "
            "WHERE producer_id = ? AND partition = ? AND sequence = ?",
            ((now_ms, one.producer_id, one.partition, one.sequence) for one in envelopes),
        )
        self._connection.execute("COMMIT")

    def pending(self) -> Iterator[Journaled]:
        """Envelopes without a known acknowledgement, oldest first."""
        found = self._connection.execute(
            "SELECT value, events, tokens, producer_id, partition, sequence, journaled_at_ms FROM envelopes "
            "WHERE acknowledged_at_ms IS NULL ORDER BY number"
        ).fetchall()
        for value, events, tokens, producer_id, partition, sequence, journaled_at_ms in found:
            envelope = OutgoingEnvelope(value, events, tokens, 0, producer_id, partition, sequence)
            yield Journaled(envelope, journaled_at_ms)

    def totals(self) -> LedgerTotals:
        """What is in the ledger."""
        rows, envelopes = (
            int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in ("rows", "envelopes")
        )
        pending = self._connection.execute(
            "SELECT count(*), coalesce(sum(events), 0), min(journaled_at_ms) FROM envelopes "
            "WHERE acknowledged_at_ms IS NULL"
        ).fetchone()
        return LedgerTotals(rows, envelopes, *pending)

    def fact(self, name: str) -> str | None:
        """A remembered value, such as how far a table was read."""
        found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def remember(self, name: str, value: str) -> None:
        """Keep a value."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def begin_source(self) -> None:
        """A new file begins: rows that are equal are counted from one again."""
        self._connection.execute("DELETE FROM occurrences")

    def occurrence(self, content: str) -> int:
        """How often this content has come in the present file, this time included."""
        digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        return int(
            self._connection.execute(
                "INSERT INTO occurrences VALUES (?, 1) ON CONFLICT DO UPDATE SET seen = seen + 1 RETURNING seen",
                (digest,),
            ).fetchone()[0]
        )

    def _claim(self, cluster_id: str) -> None:
        version, owner = self.fact("version"), self.fact("kafka_cluster_id")
        if version not in (None, _VERSION):
            self.close()
            raise LedgerError(f"the import ledger {self.path} is of another version ({version}); upgrade tokentide")
        if cluster_id and owner not in (None, cluster_id):
            self.close()
            raise LedgerError(
                f"the import ledger {self.path} belongs to the Kafka cluster {owner}, this one is {cluster_id}: its "
                "rows were imported there. For a new cluster name another file with --ledger"
            )
        self.remember("version", _VERSION)
        if cluster_id:
            self.remember("kafka_cluster_id", cluster_id)

    def _why(self, error: sqlite3.OperationalError) -> str:
        if "locked" in str(error):
            return f"another tokentide import uses the ledger {self.path}; wait until it has ended"
        return f"the import ledger {self.path} cannot be written: {error}; is the disk full, or not yours to write?"
