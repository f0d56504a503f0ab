"""Sessions (``session_id``): a kept connection once a statement leaves state behind, a fresh one otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tokentide_deploy.store.engine import EngineConnection
from tokentide_deploy.store.errors import SESSION_IS_LOCKED, StoreError, store_error
from tokentide_deploy.store.sqltext import literal

MAX_SESSION_TIMEOUT_S = 3600.0


@dataclass(slots=True)
class _Kept:
    connection: EngineConnection
    expires_s: float
    busy: threading.Lock = field(default_factory=threading.Lock)


class Lease:
    """A connection for one request; ``kept`` when it belongs to a session. Close it exactly once."""

    def __init__(self, connection: EngineConnection, on_close: Callable[[bool], None] | None) -> None:
        self.connection = connection
        self.kept = on_close is not None
        self._on_close = on_close
        self._undo = ""
        self._closed = False

    def configure(
        self, *, database: str, tag: str, settings: Mapping[str, str], substitutions: Mapping[str, str]
    ) -> None:
        """Applies a request's database, parameters and settings; a kept connection gets them undone at close."""
        if self.kept and settings:
            self._undo = _undo_statement(self.connection, settings)
        if self.kept:
            # The session's own USE wins over the client's constant `database=`.
            database = ""
        self.connection.configure(database=database, tag=tag, values={**substitutions, **settings})

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._on_close is None:
            self.connection.close()
            return
        healthy = True
        try:
            if self._undo:
                self.connection.execute(self._undo)
        except StoreError:
            # Settings that cannot be undone would leak into the session's next query: give the session up.
            healthy = False
            raise
        finally:
            self._on_close(healthy)


def _undo_statement(connection: EngineConnection, settings: Mapping[str, str]) -> str:
    names = ", ".join(literal(name) for name in settings)
    rows = connection.query(
        f"SELECT name, value, changed FROM system.settings WHERE name IN ({names})", "JSONCompactEachRow"
    ).data
    assignments = []
    for line in rows.splitlines():
        name, value, changed = json.loads(line)
        assignments.append(f"{name}={literal(value)}" if changed else f"{name}=DEFAULT")
    return "SET " + ", ".join(assignments) if assignments else ""


class Sessions:
    """The kept sessions of one store; ``now_s`` is a monotonic clock."""

    def __init__(self, connect: Callable[[], EngineConnection], now_s: Callable[[], float]) -> None:
        self._connect = connect
        self._now_s = now_s
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], _Kept] = {}

    def lease(self, user: str, session_id: str, timeout_s: float, needs_session: bool, database: str) -> Lease:
        """A connection for one request. Raises StoreError 373 while the session runs another one."""
        if not session_id:
            return Lease(self._connect(), None)
        key = (user, session_id)
        with self._lock:
            self._expire()
            kept = self._kept.get(key)
            if kept is None:
                connection = self._connect()
                if not needs_session:
                    return Lease(connection, None)
                if database:
                    connection.configure(database=database, tag="", values={})
                kept = self._kept[key] = _Kept(connection, 0.0)
            if not kept.busy.acquire(blocking=False):
                raise store_error(
                    SESSION_IS_LOCKED, "SESSION_IS_LOCKED", f"Session {session_id} is locked by a concurrent client."
                )
            kept.expires_s = self._now_s() + min(timeout_s, MAX_SESSION_TIMEOUT_S)
        held = kept

        def give_back(healthy: bool) -> None:
            if not healthy:
                with self._lock:
                    self._kept.pop(key, None)
                held.connection.close()
            held.busy.release()

        return Lease(held.connection, give_back)

    def _expire(self) -> None:
        now_s = self._now_s()
        for key, kept in list(self._kept.items()):
            if kept.expires_s < now_s and not kept.busy.locked():
                del self._kept[key]
                kept.connection.close()

    def close(self) -> None:
        with self._lock:
            for kept in self._kept.values():
                kept.connection.close()
            self._kept.clear()
