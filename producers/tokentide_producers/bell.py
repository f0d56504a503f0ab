"""Waking a sleeping thread without a lock that the waker could already hold."""

from __future__ import annotations

import contextlib
import threading


class Bell:
    """One thread sleeps, any thread rings. `ring` takes no lock, so a destructor or a signal handler may call it."""

    def __init__(self) -> None:
        self._rung = threading.Lock()
        self._rung.acquire()

    def ring(self) -> None:
        """Wake the sleeper; when nobody sleeps the next `sleep` returns at once. Ringing twice is ringing once."""
        # It was rung already when the lock is free: there is nothing to add.
        with contextlib.suppress(RuntimeError):
            self._rung.release()

    def sleep(self, timeout_s: float) -> bool:
        """Wait until it rings; False when time is over."""
        return self._rung.acquire(timeout=timeout_s)
