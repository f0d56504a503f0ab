"""The supervisor, with small child programs: order, restarts, giving up, and no survivors."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tokentide_deploy import log_files
from tokentide_deploy.component import ComponentSpec, ComponentState, StepSpec, file_exists, remove_file
from tokentide_deploy.errors import StartError
from tokentide_deploy.restart_policy import RestartPolicy
from tokentide_deploy.supervisor import StartInterruptedError, Supervisor

# Announces itself, writes "stopped" on SIGTERM.
GOOD = """
import pathlib, signal, sys, time
ready, diary, name = map(str, sys.argv[1:])
def note(word): open(diary, "a").write(f"{name} {word}\\n")
def stop(*_): note("stopped"); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("started"); print("hello from", name, flush=True)
pathlib.Path(ready).write_text("{}")
while True: time.sleep(60)
"""
STUBBORN = "import pathlib, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + (
    "pathlib.Path(sys.argv[1]).write_text('{}')\nwhile True: time.sleep(60)\n"
)
CRASHING = "import sys; print('the reason is here', flush=True); sys.exit(7)"
QUICK = RestartPolicy(first_delay_s=0.01, factor=1.0, max_crashes=3)


@pytest.fixture
def made() -> Iterator[list[Supervisor]]:
    supervisors: list[Supervisor] = []
    yield supervisors
    for supervisor in supervisors:
        for component in supervisor.components.values():
            if component.process is not None and component.process.poll() is None:
                os.killpg(component.process.pid, signal.SIGKILL)
                component.process.wait()


def spec(folder: Path, name: str, program: str = GOOD, restart: RestartPolicy = QUICK, **more: float) -> ComponentSpec:
    ready = folder / f"{name}.ready"
    return ComponentSpec(
        name=name,
        argv=(sys.executable, "-c", program, str(ready), str(folder / "diary"), name),
        env=dict(os.environ),
        log_file=folder / "logs" / f"{name}.log",
        is_ready=file_exists(ready),
        before_start=remove_file(ready),
        ready_timeout_s=more.get("ready_timeout_s", 20.0),
        stop_timeout_s=more.get("stop_timeout_s", 10.0),
        restart=restart,
    )


def tick_until(supervisor: Supervisor, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        supervisor.tick()
        time.sleep(0.01)


def diary(folder: Path) -> list[str]:
    return (folder / "diary").read_text().splitlines()


def test_components_start_in_order_and_stop_in_reverse(tmp_path: Path, made: list[Supervisor]) -> None:
    def step() -> None:
        with (tmp_path / "diary").open("a") as file:
            file.write("step done\n")

    supervisor = Supervisor([spec(tmp_path, "a"), StepSpec("step", step), spec(tmp_path, "b")])
    made.append(supervisor)
    supervisor.start()
    assert diary(tmp_path) == ["a started", "step done", "b started"]
    supervisor.stop()
    assert diary(tmp_path)[3:] == ["b stopped", "a stopped"]
    assert all(one.state is ComponentState.STOPPED for one in supervisor.components.values())
    assert "hello from a" in (tmp_path / "logs" / "a.log").read_text()


def test_a_killed_child_is_started_again_while_the_others_run_on(tmp_path: Path, made: list[Supervisor]) -> None:
    supervisor = Supervisor([spec(tmp_path, "a"), spec(tmp_path, "b")])
    made.append(supervisor)
    supervisor.start()
    first, other = supervisor.components["a"].pid, supervisor.components["b"].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    a = supervisor.components["a"]
    tick_until(supervisor, lambda: a.restarts == 1 and a.state is ComponentState.READY)
    assert a.pid not in (None, first)
    assert supervisor.components["b"].pid == other
    assert [(one.component, one.how) for one in supervisor.restarts] == [("a", "killed by SIGKILL")]
    supervisor.stop()


def test_a_child_that_keeps_crashing_is_given_up_with_the_end_of_its_log(
    tmp_path: Path, made: list[Supervisor]
) -> None:
    supervisor = Supervisor([spec(tmp_path, "a"), spec(tmp_path, "bad", CRASHING)])
    made.append(supervisor)
    with pytest.raises(StartError) as caught:
        supervisor.start()
    message = str(caught.value)
    assert "bad failed 4 times" in message
    assert "exit status 7" in message
    assert "the reason is here" in message
    assert supervisor.components["a"].state is ComponentState.READY
    supervisor.stop()
    assert supervisor.components["a"].pid is None


def test_a_program_that_does_not_exist_is_a_failure_not_a_crash_of_ours(tmp_path: Path, made: list[Supervisor]) -> None:
    missing = ComponentSpec("gone", ("/nonexistent/program",), {}, tmp_path / "gone.log", lambda: True, restart=QUICK)
    supervisor = Supervisor([missing])
    made.append(supervisor)
    with pytest.raises(StartError, match="could not be started"):
        supervisor.start()


def test_a_child_that_never_becomes_ready_is_killed_and_given_up(tmp_path: Path, made: list[Supervisor]) -> None:
    hanging = "import time\nwhile True: time.sleep(60)"
    policy = RestartPolicy(first_delay_s=0.01, max_crashes=0)
    supervisor = Supervisor([spec(tmp_path, "slow", hanging, policy, ready_timeout_s=0.3)])
    made.append(supervisor)
    with pytest.raises(StartError, match="not ready within"):
        supervisor.start()
    assert supervisor.components["slow"].pid is None


def test_a_child_that_ignores_sigterm_is_killed_after_its_time(tmp_path: Path, made: list[Supervisor]) -> None:
    supervisor = Supervisor([spec(tmp_path, "stubborn", STUBBORN, stop_timeout_s=0.3)])
    made.append(supervisor)
    supervisor.start()
    process = supervisor.components["stubborn"].process
    supervisor.stop()
    assert process is not None
    assert process.returncode == -signal.SIGKILL


def test_a_second_request_to_stop_kills_at_once(tmp_path: Path, made: list[Supervisor]) -> None:
    supervisor = Supervisor([spec(tmp_path, "stubborn", STUBBORN, stop_timeout_s=60.0)], should_kill=lambda: True)
    made.append(supervisor)
    supervisor.start()
    begin_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - begin_s < 10
    assert supervisor.components["stubborn"].pid is None


def test_a_request_to_stop_ends_a_start_that_is_waiting(tmp_path: Path, made: list[Supervisor]) -> None:
    asked: list[bool] = []
    hanging = "import time\nwhile True: time.sleep(60)"
    supervisor = Supervisor(
        [spec(tmp_path, "slow", hanging)],
        should_stop=lambda: bool(asked),
        on_change=lambda _name: asked.append(True),
    )
    made.append(supervisor)
    with pytest.raises(StartInterruptedError):
        supervisor.start()
    supervisor.stop()
    assert supervisor.components["slow"].pid is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ties children to parents on Linux only")
def test_children_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    program = """
import os, sys, time
from pathlib import Path
from tokentide_deploy.component import ComponentSpec
from tokentide_deploy.supervisor import Supervisor
child = (sys.executable, "-c", "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
one = Supervisor([ComponentSpec("c", child, dict(os.environ), Path(sys.argv[1]), lambda: True)])
one.start(); print(one.components["c"].pid, flush=True); time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "c.log")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(timeout=10)


