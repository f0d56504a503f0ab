"""`tokentide up` from lock to clean stop, with small programs in place of the components."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

from tokentide_deploy.data_dir import DataDir
from tokentide_deploy.errors import NoStackRunningError
from tokentide_deploy.stack_state import load_stack

CHILD = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("bootstrap", os.environ["TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS"], flush=True)
def report():
    status = {"component": "events-sink", "updated_at_ms": int(time.time() * 1000), "lag_records": 9,
              "stored_events_total": 5678, "stored_tokens_total": 1}
    partial = os.environ["TOKENTIDE_STATUS_FILE"] + ".partial"
    open(partial, "w").write(json.dumps(status)); os.replace(partial, os.environ["TOKENTIDE_STATUS_FILE"])
report()
open(os.environ["TOKENTIDE_READY_FILE"], "w").write("{}")
while True: time.sleep(60)
"""
# The command line with two fake components instead of the platform's; everything else is the real thing.
PROGRAM = f"""
import sys
from tokentide_deploy import cli, stack
from tokentide_deploy.commands import up_components
def fake(plan):
    def one(name):
        ready = plan.data_dir.ready_file(name)
        return up_components.ComponentSpec(name, (sys.executable, "-c", {CHILD!r}),
            up_components._environment(plan, name), plan.data_dir.log_file(name),
            up_components.file_exists(ready), before_start=up_components.remove_file(ready))
    return [one("events-sink"), up_components.StepSpec("step", lambda: None), one("rollups-sink")]
stack.components = fake
cli.main()
"""
EXTERNAL = ("--kafka", "127.0.0.1:9", "--clickhouse", "http://u:secret@127.0.0.1:8/db", "--port-base", "0")


class Running:
    """A `tokentide up` in a process of its own."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "up", "--data-dir", str(data_dir), *EXTERNAL, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def stdout(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def interrupt(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "stack"


@pytest.fixture
def headless(data_dir: Path) -> Iterator[Running]:
    running = Running(data_dir, "--headless")
    yield running
    running.process.kill()
    running.process.communicate()


def test_headless_prints_one_json_line_and_stops_cleanly_on_an_interrupt(headless: Running, data_dir: Path) -> None:
    addresses = json.loads(headless.stdout.readline())
    assert addresses["kafka_bootstrap_servers"] == "127.0.0.1:9"
    assert addresses["clickhouse_url"] == "http://u:secret@127.0.0.1:8/db"
    stack = load_stack(data_dir)
    assert stack.pid == headless.process.pid
    children = [psutil.Process(info.pid) for info in stack.components.values() if info.pid]
    assert len(children) == 2
    out, err = headless.interrupt()
    assert headless.process.returncode == 0
    assert out == ""
    assert "rollups-sink: ready" in err
    assert not any(child.is_running() for child in children)
    with pytest.raises(NoStackRunningError, match="was stopped"):
        load_stack(data_dir)
    assert "bootstrap 127.0.0.1:9" in DataDir(data_dir).log_file("events-sink").read_text()


def test_a_second_up_on_the_same_folder_names_the_first_and_exits_with_3(headless: Running, data_dir: Path) -> None:
    headless.stdout.readline()
    second = Running(data_dir, "--headless")
    out, err = second.process.communicate(timeout=30)
    assert second.process.returncode == 3
    assert out == ""
    assert f"pid {headless.process.pid}" in err
    assert "Traceback" not in err
    assert load_stack(data_dir).pid == headless.process.pid


def test_a_killed_child_is_restarted_and_published_with_its_new_pid(headless: Running, data_dir: Path) -> None:
    headless.stdout.readline()
    before = load_stack(data_dir).components
    killed = before["events-sink"].pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    deadline_s = time.monotonic() + 20
    while load_stack(data_dir).components["events-sink"].pid in (None, killed):
        assert time.monotonic() < deadline_s, "no new pid was published"
        time.sleep(0.02)
    assert load_stack(data_dir).components["rollups-sink"] == before["rollups-sink"]
    assert "events-sink: killed by SIGKILL" in DataDir(data_dir).log_file("supervisor").read_text()


def test_without_a_terminal_plain_lines_show_the_figures_and_where_to_look(data_dir: Path) -> None:
    running = Running(data_dir)
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line)
        # The first status line comes right after the start: a total is known then, a rate is not yet.
        if "events/s" in line:
            break
    rest, _ = running.interrupt()
    text = "".join(lines) + rest
    assert "tokentide top" in text
    assert "\N{EN DASH} events/s" in text
    assert "lag 9" in text
    assert "5,678 stored" in text
    assert "secret" not in text
    assert running.process.returncode == 0


def test_help_is_fast_and_imports_no_client(tmp_path: Path) -> None:
    program = (
        "import sys; from tokentide_deploy import cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'confluent_kafka', 'pyarrow', 'polars', 'jgo', 'pydantic', 'chdb'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "up" in result.stdout


def test_an_unusable_clickhouse_url_ends_with_a_sentence_not_a_traceback(data_dir: Path) -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            "up",
            "--data-dir",
            str(data_dir),
            "--clickhouse",
            "nonsense",
            "--port-base",
            "0",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "--clickhouse" in result.stderr
    assert "Traceback" not in result.stderr
