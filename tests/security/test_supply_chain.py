"""The supply chain: everything pinned by hash, every licence one we may use, no secret in the repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.installation.reading import ROOT
from tokentide_deploy.supply_chain import is_allowed, licence_page, licences, locked_names

BIN = Path(sys.executable).parent
LOCKS = sorted(path for path in ROOT.rglob("*.lock") if ".venv" not in path.parts and "node_modules" not in path.parts)


def tracked_files() -> list[str]:
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [name for name in run.stdout.decode().split("\0") if name]


@pytest.mark.parametrize("lock", LOCKS, ids=[str(path.relative_to(ROOT)) for path in LOCKS])
def test_every_package_is_pinned_by_hash_and_by_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = [entry for entry in re.split(r"\n(?=[a-z0-9])", "\n" + text)[1:] if entry.strip()]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,-]+\])?==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
    assert not re.search(r"https?://|index-url|find-links", text)


def test_every_runtime_package_has_a_licence_that_may_be_used() -> None:
    found = licences(locked_names(ROOT / "requirements.lock"))
    not_allowed = {name: licence for name, licence in found.items() if not is_allowed(name, licence)}
    assert not not_allowed, f"read these licences, then allow them or leave the package: {not_allowed}"


@pytest.mark.parametrize("licence", ["GPL or kin", "AGPL-3.0-only", "unknown", "MIT AND GPL-3.0-only"])
def test_a_licence_that_binds_our_own_code_is_refused(licence: str) -> None:
    assert not is_allowed("some-package", licence)


def test_the_page_of_licences_is_current() -> None:
    expected = licence_page(licences(locked_names(ROOT / "requirements.lock")))
    assert (ROOT / "docs" / "licences.md").read_text() == expected, "run: python -m tokentide_deploy.supply_chain"


def test_the_bill_of_materials_has_every_runtime_package(tmp_path: Path) -> None:
    target = tmp_path / "sbom.json"
    command = [BIN / "cyclonedx-py", "requirements", ROOT / "requirements.lock", "--of", "JSON", "-o", target]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    components = {entry["name"]: entry["version"] for entry in json.loads(target.read_text())["components"]}
    assert set(components) == locked_names(ROOT / "requirements.lock")
    assert all(components.values())


def test_no_secret_is_in_the_repository() -> None:
    # Of kinds that have a form of their own; random-looking text is a hash or a test's data here.
    kinds = ("AWS", "Azure", "Github", "GitLab", "JSON Web Token", "Private Key", "OpenAI", "Slack", "Stripe", "PyPI")
    files = [name for name in tracked_files() if not name.endswith((".lock", ".js", ".png", ".arrow"))]
    run = subprocess.run(
        [BIN / "detect-secrets", "scan", *disabled_plugins(), *files], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    found = {
        f"{name}:{entry['line_number']}": entry["type"]
        for name, entries in json.loads(run.stdout)["results"].items()
        for entry in entries
        if entry["type"].startswith(kinds)
    }
    assert not found, f"take these out of the history, and make new ones: {found}"


def test_the_scan_finds_a_secret(tmp_path: Path) -> None:
    (tmp_path / "key.py").write_text("key = 'AKIA" + "QYLPMN5HHHFPZAM2'\n")
    run = subprocess.run(
        [BIN / "detect-secrets", "scan", *disabled_plugins(), "key.py"], cwd=tmp_path, capture_output=True
    )
    assert [e["type"] for e in json.loads(run.stdout)["results"]["key.py"]] == ["AWS Access Key"]


def disabled_plugins() -> list[str]:
    off = (
        "Base64HighEntropyString",
        "HexHighEntropyString",
        "KeywordDetector",
        "BasicAuthDetector",
        "IPPublicDetector",
    )
    return [part for name in off for part in ("--disable-plugin", name)]


def test_no_package_registry_and_no_path_of_a_machine_is_named() -> None:
    hosts = (
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "registry.npmjs" + ".org",
        "repo1.maven" + ".org",
        "deb.debian" + ".org",
    )
    for name in tracked_files():
        path = ROOT / name
        if path.suffix in (".png", ".arrow") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert not [host for host in hosts if host in text], name
        assert ("/work" + "/main") not in text, name
