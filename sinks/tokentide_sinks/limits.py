"""When to stop instead of filling the dead letters: a whole deployment is wrong, not a few records. Pure.

Time is the log's (append times), so a backlog is judged as it came and not as fast as it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tokentide_schemas.rejections import Rejection

EXIT_STOPPED_BY_LIMIT: Final = 78
"""Exit status of a sink that a limit stopped: starting it again changes nothing until somebody acts."""


class RefusalLimitError(Exception):
    """Too much is refused; nothing of it was settled and the position stays."""


@dataclass(frozen=True, slots=True)
class RefusalLimits:
    """max_ratio: refused share of the records in `window_s` seconds of log time, above which a partition stops, once
    it had `min_records` records in that time; 1 turns it off. max_consecutive: whole records refused one after another;
    0 turns it off."""

    max_ratio: float
    min_records: int
    window_s: int
    max_consecutive: int


class RefusalWatch:
    """Watches one partition's records in offset order."""

    def __init__(self, limits: RefusalLimits) -> None:
        self._limits = limits
        self._now_s = 0
        self._seconds: dict[int, tuple[int, float]] = {}
        self._records = 0
        self._refused = 0.0
        self._consecutive = 0
        self._reasons: Counter[str] = Counter()
        self._samples: dict[str, str] = {}

    def restore(self, second: int, records: int, refused: float) -> None:
        """Take up a second of log time from the ledger, in ascending order."""
        self._add(second, records, refused)

    def restore_consecutive(self, records: int) -> None:
        """Take up how many records in a row were refused as a whole."""
        self._consecutive = records

    def observe(self, appended_at_ms: int, events: int, rejections: Iterable[Rejection], rejected_events: int) -> None:
        """Count one record."""
        refused = rejected_events / events if events else 0.0
        self._add(appended_at_ms // 1000, 1, refused)
        self._consecutive = self._consecutive + 1 if refused >= 1 else 0
        for rejection in rejections:
            reason = str(rejection.reason)
            self._reasons[reason] += 1
            self._samples.setdefault(reason, rejection.detail)

    def problem(self) -> str | None:
        """What is over a limit, in words, or None."""
        limits = self._limits
        if 0 < limits.max_consecutive <= self._consecutive:
            return f"{self._consecutive:,} records in a row were refused (limit {limits.max_consecutive:,})"
        ratio = self._refused / self._records if self._records else 0.0
        if self._records >= limits.min_records and ratio > limits.max_ratio:
            return (
                f"{ratio:.0%} of {self._records:,} records in {limits.window_s} s of log time were refused "
                f"(limit {limits.max_ratio:.0%})"
            )
        return None

    def reasons(self) -> str:
        """The most frequent reasons since this process took the partition, each with a sample."""
        most = self._reasons.most_common(3)
        return "; ".join(f"{reason} {count:,} times ({self._samples[reason]})" for reason, count in most)

    def _add(self, second: int, records: int, refused: float) -> None:
        self._now_s = max(self._now_s, second)
        oldest = self._now_s - self._limits.window_s
        if second > oldest:
            before_records, before_refused = self._seconds.get(second, (0, 0.0))
            self._seconds[second] = (before_records + records, before_refused + refused)
            self._records += records
            self._refused += refused
        for gone in [known for known in self._seconds if known <= oldest]:
            count, share = self._seconds.pop(gone)
            self._records -= count
            self._refused -= share


def advice(partition: int, offset: int, watch: RefusalWatch, problem: str) -> str:
    """The message of a sink that stops."""
    return (
        f"partition {partition} from offset {offset}: {problem}. Most of all: {watch.reasons()}. None of these went to "
        "the dead letters; the position stays before them and nothing is lost. Find the sender (tokentide dlq list "
        "shows the earlier ones) and correct it, or upgrade tokentide when the senders are newer. To let these records "
        "become dead letters and go on, start once with TOKENTIDE_SINK_MAX_REFUSED_RATIO=1 "
        "TOKENTIDE_SINK_MAX_CONSECUTIVE_REFUSED=0; tokentide dlq replay can take them back later."
    )
