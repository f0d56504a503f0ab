"""Download progress: a bar on a terminal, a few plain lines anywhere else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

_PLAIN_STEP = 0.2
_BYTES_PER_MB = 1e6


class DownloadProgress:
    """Counts bytes from several threads; `track` is jgo's progress callback."""

    def __init__(self, title: str, total_bytes: int, done_bytes: int, output: TextIO) -> None:
        self._title = title
        self._total_bytes = total_bytes
        self._done_bytes = done_bytes
        self._output = output
        self._lock = threading.Lock()
        self._next_share = _PLAIN_STEP
        self._bar: Progress | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Make every running download stop at its next chunk."""
        self._cancelled = True

    def __enter__(self) -> "DownloadProgress":
        console = Console(file=self._output)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task(
                f"Fetching {self._title}", total=self._total_bytes, completed=self._done_bytes
            )
            self._bar.start()
        else:
            self._line(f"fetching {self._total_bytes / _BYTES_PER_MB:.0f} MB (once; cached for the next start)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif error is None:
            self._line("fetched and verified")

    @contextmanager
    def track(self, _file_name: str, _file_bytes: int) -> Iterator[Callable[[int], None]]:
        """Count the bytes of one file."""
        yield self._advance

    def _advance(self, count: int) -> None:
        if self._cancelled:
            raise InterruptedError("the download was cancelled")
        if self._bar is not None:
            self._bar.advance(self._task, count)
            return
        with self._lock:
            self._done_bytes += count
            share = self._done_bytes / self._total_bytes
            if share < self._next_share:
                return
            self._next_share = share - share % _PLAIN_STEP + _PLAIN_STEP
            self._line(f"{min(share, 1.0):.0%} of {self._total_bytes / _BYTES_PER_MB:.0f} MB")

    def _line(self, text: str) -> None:
        self._output.write(f"{self._title}: {text}\n")
        self._output.flush()
