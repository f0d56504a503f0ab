"""One process a data directory: a lock file of our own, taken before the engine, so that errors name the owner."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

LOCK_NAME = "store.lock"


class DirectoryTakenError(Exception):
    """Another process owns the data directory; ``pid`` is its id, or None where its file does not say."""

    def __init__(self, directory: Path, pid: int | None) -> None:
        owner = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"the data directory {directory} is in use by {owner}: stop it, connect to it, or use another --data-dir"
        )
        self.pid = pid


class DirectoryLock:
    """Holds an exclusive lock on ``directory`` until closed; the kernel releases it however the process ends."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise DirectoryTakenError(directory, int(text) if text.isdigit() else None) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)
