"""Check a backup, and put one into an empty data directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokentide_deploy.backup.manifest import (
    DATA_PREFIX,
    DIGEST_NAME,
    MANIFEST_NAME,
    BackupError,
    Entry,
    Manifest,
    check_versions,
    parse_manifest,
    versions_here,
)
from tokentide_deploy.data_dir import DataDir, DataDirLock

_READ_BYTES: Final = 1 << 20
_FREE_BYTES_LEFT: Final = 256 << 20
"""Kafka and the store need some to start."""
UNFINISHED: Final = ".restoring"
"""Where a restore writes; what is in it moves up when all of it is right."""
_IGNORED: Final = frozenset({"tokentide.lock", "lost+found"})


@dataclass(frozen=True)
class OpenBackup:
    """A backup whose manifest has been read and is right."""

    file: Path
    manifest: Manifest
    archive: tarfile.TarFile
    members: dict[str, tarfile.TarInfo]


@contextmanager
def open_backup(file: Path) -> Iterator[OpenBackup]:
    """Read the manifest and compare it with the archive's table of members. Raises BackupError."""
    if not file.is_file():
        raise BackupError(f"There is no backup {file}.")
    try:
        archive = tarfile.open(file, "r:")  # noqa: SIM115 - closed below
    except (tarfile.TarError, OSError) as error:
        raise BackupError(f"{file} is damaged, or no backup of tokentide: {error}.") from error
    with archive:
        try:
            members = {one.name: one for one in archive.getmembers()}
            text, digest = (_content(archive, members, name) for name in (MANIFEST_NAME, DIGEST_NAME))
        except (tarfile.TarError, OSError) as error:
            raise BackupError(f"{file} is damaged: {error}. Use another backup.") from error
        if text is None or digest is None:
            raise BackupError(
                f"{file} has no manifest, so it is cut off, damaged or no backup of tokentide. Use another backup."
            )
        manifest = parse_manifest(text, str(file))
        if hashlib.sha256(text).hexdigest() != digest.decode("ascii", "replace").strip():
            raise BackupError(f"{file} is damaged: its manifest is not what was written. Use another backup.")
        for entry in manifest.entries:
            member = members.get(DATA_PREFIX + entry.path)
            if member is None or (entry.kind == "file" and member.size != entry.bytes):
                raise BackupError(f"{file} is damaged: {entry.path} is missing or cut off. Use another backup.")
        yield OpenBackup(file, manifest, archive, members)


def check_backup(backup: OpenBackup, advance: Callable[[int], None] = lambda _bytes: None) -> None:
    """Read everything and compare each checksum. Raises BackupError that names the first damaged file."""
    for entry in backup.manifest.entries:
        if entry.kind == "file":
            for _ in _pieces(backup, entry, advance):
                pass


def restore_backup(backup: OpenBackup, data_dir: DataDir, advance: Callable[[int], None] = lambda _bytes: None) -> None:
    """Put everything into a folder that is empty or does not exist. After an error it is as empty as before.

    advance: told each piece copied, in bytes. Raises BackupError, and DataDirInUseError.
    """
    check_versions(backup.manifest, versions_here(), str(backup.file))
    _refuse_content(data_dir)
    data_dir.create()
    with DataDirLock(data_dir):
        for name in ("logs", "run"):
            (data_dir.root / name).rmdir()
        _refuse_content(data_dir)
        free_bytes = shutil.disk_usage(data_dir.root).free
        if free_bytes < backup.manifest.total_bytes + _FREE_BYTES_LEFT:
            raise BackupError(
                f"{data_dir.root} has {free_bytes / 1e6:,.0f} MB free; the backup takes "
                f"{backup.manifest.total_bytes / 1e6:,.0f} MB, and the stack needs some more to start."
            )
        unfinished = data_dir.root / UNFINISHED
        try:
            unfinished.mkdir(mode=0o700)
            _extract(backup, unfinished, advance)
            # One for all: thousands of small files, each waited for, took half a minute on a busy disk.
            os.sync()
            for child in sorted(unfinished.iterdir()):
                child.rename(data_dir.root / child.name)
        except OSError as error:
            raise BackupError(f"{backup.file} was not restored into {data_dir.root}: {error}.") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _refuse_content(data_dir: DataDir) -> None:
    if not data_dir.root.exists():
        return
    if not data_dir.root.is_dir():
        raise BackupError(f"{data_dir.root} is no folder; name an empty one with --data-dir.")
    found = sorted(child.name for child in data_dir.root.iterdir() if child.name not in _IGNORED)
    if found == [UNFINISHED]:
        raise BackupError(
            f"{data_dir.root} holds a restore that was broken off. Remove {data_dir.root / UNFINISHED}, then repeat."
        )
    if found:
        raise BackupError(
            f"{data_dir.root} is not empty ({', '.join(found[:3])}). A backup goes into an empty folder only: name "
            "another with --data-dir, or move this one away."
        )


def _extract(backup: OpenBackup, target: Path, advance: Callable[[int], None]) -> None:
    folders = []
    for entry in backup.manifest.entries:
        path = target / entry.path
        if entry.kind == "folder":
            path.mkdir(mode=0o700)
            folders.append((path, entry.mode))
        elif entry.kind == "link":
            path.symlink_to(entry.target)
        else:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for piece in _pieces(backup, entry, advance):
                    out.write(piece)
                os.fchmod(out.fileno(), entry.mode)
            modified_s = backup.members[DATA_PREFIX + entry.path].mtime
            os.utime(path, (modified_s, modified_s))
    for path, mode in reversed(folders):
        path.chmod(mode)


def _pieces(backup: OpenBackup, entry: Entry, advance: Callable[[int], None]) -> Iterator[bytes]:
    """A file's content; the last piece is handed out before the checksum is compared."""
    damaged = BackupError(f"{backup.file} is damaged: {entry.path} is not what was written. Use another backup.")
    file = backup.archive.extractfile(backup.members[DATA_PREFIX + entry.path])
    if file is None:
        raise damaged
    checksum = hashlib.sha256()
    with file:
        try:
            while piece := file.read(_READ_BYTES):
                checksum.update(piece)
                advance(len(piece))
                yield piece
        except tarfile.TarError as error:
            raise damaged from error
    if checksum.hexdigest() != entry.sha256:
        raise damaged


def _content(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> bytes | None:
    file = archive.extractfile(members[name]) if name in members else None
    return file.read() if file is not None else None
