"""All checks at once: each in a thread with a time limit, so that one that hangs says so and holds nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokentide_deploy.config.settings import CommandSettings
from tokentide_deploy.doctor import kafka, local, store
from tokentide_deploy.doctor.finding import CHECKS, Finding, unknown, warning
from tokentide_deploy.ports import plan_ports
from tokentide_deploy.stack_state import ClickHouseAccount, StackAddresses
from tokentide_schemas.settings import SettingsError, read_settings


@dataclass(frozen=True)
class Patient:
    """What is looked at. stack: the one of `tokentide up` on data_dir, if it runs. kafka, account: None when neither
    a stack nor a setting names one."""

    data_dir: Path
    stack: StackAddresses | None
    kafka: str | None
    account: ClickHouseAccount | None


class _Task:
    """One look in a thread of its own; a daemon, so that one that hangs ends with the command."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self._action = action
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._action()
        except Exception as error:  # noqa: BLE001 - told as the check's own finding
            self.error = error

    def wait(self, timeout_s: float) -> str:
        """'' when there is a result, else why not."""
        self._thread.join(max(0.0, timeout_s))
        if self._thread.is_alive():
            return "took too long and was given up"
        # Without its text, which may quote an address with a password.
        return "" if self.error is None else f"could not be looked at ({type(self.error).__name__})"


NO_ADDRESS: Final = "no address: set TOKENTIDE_{}, or name a running stack with --data-dir"


def examine(patient: Patient, timeout_s: float = 20.0) -> list[Finding]:
    """Every check's finding, in the order of CHECKS; ends after about `timeout_s` whatever hangs."""
    deadline_s = time.monotonic() + timeout_s
    tasks = {"settings": _Task(local.check_settings), "processes": _Task(lambda: local.check_processes(patient.stack))}
    servers, account = patient.kafka, patient.account
    if servers:
        tasks["kafka"] = _Task(lambda: kafka.gather(servers))
    if account:
        tasks["store"] = _Task(lambda: store.gather(account))
    try:
        settings: CommandSettings | None = read_settings(CommandSettings)
    except SettingsError:
        settings = None  # what is wrong is told by check_settings
    if settings is not None:
        paths, cubes, alerts = settings.catalogue_paths, settings.cubes_file, settings.alerts_file
        tasks["catalogue"] = _Task(lambda: local.check_catalogue(paths, cubes))
        tasks["alerts"] = _Task(lambda: local.check_alerts(alerts))
    failures = {name: task.wait(deadline_s - time.monotonic()) for name, task in tasks.items()}

    def result(name: str) -> Any:
        return tasks[name].result if name in tasks and not failures[name] else None

    kafka_facts: kafka.KafkaFacts | None = result("kafka")
    store_facts: store.StoreFacts | None = result("store")
    found = [
        *(kafka.judge(kafka_facts) if kafka_facts is not None else []),
        *(store.judge(store_facts) if store_facts is not None else []),
        store.judge_clock(
            None if store_facts is None else store_facts.skew_s,
            None if kafka_facts is None else kafka_facts.newest_ms,
            time.time(),
        ),
        store.judge_disks(_disks(patient, settings, store_facts)),
        local.check_stack(patient.data_dir, patient.stack, local.stacks_on(patient.data_dir)),
        local.check_ports(patient.stack, plan_ports()),
        *(one for name in ("settings", "processes", "catalogue") if (one := result(name)) is not None),
        *(result("alerts") or []),
    ]
    if settings is not None:
        users = None if store_facts is None else store_facts.users
        found += [local.check_hash_key(settings.emitter, users), local.check_spool(settings.spool.directory)]
    return _in_order(found, patient, failures)


def _disks(
    patient: Patient, settings: CommandSettings | None, facts: store.StoreFacts | None
) -> list[tuple[str, int, int]]:
    folders = [patient.data_dir]
    if settings is not None and settings.spool.directory is not None:
        folders.append(settings.spool.directory)
    theirs = [] if facts is None or facts.disks is None else facts.disks
    return [*local.disks_of(folders), *((f"ClickHouse disk {name}", free, total) for name, free, total in theirs)]


def _in_order(found: list[Finding], patient: Patient, failures: dict[str, str]) -> list[Finding]:
    by_check = {one.check: one for one in found}
    for name in CHECKS:
        if name in by_check:
            continue
        if name.startswith("kafka") or name in kafka.DEPENDENT:
            why = failures.get("kafka", "") or NO_ADDRESS.format("KAFKA_BOOTSTRAP_SERVERS")
        elif name.startswith("clickhouse") or name in store.DEPENDENT:
            why = failures.get("store", "") or NO_ADDRESS.format("CLICKHOUSE_URL")
        else:
            why = failures.get(name, "") or "not looked at: settings"
        slow = any(failures.values()) and "too long" in why
        by_check[name] = (
            warning(name, why, "Run it again; a machine or network that is overloaded answers late.")
            if slow
            else unknown(name, why)
        )
    return [by_check[name] for name in CHECKS]