def test_a_log_is_bounded_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 1000)
        assert not log_files.bound(log, max_bytes=1000)
        writer.write(b"y" * 1000)
        assert log_files.bound(log, max_bytes=1000)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "a.log.1").stat().st_size == 2000


def test_rotation_at_start_keeps_three_generations(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    for number in range(5):
        log.write_text(f"run {number}\n")
        log_files.rotate(log, max_bytes=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log.1", "a.log.2", "a.log.3"]
    assert (tmp_path / "a.log.1").read_text() == "run 4\n"


def test_a_component_that_says_that_a_restart_is_no_use_is_given_up_at_once(
    tmp_path: Path, made: list[Supervisor]
) -> None:
    one = replace(spec(tmp_path, "a", CRASHING), final_exits=frozenset({7}))
    supervisor = Supervisor([one])
    made.append(supervisor)
    with pytest.raises(StartError, match=r"a stopped by itself:[\s|]+the reason is here"):
        supervisor.start()
    assert supervisor.components["a"].restarts == 0


# Ready only once its neighbour has started: waiting for it first would never end.
NEEDS_NEIGHBOUR = """
import pathlib, sys, time
ready, diary, name = sys.argv[1:]
while not pathlib.Path(diary).exists() or "second started" not in pathlib.Path(diary).read_text(): time.sleep(0.02)
pathlib.Path(ready).write_text("{}")
while True: time.sleep(60)
"""


def test_components_that_do_not_need_each_other_start_at_once_and_a_step_waits_for_both(
    tmp_path: Path, made: list[Supervisor]
) -> None:
    ready_at_step: list[bool] = []
    first = replace(spec(tmp_path, "first", NEEDS_NEIGHBOUR), starts_with_next=True)
    second = replace(spec(tmp_path, "second"), starts_with_next=True)
    files = [tmp_path / "first.ready", tmp_path / "second.ready"]
    step = StepSpec("step", lambda: ready_at_step.extend(file.exists() for file in files))
    supervisor = Supervisor([first, second, step])
    made.append(supervisor)
    supervisor.start()
    assert ready_at_step == [True, True]
    supervisor.stop()
