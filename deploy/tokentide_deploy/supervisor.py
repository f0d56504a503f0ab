"""Runs the stack's child processes: start in order, restart what crashes, stop in reverse order.

Everything happens in the calling thread, through `start`, `tick` and `stop`: the kernel ties each child's life to the
thread that started it, and without threads there is nothing to lock.
"""

import logging
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tokentide_deploy import child_process, log_files
from tokentide_deploy.component import ComponentSpec, ComponentState, StepSpec
from tokentide_deploy.errors import StartError
from tokentide_deploy.restart_policy import GiveUp

logger = logging.getLogger(__name__)

_POLL_S = 0.05
_LOG_CHECK_S = 5.0


class StartInterruptedError(Exception):
    """Somebody asked to stop while the stack was starting."""


@dataclass(frozen=True)
class Restart:
    """One crash and what followed."""

    component: str
    at: datetime
    how: str
    delay_s: float


@dataclass
class Component:
    """A spec and what has become of it."""

    spec: ComponentSpec
    state: ComponentState = ComponentState.PENDING
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    ready_after_s: float | None = None
    restart_at_s: float = 0.0
    crash_times_s: list[float] = field(default_factory=list)
    restarts: int = 0

    @property
    def pid(self) -> int | None:
        """The process id while the child runs."""
        return self.process.pid if self.process and self.process.returncode is None else None


def _ignore(_name: str) -> None:
    return


