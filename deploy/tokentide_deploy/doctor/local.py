"""Doctor's look at this machine: files, keys, folders, processes, ports. Each function is one check."""

from __future__ import annotations

import json
import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tokentide_deploy.config.processes import PROCESSES
from tokentide_deploy.config.report import problems
from tokentide_deploy.doctor.finding import Finding, failure, ok, unknown, warning
from tokentide_deploy.ports import PORT_OFFSETS, PortPlan
from tokentide_deploy.stack_state import StackAddresses
from tokentide_producers.hash_keys import MIN_SECRET_CHARS, HashKeyRing, HashKeysError
from tokentide_producers.settings import EmitterKeys
from tokentide_producers.spool.directory import SUFFIX as SEGMENT_SUFFIX
from tokentide_schemas.alerting.loading import AlertsFileError, load_alert_config
from tokentide_schemas.alerting.receivers import LogReceiver, ReceiverSecretError
from tokentide_schemas.catalogue import CatalogueError, load_catalogue
from tokentide_schemas.cube_file import CubeFileError, load_cubes
from tokentide_schemas.settings_sources import ConfigFileError, load_config_file, unknown_variables

CONNECT_S = 3.0


def check_settings() -> Finding:
    """The settings file and the environment, as every process would read them."""
    try:
        found = list(load_config_file().problems)
    except ConfigFileError as error:
        found = [str(error)]
    for process in PROCESSES:
        found += [one for one in problems(process) if " is not set: " not in one and one not in found]
    if found:
        return failure("settings", "; ".join(found), "tokentide config check names the processes of each.")
    strange = unknown_variables()
    if strange:
        return warning("settings", "; ".join(strange), "Correct or unset them.")
    return ok("settings", "environment and file can be used")


def check_hash_key(keys: EmitterKeys, users: tuple[int, int] | None) -> Finding:
    """keys: as this machine has them. users: requests of the last hour, and of these without a user."""
    single, several = keys.hash_key.get_secret_value(), keys.hash_keys.get_secret_value()
    advice = f"Set TOKENTIDE_EMITTER_HASH_KEY to at least {MIN_SECRET_CHARS} random characters, the same everywhere."
    if several:
        try:
            HashKeyRing.parse(several)
        except (HashKeysError, ValueError) as error:
            return failure("hash-key", f"TOKENTIDE_EMITTER_HASH_KEYS: {error}", "See docs/privacy.md for its form.")
        return ok("hash-key", "TOKENTIDE_EMITTER_HASH_KEYS can be used")
    if single:
        if len(single) < MIN_SECRET_CHARS:
            return failure("hash-key", f"it has {len(single)} characters: names could be guessed from hashes", advice)
        return ok("hash-key", f"{len(single)} characters")
    if users is not None and users[0] and users[0] == users[1]:
        return warning("hash-key", f"not set here, and no user in {users[0]:,} requests of the last hour", advice)
    return ok("hash-key", "not set on this machine" + ("" if users is None or not users[0] else "; events have users"))


def check_catalogue(paths: tuple[Path, ...], cubes_file: Path | None) -> Finding:
    """The user's own files on top of the shipped ones."""
    try:
        catalogue = load_catalogue(paths)
        load_cubes(cubes_file)
    except (CatalogueError, CubeFileError) as error:
        advice = "Correct the files that TOKENTIDE_CATALOGUE_PATHS and TOKENTIDE_CUBES_FILE name."
        return failure("catalogue", str(error), advice)
    return ok("catalogue", f"{len(catalogue.models)} models, version {catalogue.version}")


def check_alerts(file: Path | None) -> list[Finding]:
    """The alerts file and whether its receivers can be reached. Nothing is sent to them."""
    try:
        config = load_alert_config(file)
    except AlertsFileError as error:
        found = failure("alerts-file", str(error), "Correct the file that TOKENTIDE_ALERTS_FILE names.")
        return [found, unknown("receivers", "not looked at: alerts-file")]
    fine = ok("alerts-file", f"{len(config.rules)} rules, {len(config.receivers)} receivers")
    troubles = []
    for receiver in config.receivers:
        if isinstance(receiver, LogReceiver):
            continue
        try:
            address = urlsplit(receiver.address(os.environ))
        except ReceiverSecretError as error:
            troubles.append(str(error))
            continue
        port = address.port or (443 if address.scheme == "https" else 80)
        try:
            socket.create_connection((address.hostname or "", port), CONNECT_S).close()
        except OSError as error:
            # Not the whole address: a Slack path is a password.
            troubles.append(f"receiver {receiver.name}: nothing answers ({error.strerror or type(error).__name__})")
    if troubles:
        return [fine, failure("receivers", "; ".join(troubles), "See docs/runbooks/not-told.md.")]
    return [fine, ok("receivers", "all answer" if config.receivers else "none are configured")]


