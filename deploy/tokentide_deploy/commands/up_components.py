"""What `tokentide up` runs, in order."""

import http.client
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tokentide_deploy.board.address import CLICKHOUSE_VARIABLE, TOKEN_VARIABLE
from tokentide_deploy.clickhouse_client import http_connection
from tokentide_deploy.commands.up_steps import prepare
from tokentide_deploy.component import ComponentSpec, StepSpec, file_exists, remove_file
from tokentide_deploy.data_dir import DataDir, StorePasswords
from tokentide_deploy.embedded_kafka import BrokerCommand, broker_is_ready
from tokentide_deploy.errors import StartError
from tokentide_deploy.ports import HOST
from tokentide_deploy.stack_state import ClickHouseAccount, StackAddresses
from tokentide_producers.collector.settings import TOKEN_FILE_NAME
from tokentide_sinks.limits import EXIT_STOPPED_BY_LIMIT

_EXTERNAL_TIMEOUT_S = 30.0
_POLL_S = 0.5
WITH_HEALTH = (
    *("store", "stream", "shares", "events-sink", "rollups-sink", "maintenance"),
    *("alerts", "notify", "board", "collector"),
)
"""Components that answer /healthz, /readyz and /metrics, each on a port that is free at the start."""


@dataclass(frozen=True)
class BoardListener:
    """Where the board listens. `token`: what its readers have to know; '' on loopback."""

    host: str
    port: int
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class StackPlan:
    """Everything that decides which components run. `broker` and `passwords` are None when that part is external."""

    data_dir: DataDir
    addresses: StackAddresses
    broker: BrokerCommand | None
    passwords: StorePasswords | None
    partitions: int
    simulated_events_per_s: float | None
    board: BoardListener
    scenario: str | None = None
    collector_port: int = 0
    health_ports: Mapping[str, int] = field(default_factory=dict)


def components(plan: StackPlan) -> list[ComponentSpec | StepSpec]:
    """The stack in start order; it stops in the opposite order, so that what sends ends before what stores."""
    parts = [
        _kafka(plan),
        _store(plan),
        StepSpec("tables and topics", lambda: prepare(plan.addresses, plan.partitions)),
    ]
    parts += [
        _module(plan, "stream", "tokentide_stream"),
        _module(plan, "shares", "tokentide_stream.shares"),
        replace(
            _module(plan, "events-sink", "tokentide_sinks", "events"), final_exits=frozenset({EXIT_STOPPED_BY_LIMIT})
        ),
        _module(plan, "rollups-sink", "tokentide_sinks", "rollups"),
        _module(plan, "maintenance", "tokentide_sinks", "maintenance"),
        _alerts(plan),
        _module(plan, "notify", "tokentide_sinks.notify"),
        _board(plan),
        _collector(plan),
    ]
    if plan.simulated_events_per_s is not None:
        arguments = ["--rate", f"{plan.simulated_events_per_s:g}"]
        if plan.scenario is not None:
            arguments += ["--scenario", plan.scenario]
        parts.append(_module(plan, "simulator", "tokentide_producers.simulator", *arguments))
    return parts


def _kafka(plan: StackPlan) -> ComponentSpec | StepSpec:
    servers = plan.addresses.kafka_bootstrap_servers
    if plan.broker is None:
        return StepSpec("kafka (external)", lambda: _wait_for_kafka(servers))
    cluster_id = plan.broker.cluster_id
    return ComponentSpec(
        name="kafka",
        argv=plan.broker.argv,
        env=plan.broker.env,
        log_file=plan.data_dir.log_file("kafka"),
        is_ready=lambda: broker_is_ready(servers, cluster_id),
        ready_timeout_s=120.0,
        stop_timeout_s=30.0,
        starts_with_next=True,
    )


def _store(plan: StackPlan) -> ComponentSpec | StepSpec:
    account = plan.addresses.clickhouse_writer
    if plan.passwords is None:
        return StepSpec("clickhouse (external)", lambda: _wait_for_clickhouse(account))
    passwords = {
        "TOKENTIDE_STORE_WRITER_PASSWORD": plan.passwords.writer,
        "TOKENTIDE_STORE_READER_PASSWORD": plan.passwords.reader,
    }
    arguments = ("--data-dir", str(plan.data_dir.store), "--port", str(account.port))
    return ComponentSpec(
        name="store",
        argv=(sys.executable, "-m", "tokentide_deploy.store", *arguments),
        env=_environment(plan, "store") | passwords,
        log_file=plan.data_dir.log_file("store"),
        is_ready=lambda: clickhouse_answers(account),
        ready_timeout_s=60.0,
        stop_timeout_s=30.0,
    )


