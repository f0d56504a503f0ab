"""The previous release's code in its own environment, and the data directory that is committed as its fixture.

PYTHONPATH=tests python -m end_to_end.previous_release   # makes tests/data/previous_release/ anew; needs the history
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from end_to_end.harness import Stack, wait_until
from end_to_end.plain_events import send, settled
from tokentide_schemas import topics
from tokentide_schemas.retention import RetentionSettings

ROOT: Final = Path(__file__).parents[2]
FIXTURE: Final = ROOT / "tests/data/previous_release"
BACKUP: Final = FIXTURE / "backup.tar.xz"
EXPECTED: Final = FIXTURE / "expected.json"
RELEASE: Final = (FIXTURE / "commit.txt").read_text().strip()
PLAIN_EVENTS: Final = 40
EMITTED_EVENTS: Final = 60
UNREAD_EVENTS: Final = 20

_EMIT = """
import sys
from tokentide_producers.emitter import Emitter
with Emitter(sys.argv[1], gateway="previous") as emitter:
    for number in range(int(sys.argv[2])):
        result = emitter.emit(
            request_model=f"acme/model-{number % 3}", provider="acme", outcome="ok", usage_reported=True,
            input_uncached_tokens=1000 + number, output_tokens=7, category="programming",
        )
    assert emitter.flush(60)
"""


class PreviousStack(Stack):
    """A stack of the previous release: its commands run in its own environment."""

    def __init__(self, data_dir: Path, python: Path, *arguments: str) -> None:
        super().__init__(data_dir, *arguments)
        self.python = python
        self.command = [str(python), "-m", "tokentide_deploy.cli"]

    def emit(self, events: int) -> None:
        """By the previous release's emitter, in its envelopes; returns when Kafka has acknowledged them."""
        subprocess.run([str(self.python), "-c", _EMIT, self.kafka, str(events)], check=True, timeout=120)


def history_has_it() -> bool:
    """Whether this clone's history holds the previous release."""
    known = subprocess.run(["git", "cat-file", "-e", f"{RELEASE}^{{commit}}"], cwd=ROOT, capture_output=True)
    return known.returncode == 0


def install(folder: Path) -> Path:
    """The previous release with the packages of its own lock; the interpreter of that environment."""
    source, environment = folder / "source", folder / "environment"
    source.mkdir(parents=True)
    archive = folder / "source.tar"
    subprocess.run(["git", "archive", "--output", str(archive), RELEASE], cwd=ROOT, check=True)
    shutil.unpack_archive(archive, source, filter="data")
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin" / "python"
    into = [*uv, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*into, "--require-hashes", "-r", str(source / "requirements-dev.lock")], check=True)
    subprocess.run([*into, "--no-deps", "--no-build-isolation", "-e", str(source)], check=True)
    return python


def fill(stack: PreviousStack) -> dict[str, Any]:
    """Events that the previous release stores, then some that Kafka has and nobody has read; the sums of the former."""
    send(stack, PLAIN_EVENTS)
    stack.emit(EMITTED_EVENTS)
    # Refused as it is no event: a dead letter, and a gap in the offsets' account that must stay explained.
    stack.send(b"no event", [("content-type", b"application/json")])
    wait_until(lambda: stack.value("SELECT count() FROM dead_letters") == 1, "the dead letter", 60)
    raw, rollup = settled(stack, PLAIN_EVENTS + EMITTED_EVENTS)
    for name in ("events-sink", "stream"):
        os.kill(stack.pid(name), signal.SIGSTOP)
    stack.emit(UNREAD_EVENTS)
    return {"raw": [list(row) for row in raw], "rollup": [list(row) for row in rollup]}  # type: ignore[attr-defined]


def restore(stack: Stack, unpack_to: Path) -> None:
    """Put the committed data directory where `stack` will start on it."""
    with lzma.open(BACKUP) as packed, unpack_to.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    stack.run("backup", "restore", str(unpack_to))


def _keep_for_ever(stack: PreviousStack) -> None:
    # The fixture is as old as its commit: neither Kafka nor the store may drop what the test counts.
    variables = {f"TOKENTIDE_RETENTION_{name.upper()}": "0" for name in RetentionSettings.model_fields}
    command = [*stack.command, "retention", "apply", "--data-dir", str(stack.data_dir)]
    subprocess.run(command, env={**os.environ, **variables}, check=True, stdout=subprocess.DEVNULL)
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    entry = ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)
    kept = [one.name for one in topics.topics() if "retention.ms" in one.config]
    asked = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in kept]
    for future in admin.incremental_alter_configs(asked).values():
        future.result(30)


def make(say: Callable[[str], object]) -> None:
    """Write the fixture. The folder's name stands in files of it, so it is the same everywhere."""
    with tempfile.TemporaryDirectory(prefix="tokentide-previous-") as name:
        folder = Path(name)
        stack = PreviousStack(folder / "stack", install(folder / "release"))
        with stack:
            _keep_for_ever(stack)
            stored = fill(stack)
            say(f"stored: {stored}")
        plain = folder / "backup.tar"
        Stack(stack.data_dir).run("backup", "create", str(plain))
        with plain.open("rb") as source, lzma.open(BACKUP, "wb", preset=9 | lzma.PRESET_EXTREME) as packed:
            shutil.copyfileobj(source, packed)
        say(f"{plain.stat().st_size:,} bytes, packed {BACKUP.stat().st_size:,}")
    EXPECTED.write_text(json.dumps({"release": RELEASE, **stored}, indent=1) + "\n")


if __name__ == "__main__":
    make(print)
