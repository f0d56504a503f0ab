"""Runs one stack from lock to clean stop; what `tokentide up` does."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tokentide_deploy import log_files
from tokentide_deploy.board.address import board_token, board_url
from tokentide_deploy.commands.up_components import (
    WITH_HEALTH,
    BoardListener,
    StackPlan,
    components,
    embedded_addresses,
)
from tokentide_deploy.component_status import StatusHistory, read_status
from tokentide_deploy.data_dir import DataDir, DataDirLock
from tokentide_deploy.embedded_kafka import BrokerSettings, prepare_broker
from tokentide_deploy.errors import DeployError
from tokentide_deploy.ports import HOST, check_free, free_ports, plan_ports
from tokentide_deploy.stack_display import HeadlessDisplay, PlainDisplay, StackDisplay, TerminalDisplay
from tokentide_deploy.stack_state import (
    ClickHouseAccount,
    ComponentInfo,
    StackAddresses,
    own_process_started_s,
    save_running,
    save_stopped,
)
from tokentide_deploy.supervisor import StartInterruptedError, Supervisor
from tokentide_schemas.kafka_settings import KafkaSecurity
from tokentide_schemas.network import is_loopback
from tokentide_schemas.settings import read_settings

logger = logging.getLogger(__name__)

_TICK_S = 0.2


@dataclass(frozen=True)
class StackOptions:
    """The command line of `tokentide up`."""

    data_dir: Path
    simulated_events_per_s: float | None = None
    scenario: str | None = None
    headless: bool = False
    port_base: int = 0
    kafka: str | None = None
    clickhouse: str | None = None
    partitions: int = 4
    board_host: str = HOST


class StopRequest:
    """Counts the signals that ask this process to stop: one is a clean stop, two are an immediate one."""

    def __init__(self) -> None:
        self._count = 0

    def clean(self) -> bool:
        """Somebody asked to stop."""
        return self._count > 0

    def immediate(self) -> bool:
        """Somebody asked twice."""
        return self._count > 1

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen to SIGINT, SIGTERM and SIGHUP while the block runs."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            self._count += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


NOTHING_WITHOUT = frozenset({"kafka", "store"})
"""Components whose end for good ends the stack. When another one is given up, the rest goes on: what is stored can be
looked at, and nothing is lost, since Kafka keeps what was not read."""


def run_stack(options: StackOptions) -> int:
    """Run until Ctrl-C, returns 0. Raises DeployError for a stack that cannot start or go on, and at the end when a
    component was given up."""
    data_dir = DataDir(options.data_dir)
    display = _display(options)
    data_dir.create()
    with DataDirLock(data_dir), _logging_to(data_dir.log_file("supervisor")), display:
        # Before signals are caught: the download is interrupted by an ordinary Ctrl-C.
        try:
            plan = _plan(options, data_dir)
        except KeyboardInterrupt:
            return 130
        stop = StopRequest()
        with stop.on_signals():
            return _run(plan, display, stop)


def _display(options: StackOptions) -> StackDisplay:
    if options.headless:
        return HeadlessDisplay(sys.stderr)
    return TerminalDisplay() if sys.stdout.isatty() else PlainDisplay(sys.stdout)


def _plan(options: StackOptions, data_dir: DataDir) -> StackPlan:
    protocol = read_settings(KafkaSecurity).security_protocol
    if not options.kafka and protocol != "PLAINTEXT":
        raise DeployError(
            f"TOKENTIDE_KAFKA_SECURITY_PROTOCOL is {protocol}, but the embedded Kafka listens on loopback without TLS "
            "and accounts. Unset it, or use your own Kafka with --kafka host:port."
        )
    ports = plan_ports(options.port_base)
    wanted = ["board", "collector"] if options.kafka else ["board", "collector", "kafka", "kafka-controller"]
    if not options.clickhouse:
        wanted.append("store")
    check_free(ports, wanted)
    if options.clickhouse:
        passwords = None
        writer = reader = ClickHouseAccount.from_url(options.clickhouse)
    else:
        passwords = data_dir.passwords()
        writer, reader = embedded_addresses(ports.store, passwords)
    broker = None
    if not options.kafka:
        broker = prepare_broker(BrokerSettings(data_dir.kafka, ports.kafka, ports.kafka_controller), output=sys.stderr)
    token = "" if is_loopback(options.board_host) else board_token()
    servers = options.kafka or (broker.bootstrap_servers if broker else "")
    addresses = StackAddresses(
        data_dir=data_dir.root,
        kafka_bootstrap_servers=servers,
        clickhouse_writer=writer,
        clickhouse_reader=reader,
        board_url=board_url(options.board_host, ports.board, token),
        collector_url=f"http://{HOST}:{ports.collector}",
        pid=os.getpid(),
        pid_started_s=own_process_started_s(),
        started_at=datetime.now(UTC),
    )
    listener = BoardListener(options.board_host, ports.board, token)
    return StackPlan(
        data_dir,
        addresses,
        broker,
        passwords,
        options.partitions,
        options.simulated_events_per_s,
        listener,
        options.scenario,
        ports.collector,
        dict(zip(WITH_HEALTH, free_ports(len(WITH_HEALTH)), strict=True)),
    )


def _run(plan: StackPlan, display: StackDisplay, stop: StopRequest) -> int:
    parts = components(plan)
    supervisor = Supervisor(
        parts,
        on_change=lambda name: display.changed(name, supervisor),
        should_stop=stop.clean,
        should_kill=stop.immediate,
    )
    for name in supervisor.components:
        # The last run's figures are not this run's.
        plan.data_dir.status_file(name).unlink(missing_ok=True)
    history = StatusHistory()
    begin_s = time.monotonic()
    try:
        display.starting([part.name for part in parts], supervisor)
        supervisor.start()
        published = _publish(plan, supervisor)
        display.ready(published, time.monotonic() - begin_s)
        while not stop.clean() and not NOTHING_WITHOUT.intersection(supervisor.failed):
            supervisor.tick()
            if {name: info.pid for name, info in published.components.items()} != _pids(supervisor):
                published = _publish(plan, supervisor)
            statuses = [read_status(plan.data_dir.status_file(name)) for name in supervisor.components]
            display.running(history.combine(statuses, datetime.now(UTC)), supervisor, time.monotonic() - begin_s)
            time.sleep(_TICK_S)
        if supervisor.failed:
            raise DeployError("\n".join(supervisor.describe_failure(name) for name in supervisor.failed))
    except StartInterruptedError:
        logger.info("stopped while starting")
    finally:
        display.stopping()
        supervisor.stop()
        save_stopped(plan.data_dir)
    return 0


def _pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {name: one.pid for name, one in supervisor.components.items()}


def _publish(plan: StackPlan, supervisor: Supervisor) -> StackAddresses:
    infos = {
        name: ComponentInfo(pid=pid, log_file=plan.data_dir.log_file(name), health_url=_health_url(plan, name))
        for name, pid in _pids(supervisor).items()
    }
    published = plan.addresses.model_copy(update={"components": infos})
    save_running(published)
    return published


def _health_url(plan: StackPlan, name: str) -> str | None:
    port = plan.health_ports.get(name)
    return None if port is None else f"http://{HOST}:{port}"


@contextmanager
def _logging_to(log_file: Path) -> Iterator[None]:
    log_files.rotate(log_file)
    handler = logging.FileHandler(log_file, encoding="utf-8")
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    ours = logging.getLogger("tokentide_deploy")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.removeHandler(handler)
        handler.close()
