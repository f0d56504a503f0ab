"""Which port each part of the embedded stack listens on, and whether it is free."""

import contextlib
import socket
from dataclasses import dataclass

import psutil

from tokentide_deploy.errors import DeployError, PortInUseError

HOST = "127.0.0.1"
DEFAULT_PORT_BASE = 29090
# The offset of each listener from the base; a released offset is never given to another listener.
PORT_OFFSETS = {"board": 0, "collector": 1, "kafka": 2, "kafka-controller": 3, "store": 4, "stream": 5}
_MAX_PORT = 65535


@dataclass(frozen=True)
class PortPlan:
    """The port of every listener."""

    board: int
    collector: int
    kafka: int
    kafka_controller: int
    store: int
    stream: int

    def of(self, listener: str) -> int:
        """The port of a listener by its name in PORT_OFFSETS."""
        return int(getattr(self, listener.replace("-", "_")))


def plan_ports(base: int = DEFAULT_PORT_BASE) -> PortPlan:
    """The ports for `--port-base`; 0 picks free ones. Raises DeployError for a base outside the port range."""
    if base == 0:
        ports = free_ports(len(PORT_OFFSETS))
    elif 1024 <= base <= _MAX_PORT - max(PORT_OFFSETS.values()):
        ports = [base + offset for offset in PORT_OFFSETS.values()]
    else:
        raise DeployError(
            f"--port-base {base} does not work: use 1024 to {_MAX_PORT - max(PORT_OFFSETS.values())}, "
            "or 0 to pick free ports."
        )
    return PortPlan(**{name.replace("-", "_"): port for name, port in zip(PORT_OFFSETS, ports, strict=True)})


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listens on right now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def check_free(plan: PortPlan, listeners: list[str]) -> None:
    """Raise PortInUseError naming every taken port among `listeners`, who wanted it and who holds it."""
    taken = [name for name in listeners if not _is_free(plan.of(name))]
    if not taken:
        return
    lines = [f"  port {plan.of(name)}, wanted by {name}, is held by {_holder(plan.of(name))}" for name in taken]
    raise PortInUseError(
        "Ports are in use:\n"
        + "\n".join(lines)
        + "\nStop what holds them, or move all ports: tokentide up --port-base N (0 picks free ones)."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection of a stopped server that lingers in TIME_WAIT does not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    unknown = "a process that this user cannot see"
    try:
        for connection in psutil.net_connections("tcp"):
            # An unbound socket has an empty address.
            bound = connection.laddr[1] if len(connection.laddr) == 2 else None
            if connection.status == psutil.CONN_LISTEN and bound == port and connection.pid:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return unknown
    return unknown
