"""The documentation: it builds, asks nobody else for anything, and every command in it is one that exists."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

import click
import pytest
import yaml

from deploy.installation.reading import ROOT, parse_command
from tokentide_schemas.event import UsageEvent

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "dashboards" / "README.md"]
# Programs that are not ours: what stands before them in a page is the reader's own machine.
OF_OTHERS = {
    "curl",
    "docker",
    "kubectl",
    "helm",
    "export",
    "pip",
    "litellm",
    "sqlite3",
    "cat",
    "cd",
    "unset",
    "openssl",
    "printf",
    "gzip",
    "kcat",
    "opentelemetry-instrument",
}


def shell_lines() -> list[tuple[str, str]]:
    """Page and command of each line of each shell block, continuations joined."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            joined = re.sub(r"\\\n\s*", "", block)
            # What a command reads from a here-document is no command.
            joined = re.sub(r"<<'?(\w+)'?(.*)\n(?:.*\n)*?\1\n", r"\2\n", joined)
            for command in whole_commands(joined):
                found.append((str(page.relative_to(ROOT)), command))
    return found


def whole_commands(block: str) -> list[str]:
    """Lines, except that an open quotation goes on in the next."""
    found, open_command = [], ""
    for line in block.splitlines():
        open_command += line
        try:
            words = shlex.split(open_command, comments=True)
        except ValueError:
            open_command += "\n"
            continue
        if words:
            found.append(open_command)
        open_command = ""
    assert not open_command, f"a quotation is never closed: {open_command}"
    return found


LINES = shell_lines()


@pytest.mark.parametrize(("page", "command"), LINES, ids=[f"{p}:{c[:60]}" for p, c in LINES])
def test_every_command_in_the_documentation_exists(page: str, command: str) -> None:
    for part in re.split(r"\s(?:\||&&|;)\s", command):
        words = shlex.split(part, comments=True)
        while words and re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0]):
            words = words[1:]
        if not words:
            continue
        program = words[0].removeprefix(".venv/bin/")
        if program == "docker" and "tokentide" in words:
            words, program = words[words.index("tokentide") :], "tokentide"
        if program == "kubectl" and "--" in words and words[words.index("--") + 1] == "tokentide":
            words, program = words[words.index("--") + 1 :], "tokentide"
        if program == "tokentide":
            check_ours(words[1:])
        elif program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            unknown = [word for word in words[1:] if "=" not in word and word not in targets]
            assert not unknown, f"{page}: the Makefile has no target {unknown}"
        elif program in ("python", "python3") and "-m" in words:
            module = words[words.index("-m") + 1]
            assert module in ("venv", "pip") or exists(module), f"{page}: there is no module {module}"
        else:
            assert program in OF_OTHERS or program in ("python", "python3"), f"{page}: what is {program}?"


def check_ours(arguments: list[str]) -> None:
    arguments = [word for word in arguments if word not in ("2>&1", "&")]
    if not arguments or arguments[0].startswith("-"):
        return
    try:
        parse_command(arguments)
    except click.exceptions.Exit:
        return  # --help
    except click.BadParameter as error:
        # A file of the reader's that does not exist here is no mistake of the page.
        if "does not exist" not in str(error):
            raise


def exists(module: str) -> bool:
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir() or importlib.util.find_spec(module) is not None


def test_every_command_of_ours_is_documented() -> None:
    from tokentide_deploy.cli import COMMANDS

    text = "\n".join(page.read_text() for page in PAGES)
    missing = [name for name in COMMANDS if not re.search(rf"tokentide {name}\b", text)]
    assert not missing, f"no page shows tokentide {missing}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_the_site_builds_strictly_and_has_every_page(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        name = re.sub(r"README\.md$", "index.md", name)
        assert name in built, f"{page} is not in the site"


def test_every_decision_and_runbook_is_in_its_list() -> None:
    for folder in ("decisions", "runbooks"):
        text = (ROOT / "docs" / folder / "README.md").read_text()
        for page in sorted((ROOT / "docs" / folder).glob("*.md")):
            assert page.name == "README.md" or f"({page.name}" in text, f"{folder}/README.md does not list {page.name}"


def test_the_site_asks_nobody_else_for_anything(site: Path) -> None:
    for path in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=[\"'](https?:[^\"']+)", path.read_text())
        loaded += re.findall(
            r"<link[^>]+rel=[\"'](?:stylesheet|preconnect|icon)[\"'][^>]+href=[\"'](https?:[^\"']+)", path.read_text()
        )
        assert not loaded, f"{path.name} loads {loaded}"


def test_the_contributing_pages_examples_are_valid(tmp_path: Path) -> None:
    from tokentide_schemas.catalogue import load_catalogue
    from tokentide_schemas.cube_file import load_cubes

    text = (ROOT / "docs" / "contributing.md").read_text()
    (cube,) = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (model,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "cubes.toml").write_text(cube)
    (tmp_path / "mine.yaml").write_text(model)
    assert tomllib.loads(cube)["cube"][0]["name"] in {c.name for c in load_cubes(tmp_path / "cubes.toml")}
    assert yaml.safe_load(model)["models"][0]["id"] in load_catalogue((tmp_path / "mine.yaml",)).models


def test_the_capacity_rules_name_metrics_that_processes_serve() -> None:
    page = (ROOT / "docs/operations/capacity.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    rules = yaml.safe_load(block)["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"\b(?:tokentide|process)_\w+", rule["expr"])}
    served = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/process-metrics.md").read_text(), re.MULTILINE))
    assert len(asked) > 5 and asked <= served, asked - served


EVENTS = [(page, command) for page, command in LINES if "/v1/events" in command and " -d '" in command]


@pytest.mark.parametrize(("page", "command"), EVENTS, ids=[page for page, _ in EVENTS])
def test_an_event_that_the_documentation_sends_is_one(page: str, command: str) -> None:
    sent = f'curl() {{ printf %s "${{@: -1}}"; }}; {command}'
    event = json.loads(subprocess.run(["bash", "-c", sent], capture_output=True, text=True, check=True).stdout)
    UsageEvent.model_validate({"event_id": str(uuid.uuid4()), **event})
