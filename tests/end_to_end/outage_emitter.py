"""A gateway that is a process of its own: emits at a rate and writes down, outside itself, what was acknowledged.

    python -m end_to_end.outage_emitter KAFKA SPOOL NAME EVENTS_PER_S JOURNAL

Each line of the journal is a number: so many events, from 0, are acknowledged by Kafka or lie fsynced in the spool.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SpoolSettings

MODEL = "outage-test/model"
TURN_S = 0.02


class Gateway:
    """Emits in the main thread; another one flushes, over and over, and keeps the journal."""

    def __init__(self, kafka: str, spool: Path, name: str, events_per_s: int, journal: Path) -> None:
        settings = EmitterSettings(spool=SpoolSettings(directory=spool))
        self.emitter = Emitter(kafka, gateway=name, settings=settings, resolve_model=str)
        self.name, self.events_per_s = name, events_per_s
        self.emitted = 0
        self.stopping = threading.Event()
        # Unbuffered and of the operating system: what is written outlives a kill -9 of this process.
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def run(self) -> None:
        keeper = threading.Thread(target=self._keep_journal)
        keeper.start()
        started_s = time.monotonic()
        while not self.stopping.is_set():
            while self.emitted < (time.monotonic() - started_s) * self.events_per_s:
                result = self.emitter.emit(
                    request_model=MODEL,
                    model=MODEL,
                    provider="p",
                    request_id=f"{self.name}-{self.emitted}",
                    input_uncached_tokens=1,
                    output_tokens=1,
                    usage_reported=True,
                    outcome="ok",
                )
                assert result, result
                self.emitted += 1
            self.stopping.wait(TURN_S)
        keeper.join()
        assert self.emitter.close(120), self.emitter.stats()
        self._write(self.emitted)

    def _keep_journal(self) -> None:
        while not self.stopping.wait(0.2):
            emitted = self.emitted
            if self.emitter.flush(60):
                self._write(emitted)

    def _write(self, acknowledged: int) -> None:
        os.write(self._journal, f"{acknowledged}\n".encode())


def main() -> None:
    kafka, spool, name, events_per_s, journal = sys.argv[1:]
    gateway = Gateway(kafka, Path(spool), name, int(events_per_s), Path(journal))
    signal.signal(signal.SIGTERM, lambda *_: gateway.stopping.set())
    gateway.run()


if __name__ == "__main__":
    main()
