"""The notifier as a process: real receivers, a broker, and deaths at the worst moments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sinks.notify.alerts_world import AlertsTopic, FakeReceiver, an_alert, lately
from tokentide_schemas import crash_points
from tokentide_schemas.alert_deliveries import DeliveryOutcome

MakeReceiver = Callable[..., FakeReceiver]


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = 40.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.02)


class Notify:
    """`python -m tokentide_sinks.notify`, started and killed at will."""

    def __init__(self, folder: Path, topic: AlertsTopic) -> None:
        self._folder = folder
        self._topic = topic
        self.process: subprocess.Popen[bytes] | None = None
        self.crash_file = folder / "crash"
        self.status_file = folder / "status.json"
        self.log = folder / "log"

    def start(self, *receivers: dict[str, Any]) -> Notify:
        file = self._folder / "alerts.yaml"
        file.write_text(yaml.safe_dump({"receivers": list(receivers)}))
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": self._topic.servers,
            "TOKENTIDE_ALERTS_FILE": str(file),
            "TOKENTIDE_READY_FILE": str(ready),
            "TOKENTIDE_STATUS_FILE": str(self.status_file),
            "TOKENTIDE_KAFKA_SESSION_TIMEOUT_S": "6",
            crash_points.VARIABLE: str(self.crash_file),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tokentide_sinks.notify"], env=environment, stdout=log, stderr=log
            )
        wait_until(lambda: ready.exists() or self.ended, "the notifier to be ready")
        return self

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.log.read_text()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def notify(tmp_path: Path, alerts_topic: AlertsTopic) -> Iterator[Notify]:
    running = Notify(tmp_path, alerts_topic)
    yield running
    running.kill()


def hook(server: FakeReceiver, name: str = "hook", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "webhook", "url": server.url, **more}


def told(server: FakeReceiver) -> list[tuple[int, str]]:
    bodies = [json.loads(one.body) for one in server.got]
    return [(int(body["alert_id"].rpartition("-")[2], 16), body["state"]) for body in bodies]


def test_one_receiver_that_fails_then_answers_and_one_that_hangs_do_not_hold_the_third(
    notify: Notify, alerts_topic: AlertsTopic, receiver: MakeReceiver
) -> None:
    good = receiver()
    failing = receiver(lambda before: (503, {}) if before == 0 else (200, {}))
    hanging = receiver(lambda _before: (0, {}))
    refusing = receiver(lambda _before: (404, {}))
    notify.start(
        hook(good, "good"),
        hook(failing, "failing"),
        hook(hanging, "hanging", timeout_s=60),
        hook(refusing, "refusing"),
    )
    alerts_topic.say(lately(an_alert(1)), lately(an_alert(2)), lately(an_alert(2, "resolved")))
    wait_until(lambda: len(good.got) == 2, "the good receiver")
    # The second one had ended before it could be told.
    assert told(good) in ([(1, "firing"), (2, "resolved")], [(1, "firing"), (2, "firing")])
    wait_until(lambda: failing.got and failing.got[0].body in [one.body for one in failing.got[1:]], "the repeat")
    assert len(hanging.got) == 1
    wait_until(
        lambda: (
            {(d.receiver, d.outcome) for d in alerts_topic.deliveries()}
            >= {
                ("good", DeliveryOutcome.DELIVERED),
                ("failing", DeliveryOutcome.RETRYING),
                ("failing", DeliveryOutcome.DELIVERED),
                ("refusing", DeliveryOutcome.REFUSED),
            }
        ),
        "the records",
    )
    wait_until(lambda: json.loads(notify.status_file.read_text())["waiting"]["good"] == 0, "the status")
    status = json.loads(notify.status_file.read_text())
    assert status["waiting"]["hanging"] > 0 and status["attempts_total"]["refused"] > 0
    assert "404" in status["last_errors"]["refusing"]


def test_a_clean_restart_tells_nothing_twice_and_loses_nothing_said_meanwhile(
    notify: Notify, alerts_topic: AlertsTopic, receiver: MakeReceiver
) -> None:
    server = receiver()
    notify.start(hook(server))
    alerts_topic.say(lately(an_alert(1)))
    wait_until(lambda: len(server.got) == 1, "the first alert")
    notify.stop()
    alerts_topic.say(lately(an_alert(2)), lately(an_alert(1, "resolved")))
    notify.start(hook(server))
    wait_until(lambda: len(server.got) == 3, "what was said meanwhile")
    notify.stop()
    assert sorted(told(server)) == [(1, "firing"), (1, "resolved"), (2, "firing")]


def test_killed_after_the_record_and_before_the_commit_it_tells_nothing_twice(
    notify: Notify, alerts_topic: AlertsTopic, receiver: MakeReceiver
) -> None:
    server = receiver()
    notify.start(hook(server))
    # The first commit is of the empty topic; the next follows the record.
    alerts_topic.say(lately(an_alert(1)))
    wait_until(lambda: len(alerts_topic.deliveries()) == 1, "the record")
    notify.kill()
    alerts_topic.say(lately(an_alert(2)))
    notify.start(hook(server))
    wait_until(lambda: len(server.got) == 2, "the second alert")
    notify.stop()
    assert sorted(told(server)) == [(1, "firing"), (2, "firing")]


def test_killed_between_telling_and_recording_it_tells_once_more_with_the_same_key(
    notify: Notify, alerts_topic: AlertsTopic, receiver: MakeReceiver
) -> None:
    server = receiver()
    notify.start(hook(server))
    crash_points.arm(notify.crash_file, "notify:after-delivery")
    alerts_topic.say(lately(an_alert(1)))
    wait_until(lambda: notify.ended, "the notifier's death")
    assert len(server.got) == 1
    notify.start(hook(server))
    wait_until(lambda: len(alerts_topic.deliveries()) == 1, "the record")
    notify.stop()
    keys = [one.headers["Idempotency-Key"] for one in server.got]
    assert len(keys) == 2 and len(set(keys)) == 1


def test_an_unusable_alerts_file_ends_it_with_the_reason(notify: Notify) -> None:
    notify.start({"name": "hook", "type": "webhook"})
    assert notify.process is not None and notify.process.wait(10) == 1
    assert "url" in notify.log.read_text()
