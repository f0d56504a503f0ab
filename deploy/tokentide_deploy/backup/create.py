"""Copy a data directory that nobody uses into one archive."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, Literal

from tokentide_deploy.backup.manifest import (
    DATA_PREFIX,
    DIGEST_NAME,
    MANIFEST_NAME,
    BackupError,
    Entry,
    Manifest,
    versions_here,
)
from tokentide_deploy.data_dir import DataDir, DataDirLock
from tokentide_deploy.store.lock import DirectoryLock, DirectoryTakenError

LEFT_OUT: Final = frozenset(
    {
        "tokentide.lock",
        "stack.json",
        "logs",
        "run",
        "kafka/tmp",
        "kafka/log/.lock",
        "store/store.lock",
        "store/disk-reserve",
    }
)
"""Made anew at every start, and locks. Logs are for people, not for a restore."""
_FREE_BYTES_LEFT: Final = 64 << 20


class HashingReader:
    """Hands a file on to tarfile, hashing and reporting what passes."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        data = self._file.read(size)
        self._hash.update(data)
        self._advance(len(data))
        return data

    @property
    def sha256(self) -> str:
        """Of everything read so far, in hex."""
        return self._hash.hexdigest()


def create_backup(
    data_dir: DataDir,
    file: Path,
    now: datetime,
    begin: Callable[[int], None] = lambda _bytes: None,
    advance: Callable[[int], None] = lambda _bytes: None,
) -> Manifest:
    """Write `file`, which must not exist; it appears under its name only when it is whole and on disk.

    begin: told the total in bytes. advance: told each piece copied, in bytes. Raises BackupError, and DataDirInUseError
    while a stack runs on the folder.
    """
    if not data_dir.root.is_dir():
        raise BackupError(f"There is no data directory {data_dir.root}; name the stack's with --data-dir.")
    holds = _holds(data_dir)
    file = file.expanduser().absolute()
    if file.resolve().is_relative_to(data_dir.root.resolve()):
        raise BackupError(f"{file} is inside the data directory it would copy; name a file outside {data_dir.root}.")
    if file.exists():
        raise BackupError(f"{file} exists; name another file, or remove it first.")
    with DataDirLock(data_dir), _nobody_writes(data_dir):
        paths = list(_walk(data_dir.root))
        total_bytes = sum(path.lstat().st_size for path in paths if not path.is_symlink() and path.is_file())
        partial = file.with_name(f".{file.name}.partial")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            free_bytes = shutil.disk_usage(file.parent).free
            if free_bytes < total_bytes + _FREE_BYTES_LEFT:
                raise BackupError(
                    f"{file.parent} has {free_bytes / 1e6:,.0f} MB free, the backup takes {total_bytes / 1e6:,.0f} MB. "
                    "Free space there, or name another folder."
                )
            begin(total_bytes)
            manifest = _write(data_dir, partial, paths, (now, holds), advance)
            partial.replace(file)
            _sync_folder(file.parent)
        except OSError as error:
            raise BackupError(
                f"The backup {file} was not written: {error}. Nothing is changed in the stack."
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    return manifest


def _holds(data_dir: DataDir) -> tuple[Literal["kafka", "store"], ...]:
    holds: list[Literal["kafka", "store"]] = []
    if (data_dir.kafka / "log" / "meta.properties").exists():
        holds.append("kafka")
    if (data_dir.store / "engine").is_dir():
        holds.append("store")
    if not holds:
        raise BackupError(
            f"{data_dir.root} holds neither an embedded Kafka nor an embedded store, so there is nothing to back up. "
            "Name the stack's folder with --data-dir; for a Kafka and ClickHouse of your own see "
            "docs/operations/backup.md."
        )
    return tuple(holds)


@contextmanager
def _nobody_writes(data_dir: DataDir) -> Iterator[None]:
    """A killed `tokentide up` frees its lock at once; a child of it may live a moment longer."""
    with ExitStack() as held:
        if data_dir.store.is_dir():
            try:
                held.callback(DirectoryLock(data_dir.store).close)
            except DirectoryTakenError as error:
                raise BackupError(f"The store still runs: {error}. Wait until it has ended, then repeat.") from error
        kafka_lock = data_dir.kafka / "log" / ".lock"
        if kafka_lock.exists():
            lock = held.enter_context(kafka_lock.open("r+b"))
            try:
                # Java's FileLock is a POSIX record lock, not a flock.
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BackupError(
                    f"Kafka still runs on {data_dir.kafka}. Wait until it has ended, then repeat."
                ) from error
        yield


def _walk(root: Path, below: str = "") -> Iterator[Path]:
    for child in sorted((root / below).iterdir()):
        path = child.relative_to(root).as_posix()
        if path in LEFT_OUT or (child.name.startswith(".") and child.name.endswith(".partial")):
            continue
        yield child
        if child.is_dir() and not child.is_symlink():
            yield from _walk(root, path)


def _write(
    data_dir: DataDir,
    partial: Path,
    paths: list[Path],
    facts: tuple[datetime, tuple[Literal["kafka", "store"], ...]],
    advance: Callable[[int], None],
) -> Manifest:
    partial.unlink(missing_ok=True)
    # It holds passwords: for its owner alone.
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    entries = []
    with os.fdopen(descriptor, "w+b") as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in paths:
                entries.append(_add(archive, path, path.relative_to(data_dir.root).as_posix(), advance))
            manifest = Manifest(
                created_at=facts[0],
                data_dir=str(data_dir.root),
                versions=versions_here(),
                holds=facts[1],
                entries=tuple(entries),
            )
            text = manifest.model_dump_json(indent=1).encode() + b"\n"
            for name, data in (
                (MANIFEST_NAME, text),
                (DIGEST_NAME, hashlib.sha256(text).hexdigest().encode() + b"\n"),
            ):
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.mtime = len(data), 0o600, int(facts[0].timestamp())
                archive.addfile(info, io.BytesIO(data))
        out.flush()
        os.fsync(out.fileno())
    return manifest


def _add(archive: tarfile.TarFile, path: Path, name: str, advance: Callable[[int], None]) -> Entry:
    info = tarfile.TarInfo(DATA_PREFIX + name)
    facts = path.lstat()
    mode = stat.S_IMODE(facts.st_mode)
    info.mode, info.mtime = mode, int(facts.st_mtime)
    if stat.S_ISLNK(facts.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(info)
        return Entry(path=name, kind="link", mode=mode, target=info.linkname)
    if stat.S_ISDIR(facts.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        return Entry(path=name, kind="folder", mode=mode)
    if not stat.S_ISREG(facts.st_mode):
        raise BackupError(f"{path} is neither a file, a folder nor a link, so it cannot be backed up; remove it.")
    with path.open("rb") as file:
        info.size = facts.st_size
        reader = HashingReader(file, advance)
        archive.addfile(info, reader)
    return Entry(path=name, kind="file", mode=mode, bytes=facts.st_size, sha256=reader.sha256)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
