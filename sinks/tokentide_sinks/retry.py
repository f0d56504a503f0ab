"""Waiting out a store that is away, without leaving the consumer group and without reading further."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from tokentide_sinks.store import StoreUnavailableError

log = logging.getLogger(__name__)
T = TypeVar("T")

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0


class StoppedError(Exception):
    """The process was asked to stop while it waited."""


class Retries:
    """Counts repeated tries of this process."""

    def __init__(self) -> None:
        self.total = 0

    def add(self) -> None:
        """One more."""
        self.total += 1


retries: Final = Retries()


def waits(jitter: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait before each further try: doubling, with jitter, at most `LONGEST_WAIT_S`."""
    wait_s = FIRST_WAIT_S
    while True:
        yield wait_s * (0.5 + jitter() / 2)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def until_available(
    action: Callable[[], T], what: str, stop: threading.Event, meanwhile: Callable[[], None] = lambda: None
) -> T:
    """Repeat `action` while the store is unavailable.

    `meanwhile` runs about every 100 ms of waiting (a consumer polls there to stay in its group) and may raise to give
    up. Raises StoppedError when `stop` is set, and whatever else `action` raises.
    """
    for wait_s in waits():
        try:
            return action()
        except StoreUnavailableError as error:
            retries.add()
            log.warning("%s: the store is unavailable, trying again: %s", what, error)
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if stop.wait(0.05):
                raise StoppedError(what)
            meanwhile()
    raise AssertionError("waits() never ends")
