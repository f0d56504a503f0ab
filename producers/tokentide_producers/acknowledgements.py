"""Sending until everything is acknowledged, or until Kafka has stopped to answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from tokentide_producers.sender import EnvelopeSender


class Acknowledgements:
    """Serves the sender and watches that acknowledgements come; `on_acknowledged` gets the number of new ones."""

    def __init__(self, sender: EnvelopeSender, timeout_s: float, on_acknowledged: Callable[[int], None]) -> None:
        self._sender = sender
        self._timeout_s = timeout_s
        self._on_acknowledged = on_acknowledged
        self._seen = 0
        self._seen_at_s = time.monotonic()

    def serve(self, wait_s: float) -> bool:
        """One turn; False when something is outstanding and nothing was acknowledged for the timeout."""
        self._sender.service(wait_s)
        acknowledged = self._sender.stats().acknowledged_events
        if acknowledged > self._seen or not self._sender.outstanding_envelopes:
            self._on_acknowledged(acknowledged - self._seen)
            self._seen, self._seen_at_s = acknowledged, time.monotonic()
        return time.monotonic() - self._seen_at_s < self._timeout_s
