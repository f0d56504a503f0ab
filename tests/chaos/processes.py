"""The platform's processes, run one by one so that each can be hurt, with proxies between them.

Everything is called from one thread: the kernel ties each child's life to the thread that started it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from chaos.full_disk import SmallDisk
from chaos.kafka_proxy import KafkaProxy
from chaos.proxy import HOST
from chaos.store_proxy import StoreProxy
from tokentide_deploy import child_process, log_files
from tokentide_deploy.commands.up_components import clickhouse_answers
from tokentide_deploy.commands.up_steps import prepare
from tokentide_deploy.embedded_kafka import BrokerSettings, broker_is_ready, prepare_broker
from tokentide_deploy.ports import free_ports
from tokentide_deploy.stack_state import ClickHouseAccount, StackAddresses, own_process_started_s
from tokentide_schemas import crash_points
from tokentide_sinks.store import Store

WRITER_PASSWORD = "chaos-writer"
SESSION_TIMEOUT_S = 6
PARTITIONS = 4
MEMBERS = {"worker": "tokentide_stream", "events-sink": "tokentide_sinks", "rollups-sink": "tokentide_sinks"}
RESTART_PAUSE_S = 0.3
LONGEST_PAUSE_S = 5.0


def child_environment() -> dict[str, str]:
    """Ours, with this package on the path."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


