"""What the supervisor runs: long-lived components and one-time steps, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tokentide_deploy.restart_policy import RestartPolicy


class ComponentState(Enum):
    """Where a component is in its life."""

    PENDING = "pending"
    STARTING = "starting"
    READY = "ready"
    WAITING_TO_RESTART = "waiting to restart"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ComponentSpec:
    """A child process that is to run as long as the stack does.

    `is_ready` is asked repeatedly after every start; it must answer within about two seconds and not raise.
    `before_start` runs before every start (for example to remove the last run's ready file). `final_exits`: exit
    statuses by which the component says that starting it again is no use. `starts_with_next`: the next one does not
    need this one, so both start at once; a step and the end of the start wait for all.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log_file: Path
    is_ready: Callable[[], bool]
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 20.0
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    before_start: Callable[[], None] | None = None
    final_exits: frozenset[int] = frozenset()
    starts_with_next: bool = False


@dataclass(frozen=True)
class StepSpec:
    """Something done once between two components, in the supervisor's own process. It may raise."""

    name: str
    run: Callable[[], None]


def remove_file(path: Path) -> Callable[[], None]:
    """A `before_start` that removes a file."""
    return lambda: path.unlink(missing_ok=True)


def file_exists(path: Path) -> Callable[[], bool]:
    """An `is_ready` that waits for a ready file; pair it with `remove_file`."""
    return path.exists
