"""`tokentide deploy grants`: what is printed, who may do what by it, and that no password is in it."""

from __future__ import annotations

import stat
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from deploy.installation.reading import ROOT
from end_to_end.harness import Stack
from tokentide_deploy.commands.deploy import app
from tokentide_deploy.errors import DeployError
from tokentide_deploy.grants.plan import Choice, plan
from tokentide_deploy.grants.rights import rights
from tokentide_deploy.parts import PARTS
from tokentide_deploy.secret_making import clickhouse_users
from tokentide_schemas import topics
from tokentide_schemas.cubes import CUBES


def test_every_part_has_its_rights_and_senders_can_only_write_the_usage_topic() -> None:
    assert set(PARTS) <= set(rights(CUBES))
    for part in ("gateway", "collector"):
        assert [(one.kind, one.name, one.operation) for one in plan("kafka", Choice(parts=(part,))).acls] == [
            ("topic", topics.USAGE, "Write")
        ]
        assert not plan("clickhouse", Choice(parts=(part,))).sql
    writers = {
        one.principal for one in plan("kafka", Choice()).acls if (one.name, one.operation) == (topics.USAGE, "Write")
    }
    assert writers == {"User:tokentide-gateway", "User:tokentide-collector", "User:tokentide-migrate"}


def test_only_the_operators_role_may_change_tables_and_readers_are_limited() -> None:
    sql = plan("clickhouse", Choice()).sql
    may_create = {one.rpartition(" TO ")[2] for one in sql if one.startswith("GRANT") and "CREATE" in one}
    assert may_create == {"tokentide_migrate"}
    for role in ("tokentide_reader", "tokentide_verify"):
        granted = [one for one in sql if one.endswith(f" TO {role}")]
        assert granted and all(one.startswith(("GRANT SELECT ON", "GRANT dictGet ON")) for one in granted)
    assert any("max_execution_time = 30 CONST" in one for one in sql)


@pytest.mark.embedded
@pytest.mark.parametrize("cluster", ["", "{cluster}"])
def test_the_engine_reads_every_statement(stack: Stack, cluster: str, tmp_path: Path) -> None:
    for statement in plan("clickhouse", Choice(cluster=cluster, secrets=tmp_path)).sql:
        quoted = statement.replace("\\", "\\\\").replace("'", "\\'")
        assert stack.value(f"SELECT formatQuery('{quoted}')")


@pytest.mark.embedded
def test_the_engine_reads_the_grants_of_the_two_accounts_of_the_compose_file(stack: Stack) -> None:
    queries = [one.text for one in ElementTree.fromstring(clickhouse_users("a", "b", "tokentide")).iter("query")]
    assert len(queries) == 5
    for query in queries:
        # A server that cannot read one does not start.
        assert stack.value(f"SELECT formatQuery('{query} TO somebody')")


def test_users_are_made_once_and_their_passwords_stay_in_files_of_their_owner(tmp_path: Path) -> None:
    chosen = Choice(secrets=tmp_path / "new" / "secrets", command_config="")
    first = {system: plan(system, chosen).lines for system in ("kafka", "clickhouse")}  # type: ignore[arg-type]
    assert first == {system: plan(system, chosen).lines for system in ("kafka", "clickhouse")}  # type: ignore[arg-type]
    files = [path for path in (tmp_path / "new" / "secrets").rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    passwords = [path.read_text() for path in files if path.name.endswith("PASSWORD")]
    assert len(set(passwords)) == len(passwords) == 18
    assert not any(one in line for one in passwords for lines in first.values() for line in lines)
    # Such a folder is a part's TOKENTIDE_SECRETS_DIR: its files are settings.
    assert {path.name for path in files} <= set((ROOT / "docs/settings.md").read_text().replace("`", " ").split())


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (Choice(parts=("gate",)), "no part gate; there are: gateway"),
        (Choice(principals=("worker:alice",)), "write PART=User:NAME"),
        (Choice(database="a; DROP"), "database name"),
        (Choice(cubes=Path("/nowhere/cubes.toml")), "cubes.toml"),
    ],
)
def test_wrong_options_are_told_with_what_is_possible(chosen: Choice, says: str) -> None:
    with pytest.raises(DeployError, match=says):
        plan("kafka" if chosen.principals else "clickhouse", chosen)


def test_a_principal_of_a_certificate_takes_the_place_of_the_user() -> None:
    given = ["grants", "kafka", "--part", "gateway", "--principal", "gateway=User:CN=gw,O=Acme"]
    printed = CliRunner().invoke(app, given).output
    assert "--allow-principal User:CN=gw,O=Acme --operation Write --topic tokentide.usage.v1" in printed


def test_without_an_address_apply_says_which_setting_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS", "TOKENTIDE_CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    for system, name in (("kafka", "KAFKA_BOOTSTRAP_SERVERS"), ("clickhouse", "CLICKHOUSE_URL")):
        error = CliRunner().invoke(app, ["grants", system, "--apply"]).exception
        assert isinstance(error, DeployError) and f"TOKENTIDE_{name}" in str(error)