class Supervisor:
    """Owns the children of one stack.

    `on_change(name)` is called after a component or step changed its state; `should_stop()` and `should_kill()` are
    asked while waiting (Ctrl-C once, Ctrl-C twice).
    """

    def __init__(
        self,
        parts: Sequence[ComponentSpec | StepSpec],
        on_change: Callable[[str], None] = _ignore,
        should_stop: Callable[[], bool] = lambda: False,
        should_kill: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = tuple(parts)
        self._on_change = on_change
        self._should_stop = should_stop
        self._should_kill = should_kill
        self._clock = clock
        self._next_log_check_s = 0.0
        self.components = {part.name: Component(part) for part in parts if isinstance(part, ComponentSpec)}
        self.steps_done: dict[str, float] = {}
        self.restarts: list[Restart] = []

    @property
    def failed(self) -> list[str]:
        """Components that were given up."""
        return [name for name, one in self.components.items() if one.state is ComponentState.FAILED]

    def start(self) -> None:
        """Start everything in order, waiting for each to be ready.

        Raises StartError (with the last log lines) when one is given up or not ready in time, StartInterruptedError
        when `should_stop` turns true, and whatever a step raises. What was started stays running: call `stop`.
        """
        starting: list[Component] = []
        for part in self._parts:
            if self._should_stop():
                raise StartInterruptedError
            if isinstance(part, StepSpec):
                self._wait_until_ready(starting)
                begin_s = self._clock()
                part.run()
                self.steps_done[part.name] = self._clock() - begin_s
                self._on_change(part.name)
                continue
            component = self.components[part.name]
            log_files.rotate(part.log_file)
            self._spawn(component)
            starting.append(component)
            if not part.starts_with_next:
                self._wait_until_ready(starting)
        self._wait_until_ready(starting)

    def _wait_until_ready(self, starting: list[Component]) -> None:
        """Wait for all of them, then empty the list."""
        while starting:
            if self._should_stop():
                raise StartInterruptedError
            # The earlier ones are looked after too: Kafka may crash while the store starts.
            self.tick()
            if self.failed:
                raise StartError("\n".join(self.describe_failure(name) for name in self.failed))
            if all(component.state is ComponentState.READY for component in starting):
                starting.clear()
                return
            time.sleep(_POLL_S)

    def tick(self) -> None:
        """Look after every child once; call it a few times a second."""
        now_s = self._clock()
        for component in self.components.values():
            self._look_after(component, now_s)
        if now_s >= self._next_log_check_s:
            self._next_log_check_s = now_s + _LOG_CHECK_S
            for component in self.components.values():
                log_files.bound(component.spec.log_file)

    def stop(self) -> None:
        """Stop in reverse order: SIGTERM, wait, then SIGKILL. With `should_kill` true, kill at once."""
        for component in reversed(self.components.values()):
            process = component.process
            if process is not None and process.poll() is None:
                self._stop_one(component.spec, process)
            if component.state is not ComponentState.PENDING:
                component.state = ComponentState.STOPPED
                self._on_change(component.spec.name)

    def describe_failure(self, name: str) -> str:
        """Why a component was given up, with the end of its log."""
        component = self.components[name]
        how = [one.how for one in self.restarts if one.component == name]
        status = component.process.returncode if component.process else None
        if status in component.spec.final_exits:
            return f"{name} stopped by itself:\n{log_files.last_lines(component.spec.log_file)}"
        return (
            f"{name} failed {len(component.crash_times_s)} times and was given up (last: {how[-1] if how else '?'}). "
            f"The end of {component.spec.log_file}:\n{log_files.last_lines(component.spec.log_file)}"
        )

    def _look_after(self, component: Component, now_s: float) -> None:
        spec, process = component.spec, component.process
        if component.state in (ComponentState.STARTING, ComponentState.READY):
            if process is None or process.poll() is not None:
                status = process.returncode if process else 1
                self._crashed(component, child_process.describe_exit(status), is_final=status in spec.final_exits)
            elif component.state is ComponentState.STARTING:
                if spec.is_ready():
                    component.ready_after_s = self._clock() - component.started_s
                    self._set_state(component, ComponentState.READY)
                elif now_s - component.started_s > spec.ready_timeout_s:
                    child_process.kill_group(process)
                    self._crashed(component, f"not ready within {spec.ready_timeout_s:.0f} s")
        elif component.state is ComponentState.WAITING_TO_RESTART and now_s >= component.restart_at_s:
            component.restarts += 1
            self._spawn(component)

    def _spawn(self, component: Component) -> None:
        spec = component.spec
        if spec.before_start is not None:
            spec.before_start()
        component.started_s = self._clock()
        component.ready_after_s = None
        try:
            component.process = child_process.spawn(spec.argv, spec.env, spec.log_file)
        except OSError as error:
            component.process = None
            self._crashed(component, f"could not be started: {error}")
            return
        logger.info("%s started as pid %d", spec.name, component.process.pid)
        self._set_state(component, ComponentState.STARTING)

    def _crashed(self, component: Component, how: str, is_final: bool = False) -> None:
        spec, now_s = component.spec, self._clock()
        component.crash_times_s.append(now_s)
        decision = GiveUp(1, 0.0) if is_final else spec.restart.decide(component.crash_times_s, now_s)
        delay_s = 0.0 if isinstance(decision, GiveUp) else decision.delay_s
        self.restarts.append(Restart(spec.name, datetime.now(UTC), how, delay_s))
        end_of_log = log_files.last_lines(spec.log_file)
        if is_final:
            logger.error("%s: %s, which it gives when it needs somebody's decision:\n%s", spec.name, how, end_of_log)
            self._set_state(component, ComponentState.FAILED)
            return
        if isinstance(decision, GiveUp):
            logger.error(
                "%s: %s; given up after %d crashes within %.0f s. The end of %s:\n%s",
                *(spec.name, how, decision.crashes, decision.window_s, spec.log_file, end_of_log),
            )
            self._set_state(component, ComponentState.FAILED)
            return
        logger.warning("%s: %s; starting it again in %.1f s. Its last lines:\n%s", spec.name, how, delay_s, end_of_log)
        component.restart_at_s = now_s + delay_s
        self._set_state(component, ComponentState.WAITING_TO_RESTART)

    def _stop_one(self, spec: ComponentSpec, process: subprocess.Popen[bytes]) -> None:
        begin_s = self._clock()
        if not self._should_kill():
            child_process.ask_to_stop(process)
            while process.poll() is None and not self._should_kill() and self._clock() - begin_s < spec.stop_timeout_s:
                time.sleep(_POLL_S)
        if process.poll() is None:
            if not self._should_kill():
                logger.warning("%s did not stop within %.0f s and is killed", spec.name, spec.stop_timeout_s)
            child_process.kill_group(process)
        logger.info(
            "%s stopped after %.1f s (%s)",
            *(spec.name, self._clock() - begin_s, child_process.describe_exit(process.returncode)),
        )

    def _set_state(self, component: Component, state: ComponentState) -> None:
        component.state = state
        self._on_change(component.spec.name)
