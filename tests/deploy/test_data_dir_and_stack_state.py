"""One running stack owns a data directory, and every other command finds it there."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tokentide_deploy.data_dir import DataDir, DataDirLock
from tokentide_deploy.errors import DataDirInUseError, DeployError, NoStackRunningError
from tokentide_deploy.stack_state import (
    ClickHouseAccount,
    ComponentInfo,
    StackAddresses,
    load_stack,
    own_process_started_s,
    save_running,
    save_stopped,
)


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    folder = DataDir(tmp_path / "stack")
    folder.create()
    return folder


def addresses_of(data_dir: DataDir) -> StackAddresses:
    return StackAddresses(
        data_dir=data_dir.root,
        kafka_bootstrap_servers="127.0.0.1:29092",
        clickhouse_writer=ClickHouseAccount(host="127.0.0.1", port=29094, user="tokentide", password="w/p@:?#"),
        clickhouse_reader=ClickHouseAccount(host="127.0.0.1", port=29094, user="reader", password="r"),
        pid=os.getpid(),
        pid_started_s=own_process_started_s(),
        started_at=datetime.now(UTC),
        components={"kafka": ComponentInfo(pid=12345, log_file=data_dir.log_file("kafka"))},
    )


def test_a_second_stack_on_the_same_folder_is_told_the_first_ones_pid(data_dir: DataDir) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tokentide_deploy.data_dir import DataDir, DataDirLock\n"
        "with DataDirLock(DataDir(Path(sys.argv[1]))): print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(data_dir.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(DataDirInUseError) as caught, DataDirLock(data_dir):
            pytest.fail("two owners")
        first.kill()
    assert f"pid {first.pid}" in str(caught.value)
    assert str(data_dir.root) in str(caught.value)
    assert caught.value.exit_status == 3
    with DataDirLock(data_dir):
        pass  # a killed owner's lock is free


def test_passwords_are_made_once_and_closed_to_other_users(data_dir: DataDir) -> None:
    first = data_dir.passwords()
    assert data_dir.passwords() == first
    assert first.writer != first.reader
    file = data_dir.root / "store-passwords.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_running_stack_is_found_with_all_its_addresses(data_dir: DataDir) -> None:
    saved = addresses_of(data_dir)
    save_running(saved)
    assert load_stack(data_dir.root) == saved
    assert stat.S_IMODE(data_dir.stack_file.stat().st_mode) == 0o600


def test_without_a_stack_the_error_says_how_to_start_one(data_dir: DataDir) -> None:
    with pytest.raises(NoStackRunningError, match="tokentide up"):
        load_stack(data_dir.root)


def test_a_stopped_stack_leaves_no_addresses(data_dir: DataDir) -> None:
    save_running(addresses_of(data_dir))
    save_stopped(data_dir)
    with pytest.raises(NoStackRunningError, match="was stopped"):
        load_stack(data_dir.root)
    assert "29092" not in data_dir.stack_file.read_text()


def test_a_killed_stack_is_recognised_even_when_its_pid_lives_again(data_dir: DataDir) -> None:
    dead = addresses_of(data_dir)
    save_running(dead.model_copy(update={"pid_started_s": dead.pid_started_s - 3600}))
    with pytest.raises(NoStackRunningError, match="has died"):
        load_stack(data_dir.root)


def test_a_damaged_stack_file_is_reported_with_its_path(data_dir: DataDir) -> None:
    data_dir.stack_file.write_text('{"state": "running"')
    with pytest.raises(NoStackRunningError, match=r"stack\.json.*damaged"):
        load_stack(data_dir.root)


def test_a_clickhouse_url_survives_the_round_trip() -> None:
    account = ClickHouseAccount(
        scheme="https", host="db.internal", port=8443, user="w@x", password="p/:@%?", settings="max_threads=2"
    )
    assert ClickHouseAccount.from_url(account.url) == account


@pytest.mark.parametrize("url", ["localhost:8123", "tcp://h:9000", "http://", "http://h:notaport"])
def test_an_unusable_clickhouse_url_is_refused(url: str) -> None:
    with pytest.raises(DeployError, match="--clickhouse"):
        ClickHouseAccount.from_url(url)
