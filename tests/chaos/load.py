"""A process that loads the platform and keeps an independent count of what Kafka has acknowledged.

`python -m chaos.load emitter|plain|mortal FOLDER`; the folder holds `load.json` (what to do) and `control` (run, pause
or stop), and gets `counts.json`. Paused means: everything is acknowledged, and the counts say exactly what was.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import sys
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas import topics
from tokentide_schemas.arrow import table_from_events
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, CONTENT_TYPE_NDJSON, encode_arrow
from tokentide_schemas.event import UsageEvent
from tokentide_schemas.settings import write_json_atomically

PAUSE_S = 0.02
FLUSH_S = 300.0
LATE_SHARE = 0.01
CATEGORIES = ("programming", "roleplay", "science")
COUNTRIES = ("US", "DE", "CN", "")


class Load:
    """What the three kinds share: labels, counts, the control file."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.folder = folder
        self.kafka = str(options["kafka"])
        self.label = str(options["label"])
        self.rate = float(options["rate"])
        self.random = random.Random(int(options["seed"]))
        self.counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.rejected = 0

    def run(self) -> None:
        """Until told to stop."""
        started, made, state = time.monotonic(), 0, "run"
        self.write(state)
        while state != "stop":
            wanted = (self.folder / "control").read_text().strip()
            if wanted in ("pause", "stop") and state == "run":
                self.settle()
                state = wanted
                self.write(state)
            elif wanted == "run" and state == "pause":
                state, started, made = "run", time.monotonic(), 0
                self.write(state)
            if state == "run":
                # After a stall nothing is caught up: the rate is a limit, not a promise.
                due = min(int((time.monotonic() - started) * self.rate) - made, int(self.rate))
                self.send(max(0, due))
                made = int((time.monotonic() - started) * self.rate)
            time.sleep(PAUSE_S)
        self.close()

    def write(self, state: str) -> None:
        """Tell the parent."""
        content = {"state": state, "models": self.counts, "rejected": self.rejected}
        write_json_atomically(self.folder / "counts.json", content)

    def fields(self) -> dict[str, Any]:
        """A random event; some are late."""
        late_s = self.random.uniform(120, 900) if self.random.random() < LATE_SHARE else 0
        model = f"chaos/{self.label}-{self.random.randrange(3)}"
        return {
            "occurred_at": dt.datetime.now(dt.UTC) - dt.timedelta(seconds=late_s),
            "request_model": model,
            "model": model,
            "provider": f"provider-{self.random.randrange(4)}",
            "category": self.random.choice(CATEGORIES),
            "country": self.random.choice(COUNTRIES),
            "app": f"app-{self.random.randrange(5)}",
            "input_uncached_tokens": self.random.randrange(1000),
            "output_tokens": self.random.randrange(200),
            "latency_ms": self.random.randrange(20, 9000),
            "usage_reported": True,
            "outcome": "ok" if self.random.random() < 0.97 else "error",
        }

    def count(self, fields: dict[str, Any]) -> None:
        """One event that is to be stored exactly once."""
        one = self.counts[fields["model"]]
        one[0] += 1
        one[1] += fields["input_uncached_tokens"] + fields["output_tokens"]

    def send(self, events: int) -> None:
        """Send about so many events."""
        raise NotImplementedError

    def settle(self) -> None:
        """Return when everything that was counted is acknowledged."""
        raise NotImplementedError

    def close(self) -> None:
        """End."""


