"""A backup file: what is in it, and everything that can be wrong with it is said before or instead of restoring it."""

from __future__ import annotations

import datetime as dt
import io
import stat
import tarfile
from pathlib import Path

import pytest

from tokentide_deploy.backup.create import create_backup
from tokentide_deploy.backup.manifest import MANIFEST_NAME, BackupError, parse_manifest, versions_here
from tokentide_deploy.backup.restore import check_backup, open_backup, restore_backup
from tokentide_deploy.data_dir import DataDir, DataDirLock
from tokentide_deploy.errors import DataDirInUseError

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
CONTENT = b"a part of a table" * 1000


@pytest.fixture
def stopped(tmp_path: Path) -> DataDir:
    """A folder as a stopped stack leaves it, in small."""
    data_dir = DataDir(tmp_path / "stack")
    data_dir.create()
    data_dir.passwords()
    (data_dir.kafka / "log").mkdir(parents=True)
    (data_dir.kafka / "log" / "meta.properties").write_text("cluster.id=x\n")
    (data_dir.kafka / "log" / ".lock").touch()
    engine = data_dir.store / "engine"
    (engine / "store" / "abc").mkdir(parents=True)
    (engine / "store" / "abc" / "data.bin").write_bytes(CONTENT)
    (engine / "store" / "abc" / "data.bin").chmod(0o640)
    (engine / "data").mkdir()
    (engine / "data" / "usage").symlink_to("../store/abc")
    data_dir.log_file("worker").write_text("a line\n")
    return data_dir


@pytest.fixture
def backup(stopped: DataDir, tmp_path: Path) -> Path:
    file = tmp_path / "backup.tar"
    create_backup(stopped, file, NOW)
    return file


def test_everything_but_logs_and_locks_comes_back_with_its_mode(backup: Path, stopped: DataDir, tmp_path: Path) -> None:
    copied = []
    restored = DataDir(tmp_path / "restored")
    with open_backup(backup) as opened:
        check_backup(opened)
        restore_backup(opened, restored, copied.append)
    engine = restored.store / "engine"
    assert (engine / "data" / "usage" / "data.bin").read_bytes() == CONTENT
    assert stat.S_IMODE((engine / "store" / "abc" / "data.bin").stat().st_mode) == 0o640
    assert (engine / "data" / "usage").readlink() == Path("../store/abc")
    assert restored.passwords() == stopped.passwords()
    assert stat.S_IMODE((restored.root / "store-passwords.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert {path.name for path in restored.root.iterdir()} == {
        "kafka",
        "store",
        "store-passwords.json",
        "tokentide.lock",
    }
    assert sum(copied) == opened.manifest.total_bytes


def test_a_running_stack_is_refused_with_what_to_do(stopped: DataDir, tmp_path: Path) -> None:
    with DataDirLock(stopped), pytest.raises(DataDirInUseError, match="Stop that one"):
        create_backup(stopped, tmp_path / "backup.tar", NOW)
    assert not (tmp_path / "backup.tar").exists()


def test_a_backup_never_replaces_a_file_or_lies_in_what_it_copies(
    backup: Path, stopped: DataDir, tmp_path: Path
) -> None:
    with pytest.raises(BackupError, match="exists; name another"):
        create_backup(stopped, backup, NOW)
    with pytest.raises(BackupError, match="inside the data directory"):
        create_backup(stopped, stopped.root / "backup.tar", NOW)
    with pytest.raises(BackupError, match="nothing to back up"):
        (tmp_path / "other").mkdir()
        create_backup(DataDir(tmp_path / "other"), tmp_path / "none.tar", NOW)


def test_a_folder_with_anything_in_it_is_not_restored_into(backup: Path, stopped: DataDir, tmp_path: Path) -> None:
    with open_backup(backup) as opened:
        with pytest.raises(BackupError, match="is not empty"):
            restore_backup(opened, stopped)
        (tmp_path / "half" / ".restoring").mkdir(parents=True)
        with pytest.raises(BackupError, match="broken off"):
            restore_backup(opened, DataDir(tmp_path / "half"))


def test_one_wrong_byte_is_found_and_leaves_the_folder_empty(backup: Path, tmp_path: Path) -> None:
    whole = backup.read_bytes()
    at = whole.index(CONTENT) + 5_000
    backup.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    restored = DataDir(tmp_path / "restored")
    with open_backup(backup) as opened:
        with pytest.raises(BackupError, match=r"abc/data\.bin is not what was written"):
            check_backup(opened)
        with pytest.raises(BackupError, match=r"abc/data\.bin is not what was written"):
            restore_backup(opened, restored)
    assert [path.name for path in restored.root.iterdir()] == ["tokentide.lock"]
    backup.write_bytes(whole)
    with open_backup(backup) as opened:
        restore_backup(opened, restored)


@pytest.mark.parametrize("last_seen", [b"", b"meta.properties", b"a part of", b"sha256", b"manifest.sha256"])
def test_a_file_that_was_cut_off_is_damaged(backup: Path, last_seen: bytes) -> None:
    whole = backup.read_bytes()
    backup.write_bytes(whole[: whole.index(last_seen) + len(last_seen)])
    with pytest.raises(BackupError, match=r"damaged"), open_backup(backup):
        pass


def test_a_changed_manifest_is_damaged(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes().replace(b'"mode": 416', b'"mode": 420'))
    with pytest.raises(BackupError, match="manifest is not what was written"), open_backup(backup):
        pass


def test_a_tar_of_something_else_is_no_backup(tmp_path: Path) -> None:
    file = tmp_path / "other.tar"
    with tarfile.open(file, "w") as archive:
        archive.addfile(tarfile.TarInfo("readme"), io.BytesIO())
    with pytest.raises(BackupError, match="no backup of tokentide"), open_backup(file):
        pass
    with pytest.raises(BackupError, match="There is no backup"), open_backup(tmp_path / "none.tar"):
        pass


@pytest.mark.parametrize("part", ["tokentide", "kafka", "clickhouse_engine"])
def test_what_a_newer_version_wrote_is_refused_by_name(
    stopped: DataDir, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = versions_here().model_copy(update={part: "999.1"})
    monkeypatch.setattr("tokentide_deploy.backup.create.versions_here", lambda: newer)
    create_backup(stopped, tmp_path / "newer.tar", NOW)
    with open_backup(tmp_path / "newer.tar") as opened, pytest.raises(BackupError, match=r"newer.*999\.1"):
        restore_backup(opened, DataDir(tmp_path / "restored"))
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format_version": 1', '"format_version": 2', "format 2; this tokentide reads up to 1"),
        ("tokentide-backup", "another-backup", "no backup of tokentide"),
        ('"path": "kafka"', '"path": "../kafka"', "leads out of the data directory"),
        ('"path": "kafka"', '"path": "/kafka"', "leads out of the data directory"),
        ("../store/abc", "../../../../outside", "leads out of the data directory"),
        ("{", "", "cannot be read"),
    ],
)
def test_a_manifest_that_asks_for_what_must_not_be_is_refused(backup: Path, old: str, new: str, message: str) -> None:
    with tarfile.open(backup) as archive:
        file = archive.extractfile(MANIFEST_NAME)
        assert file is not None
        text = file.read().decode()
    assert old in text
    with pytest.raises(BackupError, match=message):
        parse_manifest(text.replace(old, new, 1).encode(), "backup.tar")