def _module(plan: StackPlan, name: str, module: str, *arguments: str) -> ComponentSpec:
    ready_file = plan.data_dir.ready_file(name)
    return ComponentSpec(
        name=name,
        argv=(sys.executable, "-m", module, *arguments),
        env=_environment(plan, name),
        log_file=plan.data_dir.log_file(name),
        is_ready=file_exists(ready_file),
        before_start=remove_file(ready_file),
        # They meet only through Kafka and the store, which are up by now.
        starts_with_next=True,
    )


def _alerts(plan: StackPlan) -> ComponentSpec:
    spec = _module(plan, "alerts", "tokentide_stream.alerting")
    # It only reads the store; what it finds goes to the alerts topic.
    return replace(spec, env={**spec.env, "TOKENTIDE_CLICKHOUSE_URL": plan.addresses.clickhouse_reader.url})


def _board(plan: StackPlan) -> ComponentSpec:
    arguments = ("--host", plan.board.host, "--port", str(plan.board.port))
    spec = _module(plan, "board", "tokentide_deploy.board", *arguments)
    # It answers browsers: of the store it knows the reader's account only.
    env = {key: value for key, value in spec.env.items() if key != "TOKENTIDE_CLICKHOUSE_URL"}
    env |= {CLICKHOUSE_VARIABLE: plan.addresses.clickhouse_reader.url, TOKEN_VARIABLE: plan.board.token}
    return replace(spec, env=env)


def _collector(plan: StackPlan) -> ComponentSpec:
    arguments = ("--host", HOST, "--port", str(plan.collector_port))
    tokens = ("--token-file", str(plan.data_dir.root / TOKEN_FILE_NAME))
    spec = _module(plan, "collector", "tokentide_deploy.collector_process", *arguments, *tokens)
    # It takes what comes from outside: it knows no store.
    env = {key: value for key, value in spec.env.items() if key != "TOKENTIDE_CLICKHOUSE_URL"}
    return replace(spec, env=env, stop_timeout_s=30.0)


def _environment(plan: StackPlan, name: str) -> dict[str, str]:
    return {
        **os.environ,
        **plan.addresses.environment(),
        "TOKENTIDE_READY_FILE": str(plan.data_dir.ready_file(name)),
        "TOKENTIDE_STATUS_FILE": str(plan.data_dir.status_file(name)),
        "TOKENTIDE_HEALTH_HOST": HOST,
        "TOKENTIDE_HEALTH_PORT": str(plan.health_ports.get(name, 0)),
        # Log lines must be in the file when the process is killed.
        "PYTHONUNBUFFERED": "1",
    }


def clickhouse_answers(account: ClickHouseAccount, timeout_s: float = 2.0) -> bool:
    """True when GET /ping answers 200."""
    connection = http_connection(account, timeout_s)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _wait_for_kafka(servers: str) -> None:
    deadline_s = time.monotonic() + _EXTERNAL_TIMEOUT_S
    while not broker_is_ready(servers):
        if time.monotonic() > deadline_s:
            raise StartError(
                f"No Kafka broker answered at {servers} within {_EXTERNAL_TIMEOUT_S:.0f} s. Check --kafka, that the "
                "broker runs, and that it advertises addresses that this machine reaches. Without --kafka, tokentide "
                "starts its own broker."
            )
        time.sleep(_POLL_S)


def _wait_for_clickhouse(account: ClickHouseAccount) -> None:
    deadline_s = time.monotonic() + _EXTERNAL_TIMEOUT_S
    while not clickhouse_answers(account):
        if time.monotonic() > deadline_s:
            raise StartError(
                f"No ClickHouse answered {account.scheme}://{account.host}:{account.port}/ping within "
                f"{_EXTERNAL_TIMEOUT_S:.0f} s. Check --clickhouse and that its HTTP interface is on. Without "
                "--clickhouse, tokentide starts its own store."
            )
        time.sleep(_POLL_S)


def embedded_addresses(port: int, passwords: StorePasswords) -> tuple[ClickHouseAccount, ClickHouseAccount]:
    """The embedded store's writer and reader accounts."""
    return (
        ClickHouseAccount(host=HOST, port=port, user="tokentide", password=passwords.writer),
        ClickHouseAccount(host=HOST, port=port, user="reader", password=passwords.reader),
    )
