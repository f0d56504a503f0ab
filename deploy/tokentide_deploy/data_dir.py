"""The data directory of one stack: where everything lies, and the lock that only one running stack holds."""

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType

import platformdirs
from pydantic import BaseModel, ConfigDict

from tokentide_deploy.errors import DataDirInUseError, DeployError

_LOCK_NAME = "tokentide.lock"


class StorePasswords(BaseModel):
    """The store's two users; generated once for a data directory and kept readable by its owner alone."""

    model_config = ConfigDict(frozen=True)

    writer: str
    reader: str


def default_data_dir() -> Path:
    """The user's data folder for tokentide."""
    return Path(platformdirs.user_data_dir("tokentide"))


class DataDir:
    """Paths inside a data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @property
    def kafka(self) -> Path:
        """The embedded broker's folder."""
        return self.root / "kafka"

    @property
    def store(self) -> Path:
        """The store process's folder."""
        return self.root / "store"

    @property
    def stack_file(self) -> Path:
        """The running stack's addresses."""
        return self.root / "stack.json"

    def log_file(self, component: str) -> Path:
        """Where a component's output goes."""
        return self.root / "logs" / f"{component}.log"

    def ready_file(self, component: str) -> Path:
        """Written by a component when it is ready."""
        return self.root / "run" / f"{component}.ready.json"

    def status_file(self, component: str) -> Path:
        """Written by a component about once a second."""
        return self.root / "run" / f"{component}.status.json"

    def create(self) -> None:
        """Make the folders, closed to other users. Raises DeployError when that is not possible."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("logs", "run"):
                (self.root / name).mkdir(exist_ok=True)
        except OSError as error:
            raise DeployError(
                f"The data directory {self.root} cannot be created: {error}. Fix the permissions, or name another "
                "folder with --data-dir."
            ) from error

    def passwords(self) -> StorePasswords:
        """The store's passwords, generated at the first call. Call it while holding the lock."""
        path = self.root / "store-passwords.json"
        if path.exists():
            return StorePasswords.model_validate_json(path.read_bytes())
        made = StorePasswords(writer=secrets.token_urlsafe(24), reader=secrets.token_urlsafe(24))
        write_private(path, made.model_dump_json(indent=1) + "\n")
        return made


class DataDirLock:
    """Exclusive ownership of a data directory while the `with` block runs; the kernel frees it if the process dies."""

    def __init__(self, data_dir: DataDir) -> None:
        self._path = data_dir.root / _LOCK_NAME
        self._descriptor = -1

    def __enter__(self) -> "DataDirLock":
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise DataDirInUseError(
                f"The data directory {self._path.parent} is in use by a running tokentide (pid {holder}). "
                f"Stop that one (Ctrl-C in its terminal, or: kill {holder}), or name another folder with --data-dir."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The file stays: removing it would let two processes lock two different files of the same name.
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, readable and writable by its owner only."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
