"""What an answer means, and when to try again. Pure: time and randomness are arguments."""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final

FIRST_WAIT_S: Final = 2.0
WAIT_FACTOR: Final = 4.0
LONGEST_WAIT_S: Final = 900.0
LONGEST_RETRY_AFTER_S: Final = 3_600.0
_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Verdict(Enum):
    """DELIVERED: the receiver has it. TRY_AGAIN: it may have it later. REFUSED: it never will."""

    DELIVERED = "delivered"
    TRY_AGAIN = "try again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """One attempt. error: what went wrong and what to do; '' when delivered. retry_after_s: what the receiver asked."""

    verdict: Verdict
    http_status: int | None = None
    error: str = ""
    retry_after_s: float | None = None
    latency_ms: int = 0

    @property
    def is_delivered(self) -> bool:
        """The receiver has it."""
        return self.verdict is Verdict.DELIVERED


def judge(status: int, retry_after: str | None, now: dt.datetime) -> DeliveryResult:
    """What a receiver's HTTP status means."""
    if 200 <= status < 300:
        return DeliveryResult(Verdict.DELIVERED, status)
    text = f"answered {status}{_phrase(status)}"
    if status in _TRY_AGAIN or status >= 500:
        return DeliveryResult(Verdict.TRY_AGAIN, status, text, parse_retry_after(retry_after, now))
    if 300 <= status < 400:
        hint = "redirects are not followed: put the final address into the alerts file"
    elif status in (401, 403):
        hint = "check the receiver's address and secret in the alerts file"
    elif status in (404, 410):
        hint = "nothing listens at this address any more: correct it in the alerts file"
    else:
        hint = "it will not take this message; see the receiver's own log"
    return DeliveryResult(Verdict.REFUSED, status, f"{text}; {hint}")


def parse_retry_after(value: str | None, now: dt.datetime) -> float | None:
    """Seconds of a Retry-After header (a number or a date), at most an hour; None for none and for nonsense."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return min(max(0.0, (at - now).total_seconds()), LONGEST_RETRY_AFTER_S)


def wait_s(attempts: int, retry_after_s: float | None, jitter: Callable[[], float]) -> float:
    """Seconds until the next attempt after `attempts` failed ones. What the receiver asks for is never undercut."""
    planned = min(FIRST_WAIT_S * WAIT_FACTOR ** (max(1, attempts) - 1), LONGEST_WAIT_S) * (0.75 + jitter() / 2)
    return max(planned, retry_after_s or 0.0)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""
