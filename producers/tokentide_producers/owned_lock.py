"""A lock that can tell its holder from others: a destructor may run in the middle of the block that holds it."""

from __future__ import annotations

import threading
from typing import Self


class OwnedLock:
    """Not reentrant. `threading.Condition` takes it as its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def is_mine(self) -> bool:
        """True when this very thread holds it: to acquire it now would be to wait for ever."""
        return self._owner == threading.get_ident()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.Lock.acquire`."""
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner = threading.get_ident()
        return True

    def release(self) -> None:
        """As `threading.Lock.release`."""
        self._owner = None
        self._lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