class EmitterLoad(Load):
    """A gateway with the SDK."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        super().__init__(folder, options)
        settings = EmitterSettings(batch_events=200, block_up_to_s=FLUSH_S)
        self.emitter = Emitter(self.kafka, gateway=self.label, settings=settings)

    def send(self, events: int) -> None:
        for _ in range(events):
            fields = self.fields()
            result = self.emitter.emit(**fields)
            assert result, f"{self.label}: not accepted: {result}"
            self.count(fields)

    def settle(self) -> None:
        assert self.emitter.flush(FLUSH_S), f"{self.label}: not acknowledged: {self.emitter.stats()}"
        stats = self.emitter.stats()
        total = sum(requests for requests, _ in self.counts.values())
        assert stats.acknowledged == total, f"{self.label}: {stats}, but {total} were emitted"

    def close(self) -> None:
        self.emitter.close()


class MortalLoad(EmitterLoad):
    """An emitter that may be killed: it says before each event that it may exist, and afterwards what is sure."""

    def send(self, events: int) -> None:
        total = sum(requests for requests, _ in self.counts.values())
        for done in range(0, events, 50):
            self._say(total + min(done + 50, events))
            super().send(min(50, events - done))
        self._say(total + events)

    def fields(self) -> dict[str, Any]:
        model = f"chaos/{self.label}"
        return super().fields() | {"request_model": model, "model": model}

    def _say(self, at_most: int) -> None:
        content = {"at_most": at_most, "at_least": self.emitter.stats().acknowledged}
        write_json_atomically(self.folder / "bounds.json", content)


class PlainLoad(Load):
    """A producer of one's own with identities, which sends many envelopes again, at once or much later."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        super().__init__(folder, options)
        self.producer_id = f"{self.label}-{uuid.uuid4().hex[:12]}"
        self.sequences = [0] * int(options["partitions"])
        self.kafka_producer = Producer(
            {
                "bootstrap.servers": self.kafka,
                "enable.idempotence": True,
                "linger.ms": 20,
                "delivery.timeout.ms": 900_000,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 2,
            }
        )
        self.sent: deque[Callable[[], None]] = deque(maxlen=400)
        self.failures: list[str] = []
        self.owed = 0

    def send(self, events: int) -> None:
        self.owed += events
        while self.owed > 0:
            self.owed -= self._send_one()
            while self.sent and self.random.random() < 0.3:
                self.random.choice(self.sent)()
        self.kafka_producer.poll(0)
        assert not self.failures, self.failures[:3]

    def _send_one(self) -> int:
        rows = [self.fields() for _ in range(self.random.randrange(1, 60))]
        partition = self.random.randrange(len(self.sequences))
        sequence = self.sequences[partition]
        self.sequences[partition] += 1
        if self.random.random() < 0.5:
            events = [UsageEvent.model_validate({**row, "event_id": str(_uuid7(self.random))}) for row in rows]
            value, content_type = encode_arrow(table_from_events(events)), CONTENT_TYPE_ARROW
            total = len(rows)
        else:
            lines = [json.dumps(row | {"occurred_at": row["occurred_at"].isoformat()}) for row in rows]
            bad = self.random.choice((0, 0, 1, 2))
            lines += [json.dumps({**json.loads(lines[0]), "output_tokens": -1})] * bad
            self.random.shuffle(lines)
            self.rejected += bad
            value, content_type, total = "\n".join(lines).encode(), CONTENT_TYPE_NDJSON, len(lines)
        headers = [
            (topics.HEADER_CONTENT_TYPE, content_type.encode()),
            (topics.HEADER_COUNT, str(total).encode()),
            (topics.HEADER_PRODUCER, self.producer_id.encode()),
            (topics.HEADER_SEQUENCE, str(sequence).encode()),
        ]

        def again() -> None:
            while True:
                try:
                    self.kafka_producer.produce(
                        topics.USAGE, value, partition=partition, headers=headers, on_delivery=self._delivered
                    )
                except BufferError:
                    self.kafka_producer.poll(0.1)
                else:
                    return

        again()
        for row in rows:
            self.count(row)
        self.sent.append(again)
        return len(rows)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.failures.append(str(error))

    def settle(self) -> None:
        left = self.kafka_producer.flush(FLUSH_S)
        assert not left and not self.failures, f"{self.label}: {left} not acknowledged, {self.failures[:3]}"


def _uuid7(source: random.Random) -> uuid.UUID:
    value = (time.time_ns() // 1_000_000) << 80 | source.getrandbits(80)
    return uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)


KINDS = {"emitter": EmitterLoad, "plain": PlainLoad, "mortal": MortalLoad}


def main(arguments: list[str]) -> int:
    """Run one load. Status 1 when something that was to be acknowledged was not."""
    kind, folder = arguments[0], Path(arguments[1])
    try:
        KINDS[kind](folder, json.loads((folder / "load.json").read_text())).run()
    except (AssertionError, KafkaException) as error:
        write_json_atomically(folder / "counts.json", {"state": "failed", "why": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
