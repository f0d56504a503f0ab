"""Log files of children: rotated at start, bounded while running, and their last lines for error messages."""

import shutil
from pathlib import Path

MAX_LOG_BYTES = 16 * 1024 * 1024
_KEPT_GENERATIONS = 3
_TAIL_BYTES = 64 * 1024


def rotate(log_file: Path, max_bytes: int = MAX_LOG_BYTES // 2) -> None:
    """At start: move a log that has grown past `max_bytes` to `.1` (`.1` to `.2`, and so on)."""
    if not log_file.exists() or log_file.stat().st_size <= max_bytes:
        return
    _shift(log_file)
    log_file.rename(_generation(log_file, 1))


def bound(log_file: Path, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """While a child writes: copy a log that is too long to `.1` and empty it. Returns whether it did.

    The child keeps its open file (in append mode), so the file cannot simply be renamed. Lines written between copy
    and emptying are lost; the alternative, a pipe through the supervisor, would stall children with it.
    """
    try:
        if log_file.stat().st_size <= max_bytes:
            return False
    except FileNotFoundError:
        return False
    _shift(log_file)
    shutil.copyfile(log_file, _generation(log_file, 1))
    with log_file.open("r+b") as file:
        file.truncate(0)
    return True


def last_lines(log_file: Path, count: int = 15) -> str:
    """The last lines, or a note that there are none."""
    try:
        with log_file.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    return "\n".join(f"  | {line}" for line in text.splitlines()[-count:]) or "  | (nothing was logged)"


def _generation(log_file: Path, number: int) -> Path:
    return log_file.with_name(f"{log_file.name}.{number}")


def _shift(log_file: Path) -> None:
    for number in range(_KEPT_GENERATIONS - 1, 0, -1):
        if _generation(log_file, number).exists():
            _generation(log_file, number).replace(_generation(log_file, number + 1))
