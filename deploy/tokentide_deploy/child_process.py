"""Start and stop one child process so that it can never outlive its parent."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def _load_prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


# Looked up once here: between fork and exec as little as possible may happen.
_prctl = _load_prctl()


def spawn(argv: Sequence[str], env: Mapping[str, str], log_file: Path) -> subprocess.Popen[bytes]:
    """Start `argv` in a process group of its own, output appended to `log_file`.

    On Linux the kernel kills the child when the starting *thread* ends, however the parent ends: start children only
    from a thread that lives as long as they may. Elsewhere a killed parent leaves its children running.
    Raises OSError when the program cannot be started.
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            # The parent may have died before the line above took effect.
            if os.getppid() != parent:
                os._exit(1)

    log_file.parent.mkdir(parents=True, exist_ok=True)
    # Append mode, so that the log can be truncated while the child writes to it.
    with log_file.open("ab") as log:
        return subprocess.Popen(
            list(argv),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - see _prctl: no locks are taken in there
        )


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the child itself, which stops its own helpers in its own order."""
    if process.poll() is None:
        process.terminate()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the child and everything it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def describe_exit(returncode: int) -> str:
    """`exit status 3`, or `killed by SIGKILL`."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