def check_spool(directory: Path | None) -> Finding:
    """Events that wait on this machine's disk."""
    if directory is None or not directory.is_dir():
        return ok("spool", "no spool on this machine" if directory is None else f"{directory} is not there yet")
    segments = list(directory.glob(f"*{SEGMENT_SUFFIX}"))
    held = sum(path.stat().st_size for path in segments)
    if held:
        advice = "tokentide spool status shows whose they are; tokentide spool drain sends what no gateway holds."
        return warning("spool", f"{len(segments)} segments, {held:,} bytes in {directory}", advice)
    return ok("spool", f"{directory} is empty")


def disks_of(folders: Iterable[Path]) -> list[tuple[str, int, int]]:
    """(folder, free bytes, total bytes) of those that exist, each file system once."""
    found: dict[int, tuple[str, int, int]] = {}
    for folder in folders:
        if folder.is_dir():
            usage = shutil.disk_usage(folder)
            found.setdefault(folder.stat().st_dev, (str(folder), usage.free, usage.total))
    return list(found.values())


def stacks_on(data_dir: Path) -> list[int]:
    """Process ids of stores that work on this data folder; more than one is one too many."""
    wanted = str(data_dir / "store")
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "ppid"]):
        arguments: Sequence[str] = process.info["cmdline"] or ()
        if "tokentide_deploy.store" in arguments and wanted in arguments:
            found.append(int(process.info["pid"]))
    return found


def check_stack(data_dir: Path, stack: StackAddresses | None, stores: Sequence[int]) -> Finding:
    """Pure but for nothing: what was found is given."""
    if len(stores) > 1:
        advice = f"Stop all but one: kill {' '.join(map(str, stores[1:]))}; then start that stack again."
        return failure("stack", f"{len(stores)} stores work on {data_dir}: pids {', '.join(map(str, stores))}", advice)
    if stack is None and stores:
        advice = f"Its supervisor has died: stop it with kill {stores[0]}, then run tokentide up."
        return failure("stack", f"a store (pid {stores[0]}) runs on {data_dir} without a stack", advice)
    return ok("stack", f"no stack runs on {data_dir}" if stack is None else f"pid {stack.pid} on {data_dir}")


def check_processes(stack: StackAddresses | None) -> Finding:
    """Ask every component of a running stack whether it is ready."""
    if stack is None:
        return unknown("processes", "no stack of tokentide up runs here: ask each process' /readyz")
    said: dict[str, str] = {}
    for name, component in stack.components.items():
        if component.pid is None:
            said[name] = "does not run"
        elif component.health_url is not None and (problem := _readiness(component.health_url)):
            said[name] = problem
    return judge_processes(said, len(stack.components))


def judge_processes(said: Mapping[str, str], count: int) -> Finding:
    """said: process -> why it is not ready."""
    if said:
        advice = "tokentide up restarts what crashes; the logs are in the data folder's logs."
        return failure("processes", "; ".join(f"{name}: {why}" for name, why in said.items()), advice)
    return ok("processes", f"{count} processes are ready")


def _readiness(url: str) -> str:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=CONNECT_S):
            return ""
    except urllib.error.HTTPError as error:
        try:
            return "; ".join(json.loads(error.read())["problems"])
        except (ValueError, KeyError, OSError):
            return f"answers with status {error.code}"
    except OSError as error:
        return f"does not answer ({getattr(error, 'reason', error)})"


def check_ports(stack: StackAddresses | None, plan: PortPlan) -> Finding:
    """For a start of the embedded stack; a running one holds them rightly."""
    if stack is not None:
        return ok("ports", "held by the running stack")
    taken = []
    for name in PORT_OFFSETS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", plan.of(name)))
            except OSError:
                taken.append(f"{plan.of(name)} ({name})")
    if taken:
        advice = "Stop what holds them, or start with tokentide up --port-base N (0 picks free ones)."
        return warning("ports", f"taken: {', '.join(taken)}", advice)
    return ok("ports", "free")