class Member:
    """One process that is to run: restarted whenever it ends, until it is retired."""

    def __init__(
        self,
        name: str,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        folder: Path,
        is_ready: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.kind = name.rstrip("0123456789").rstrip("-")
        self.argv = argv
        self.ready_file = folder / f"{name}.ready"
        self.crash_file = folder / f"{name}.crash-point"
        self.log_file = folder / f"{name}.log"
        self.env = {
            **env,
            "TOKENTIDE_READY_FILE": str(self.ready_file),
            "TOKENTIDE_STATUS_FILE": str(folder / f"{name}.status"),
            crash_points.VARIABLE: str(self.crash_file),
        }
        self._is_ready = is_ready or self.ready_file.exists
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped = False
        self.expected_end = False
        self.restart_at_s = 0.0
        self.started_at_s = 0.0
        self.ends_in_a_row = 0

    @property
    def pid(self) -> int:
        """The present process, alive or just dead."""
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Its process has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Alive and doing its work."""
        return self.is_alive and not self.stopped and self._is_ready()

    def start(self) -> None:
        """Start the process."""
        self.ready_file.unlink(missing_ok=True)
        self.crash_file.unlink(missing_ok=True)
        self.process = child_process.spawn(self.argv, self.env, self.log_file)
        self.started_at_s = time.monotonic()
        self.stopped = self.expected_end = False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, when it lives."""
        if self.is_alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9; `Fleet.tick` starts the next one."""
        self.expected_end = True
        if self.process is not None:
            child_process.kill_group(self.process)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.stopped = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.stopped = False

    def arm(self, point: str, times: int) -> None:
        """Let it die at a crash point."""
        self.expected_end = True
        crash_points.arm(self.crash_file, point, times)

    @property
    def is_armed(self) -> bool:
        """A crash point was armed and has not been reached."""
        return self.crash_file.exists()

    def disarm(self) -> None:
        """Take a crash point back, when it was not reached."""
        if self.is_armed:
            self.crash_file.unlink(missing_ok=True)
            self.expected_end = False


class Fleet:
    """Kafka, store, workers and sinks in a folder. sink_module: what runs instead of `tokentide_sinks`."""

    def __init__(self, folder: Path, seed: int, *, small_disk: bool = True, sink_module: str | None = None) -> None:
        self.folder = folder
        self.unexpected_ends: Counter[str] = Counter()
        self._sink_module = sink_module
        kafka_port, controller_port, store_port = free_ports(3)
        self.broker = BrokerSettings(folder / "kafka", kafka_port, controller_port)
        self.account = ClickHouseAccount(host=HOST, port=store_port, user="tokentide", password=WRITER_PASSWORD)
        self.kafka_proxy = KafkaProxy(kafka_port, seed)
        self.store_proxy = StoreProxy(store_port, seed)
        self.disk = SmallDisk(folder / "store") if small_disk else None
        self.members: dict[str, Member] = {}
        self._retiring: list[Member] = []

    @property
    def kafka_servers(self) -> str:
        """What clients bootstrap from; the broker advertises the same."""
        return f"{HOST}:{self.kafka_proxy.port}"

    def store(self, timeout_s: int = 120) -> Store:
        """A connection that bypasses the proxy."""
        return Store(self.account.url, timeout_s)

    def start(self, workers: int = 1, events_sinks: int = 1, rollups_sinks: int = 1) -> None:
        """Start everything and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kafka_proxy.start()
        self.store_proxy.start()
        self._add_kafka()
        self._add_store()
        self.wait_ready()
        prepare(self._addresses(), PARTITIONS)
        for kind, count in (("worker", workers), ("events-sink", events_sinks), ("rollups-sink", rollups_sinks)):
            self.scale(kind, count)
        self.wait_ready()

    def _addresses(self) -> StackAddresses:
        return StackAddresses(
            data_dir=self.folder,
            kafka_bootstrap_servers=self.kafka_servers,
            clickhouse_writer=self.account,
            clickhouse_reader=self.account,
            pid=os.getpid(),
            pid_started_s=own_process_started_s(),
            started_at=datetime.now(UTC),
        )

    def stop(self) -> None:
        """Stop everything at once: nothing is lost by that."""
        for member in [*reversed(self.members.values()), *self._retiring]:
            member.kill()
        self.members.clear()
        self.kafka_proxy.stop()
        self.store_proxy.stop()
        if self.disk is not None:
            self.disk.unmount()

    def of(self, kind: str) -> list[Member]:
        """The members of a kind, oldest first."""
        return [member for member in self.members.values() if member.kind == kind]

    def scale(self, kind: str, count: int, politely: bool = True) -> None:
        """Start or stop members of a kind; the newest ones go, by SIGTERM or (not politely) by kill -9."""
        while len(self.of(kind)) < count:
            self._add_member(kind)
        for member in self.of(kind)[count:]:
            del self.members[member.name]
            member.thaw()
            member.signal(signal.SIGTERM if politely else signal.SIGKILL)
            self._retiring.append(member)

    def tick(self) -> None:
        """Start again what has ended. Call a few times a second."""
        now_s = time.monotonic()
        for member in self.members.values():
            if member.is_alive:
                continue
            if not member.restart_at_s:
                self._note_end(member, now_s)
            elif now_s >= member.restart_at_s:
                member.restart_at_s = 0.0
                member.start()
        for member in list(self._retiring):
            if not member.is_alive:
                self._retiring.remove(member)

    def wait_ready(self, timeout_s: float = 240.0) -> None:
        """Until every member does its work. Raises AssertionError with the log of one that does not."""
        deadline = time.monotonic() + timeout_s
        while waiting := [member for member in self.members.values() if not member.is_ready]:
            assert time.monotonic() < deadline, (
                f"{waiting[0].name} is not ready after {timeout_s:g} s:\n{log_files.last_lines(waiting[0].log_file)}"
            )
            self.tick()
            time.sleep(0.05)

    def _note_end(self, member: Member, now_s: float) -> None:
        assert member.process is not None
        if not member.expected_end:
            how = child_process.describe_exit(member.process.returncode)
            self.unexpected_ends[f"{member.kind}: {how}"] += 1
        quick = now_s - member.started_at_s < 10
        member.ends_in_a_row = member.ends_in_a_row + 1 if quick else 0
        member.restart_at_s = now_s + min(RESTART_PAUSE_S * 2**member.ends_in_a_row, LONGEST_PAUSE_S)

    def _add(self, member: Member) -> None:
        self.members[member.name] = member
        member.start()

    def _add_kafka(self) -> None:
        command = prepare_broker(self.broker)
        properties = self.broker.data_dir / "server.properties"
        text = properties.read_text()
        advertised = f"advertised.listeners=PLAINTEXT://{self.kafka_servers}"
        properties.write_text(re.sub(r"^advertised\.listeners=.*$", advertised, text, flags=re.MULTILINE))
        direct = self.broker.bootstrap_servers
        self._add(
            Member("kafka", command.argv, command.env, self.folder, lambda: broker_is_ready(direct, command.cluster_id))
        )

    def _add_store(self) -> None:
        data_dir = (self.disk.folder if self.disk is not None else self.folder / "store") / "data"
        arguments = ("--data-dir", str(data_dir), "--port", str(self.account.port))
        env = {
            **child_environment(),
            "TOKENTIDE_STORE_WRITER_PASSWORD": WRITER_PASSWORD,
            "TOKENTIDE_STORE_READER_PASSWORD": "chaos-reader",
        }
        argv = (sys.executable, "-m", "tokentide_deploy.store", *arguments)
        self._add(Member("store", argv, env, self.folder, lambda: clickhouse_answers(self.account)))

    def _add_member(self, kind: str) -> None:
        number = 1
        while f"{kind}-{number}" in self.members or any(m.name == f"{kind}-{number}" for m in self._retiring):
            number += 1
        module = MEMBERS[kind]
        argument = {"events-sink": ["events"], "rollups-sink": ["rollups"]}.get(kind, [])
        if argument and self._sink_module is not None:
            module = self._sink_module
        data_dir = self.folder / f"{kind}-{number}"
        data_dir.mkdir(exist_ok=True)
        proxied = self.account.model_copy(update={"port": self.store_proxy.port})
        env = {
            **child_environment(),
            "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": self.kafka_servers,
            "TOKENTIDE_CLICKHOUSE_URL": proxied.url,
            "TOKENTIDE_DATA_DIR": str(data_dir),
            "TOKENTIDE_KAFKA_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
            "TOKENTIDE_SINK_MAX_WAIT_S": "0.4",
            "TOKENTIDE_STREAM_CHECKPOINT_INTERVAL_S": "2",
        }
        self._add(Member(f"{kind}-{number}", (sys.executable, "-m", module, *argument), env, self.folder))
