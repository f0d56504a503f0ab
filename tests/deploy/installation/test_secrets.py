"""Secrets of an installation: made once, each reader its own, and taken from files."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tokentide_deploy.errors import DeployError
from tokentide_deploy.secret_files import environment_with_secrets
from tokentide_deploy.secret_making import FIRST_TOKEN_FILE, TOKEN_FILE, Target, make
from tokentide_deploy.stack_state import ClickHouseAccount
from tokentide_producers.collector.tokens import Tokens

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
TARGET = Target("clickhouse", 8123)


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    assert make(tmp_path, TARGET, "gw-1", NOW)
    first = contents(tmp_path)
    assert make(tmp_path, TARGET, "gw-1", NOW) == []
    assert contents(tmp_path) == first


def test_a_start_that_broke_off_is_completed_with_the_same_passwords(tmp_path: Path) -> None:
    make(tmp_path, TARGET, "gw-1", NOW)
    first = contents(tmp_path)
    (tmp_path / "clickhouse" / "tokentide.xml").unlink()
    (tmp_path / "reader" / "TOKENTIDE_CLICKHOUSE_URL").unlink()
    make(tmp_path, TARGET, "gw-1", NOW)
    assert contents(tmp_path) == first


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tmp_path / name, TARGET, "gw-1", NOW)
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert set(a) == set(b)
    assert not set(a.values()) & set(b.values())


def test_clickhouse_knows_the_two_accounts_by_hash_and_no_default_user(tmp_path: Path) -> None:
    make(tmp_path, TARGET, "gw-1", NOW)
    text = (tmp_path / "clickhouse" / "tokentide.xml").read_text()
    users = ElementTree.fromstring(text).find("users")
    assert users is not None
    assert users.find("default").get("remove") == "remove"  # type: ignore[union-attr]
    for folder, user in (("writer", "tokentide"), ("reader", "reader")):
        account = ClickHouseAccount.from_url((tmp_path / folder / "TOKENTIDE_CLICKHOUSE_URL").read_text())
        assert (account.user, account.host, account.port) == (user, "clickhouse", 8123)
        assert account.password not in text
        digest = hashlib.sha256(account.password.encode()).hexdigest()
        assert users.findtext(f"{user}/password_sha256_hex") == digest
    grants = [query.text or "" for query in users.findall("reader/grants/query")]
    assert grants == ["GRANT SELECT, SHOW, dictGet ON tokentide.*"]


def test_the_first_token_opens_the_collector_and_only_its_hash_is_in_the_collectors_file(tmp_path: Path) -> None:
    make(tmp_path, TARGET, "gw-1", NOW)
    token = (tmp_path / "collector" / FIRST_TOKEN_FILE).read_text()
    assert Tokens(tmp_path / "collector" / TOKEN_FILE).gateway_of(token) == "gw-1"
    assert token not in (tmp_path / "collector" / TOKEN_FILE).read_text()


def test_what_our_own_processes_read_is_closed_to_others(tmp_path: Path) -> None:
    make(tmp_path, TARGET, "gw-1", NOW)
    for folder in ("writer", "reader", "collector", "passwords"):
        for path in (tmp_path / folder).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_files_become_variables_and_variables_that_are_set_win(tmp_path: Path) -> None:
    (tmp_path / "TOKENTIDE_CLICKHOUSE_URL").write_text("http://from-file\n")
    (tmp_path / "TOKENTIDE_BOARD_TOKEN").write_text("from file")
    (tmp_path / "tokens.json").write_text("{}")
    (tmp_path / "..data").mkdir()
    found = environment_with_secrets({"TOKENTIDE_SECRETS_DIR": str(tmp_path), "TOKENTIDE_BOARD_TOKEN": "set"})
    assert found["TOKENTIDE_CLICKHOUSE_URL"] == "http://from-file"
    assert found["TOKENTIDE_BOARD_TOKEN"] == "set"
    assert "tokens.json" not in found


def test_a_secret_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "TOKENTIDE_CLICKHOUSE_URL").write_bytes(b"se\xffcret")
    with pytest.raises(DeployError) as caught:
        environment_with_secrets({"TOKENTIDE_SECRETS_DIR": str(tmp_path)})
    assert "TOKENTIDE_CLICKHOUSE_URL" in str(caught.value)
    assert "cret" not in re.sub("secret", "", str(caught.value))
    with pytest.raises(DeployError, match="TOKENTIDE_SECRETS_DIR="):
        environment_with_secrets({"TOKENTIDE_SECRETS_DIR": str(tmp_path / "none")})
