"""An insert's rows, held until all have come: in memory while they are few, else in a file beside the engine's data."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tokentide_deploy.store.errors import NOT_ENOUGH_SPACE, store_error

MEMORY_BYTES = 64 << 20


class Spool:
    """`append`, then give `path` to the engine, which runs in this process; gone after the `with` block.

    Rows stay in memory up to `memory_bytes` where the system has files in memory (Linux).
    """

    def __init__(self, folder: Path, memory_bytes: int = MEMORY_BYTES) -> None:
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._size = 0
        self._in_memory = hasattr(os, "memfd_create")
        self._file: BinaryIO = self._memory_file() if self._in_memory else self._disk_file()

    @property
    def path(self) -> str:
        """Where this process can read the rows; everything appended so far is there."""
        self._file.flush()
        return f"/proc/self/fd/{self._file.fileno()}" if self._in_memory else str(self._file.name)

    def append(self, data: bytes) -> None:
        """Add bytes. Raises StoreError when the disk is full."""
        try:
            self._size += len(data)
            if self._in_memory and self._size > self._memory_bytes:
                self._move_to_disk()
            self._file.write(data)
        except OSError as error:
            raise store_error(
                NOT_ENOUGH_SPACE, "NOT_ENOUGH_SPACE", f"The insert's rows do not fit on the disk: {error.strerror}."
            ) from None

    def close(self) -> None:
        """Drop the rows."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _move_to_disk(self) -> None:
        on_disk = self._disk_file()
        self._file.seek(0)
        while piece := self._file.read(1 << 20):
            on_disk.write(piece)
        self._file.close()
        self._file, self._in_memory = on_disk, False

    @staticmethod
    def _memory_file() -> BinaryIO:
        return os.fdopen(os.memfd_create("tokentide-insert", os.MFD_CLOEXEC), "w+b")

    def _disk_file(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=self._folder, prefix="insert-")  # type: ignore[return-value]
