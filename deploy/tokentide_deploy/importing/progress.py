"""The progress bar of an import of files: bytes read, events acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

_EVERY_S: Final = 0.1


class FileProgress:
    """One bar over all files. Packed files count as they are on the disk."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[acknowledged]:,} events acknowledged"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("importing", total=sum(path.stat().st_size for path in files), acknowledged=0)
        self._acknowledged = 0
        self._done = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def reading(self, path: Path) -> Callable[[int], None]:
        """For `read_rows`: moves the bar, not at each row."""
        start, self._done = self._done, self._done + path.stat().st_size
        next_s = 0.0

        def on_bytes(read: int) -> None:
            nonlocal next_s
            now_s = time.monotonic()
            if now_s >= next_s:
                next_s = now_s + _EVERY_S
                self._bar.update(self._task, completed=start + read)

        return on_bytes

    def acknowledged(self, events: int) -> None:
        """For the delivery: so many more events are acknowledged."""
        self._acknowledged += events
        is_over = self._bar.tasks[0].finished
        self._bar.update(self._task, acknowledged=self._acknowledged, refresh=is_over)
