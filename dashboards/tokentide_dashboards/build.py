"""Write the dashboards and the provisioning files that a Grafana mounts: `python -m tokentide_dashboards.build`.

The files are committed. `--check` writes nothing and exits with 1 and a diff when they are not what the code builds.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from tokentide_dashboards.agentic import agentic_dashboard
from tokentide_dashboards.alerts import alerts_dashboard
from tokentide_dashboards.categories import categories_dashboard
from tokentide_dashboards.clickhouse_query import DATASOURCE_TYPE, PLUGIN_VERSION
from tokentide_dashboards.cost import cost_dashboard
from tokentide_dashboards.geography import geography_dashboard
from tokentide_dashboards.grafana_alerts import api_group, provisioning
from tokentide_dashboards.model import model_dashboard
from tokentide_dashboards.models import models_dashboard
from tokentide_dashboards.now import now_dashboard
from tokentide_dashboards.open_closed import open_closed_dashboard
from tokentide_dashboards.pipeline import pipeline_dashboard
from tokentide_dashboards.providers import providers_dashboard
from tokentide_dashboards.rankings import rankings_dashboard
from tokentide_dashboards.requests import requests_dashboard
from tokentide_dashboards.retention import retention_dashboard

GRAFANA_DIRECTORY: Final = Path(__file__).resolve().parents[1] / "grafana"
FOLDER: Final = "tokentide"
"""Uid and title of the folder that holds the dashboards in Grafana."""
DATASOURCE_UID: Final = "tokentide-clickhouse"
MOUNTED_DASHBOARDS: Final = "/var/lib/grafana/dashboards/tokentide"
"""Where the provisioning file expects the folder `dashboards` inside Grafana's container."""

DASHBOARDS: Final[dict[str, Callable[[], Dashboard]]] = {
    "now": now_dashboard,
    "models": models_dashboard,
    "model": model_dashboard,
    "requests": requests_dashboard,
    "rankings": rankings_dashboard,
    "categories": categories_dashboard,
    "open-closed": open_closed_dashboard,
    "providers": providers_dashboard,
    "agentic": agentic_dashboard,
    "geography": geography_dashboard,
    "cost": cost_dashboard,
    "retention": retention_dashboard,
    "alerts": alerts_dashboard,
    "pipeline": pipeline_dashboard,
}
"""File name below `dashboards` without its ending -> what builds it. The uid is `tokentide-` and the name."""

_DATASOURCE_HEADER: Final = """\
# Written by `python -m tokentide_dashboards.build`; do not edit.
# Mount this folder's parent as /etc/grafana/provisioning. Grafana takes the values from its own environment; give it
# the credentials of the reader, which can only select.
"""
_ALERTING_HEADER: Final = """\
# Written by `python -m tokentide_dashboards.build`; do not edit.
# Rules over the tables of the provisioned data source; who is told is up to Grafana's own contact points and policies.
"""
_DASHBOARDS_HEADER: Final = f"""\
# Written by `python -m tokentide_dashboards.build`; do not edit.
# Mount the folder `dashboards` beside `provisioning` as {MOUNTED_DASHBOARDS}.
"""


def dashboard_model(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana's file and API formats have it."""
    plain: dict[str, Any] = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    for variable in plain["templating"]["list"]:
        # The SDK gives every variable the defaults of an interval variable.
        for key in ("auto", "auto_min", "auto_count"):
            variable.pop(key, None)
    for panel in plain["panels"]:
        if panel["type"] == "table":
            # The SDK writes both for Grafana 11; from 12 on the table has neither, and without them 11 does the same.
            for key in ("footer", "showTypeIcons"):
                panel["options"].pop(key, None)
    return plain


def dashboard_json(dashboard: Dashboard) -> str:
    """A dashboard as text: sorted keys, so that the same code always gives the same bytes."""
    return json.dumps(dashboard_model(dashboard), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def datasource_model(
    host: str, port: int | str, user: str, password: str, database: str, *, secure: bool
) -> dict[str, Any]:
    """The ClickHouse data source as Grafana's file and API formats have it. `host`: as Grafana itself reaches it."""
    return {
        "name": "tokentide",
        "uid": DATASOURCE_UID,
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "isDefault": True,
        "jsonData": {
            "host": host,
            "port": port,
            "protocol": "http",
            "secure": secure,
            "username": user,
            "defaultDatabase": database,
            "version": PLUGIN_VERSION,
        },
        "secureJsonData": {"password": password},
    }


def datasource_yaml() -> str:
    """The provisioned ClickHouse data source, its address and reader from the environment."""
    names = (f"$TOKENTIDE_CLICKHOUSE_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE"))
    source = {**datasource_model(*names, secure=False), "editable": False}
    return _DATASOURCE_HEADER + _yaml({"apiVersion": 1, "datasources": [source]})


def dashboards_yaml() -> str:
    """The provider that loads the dashboards from the mounted folder."""
    provider = {
        "name": "tokentide",
        "orgId": 1,
        "folder": FOLDER,
        "folderUid": FOLDER,
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": MOUNTED_DASHBOARDS, "foldersFromFilesStructure": False},
    }
    return _DASHBOARDS_HEADER + _yaml({"apiVersion": 1, "providers": [provider]})


def _alert_rules() -> dict[str, Any]:
    def built(name: str) -> Callable[[], dict[str, Any]]:
        return lambda: dashboard_model(DASHBOARDS[name]())

    return provisioning({name: built(name) for name in DASHBOARDS}, FOLDER, DATASOURCE_UID)


def alerting_yaml() -> str:
    """The provisioned alert rules."""
    return _ALERTING_HEADER + _yaml(_alert_rules())


def alert_group(folder_uid: str) -> dict[str, Any]:
    """The alert rules as Grafana's HTTP API takes them."""
    return api_group(_alert_rules(), folder_uid)


def files() -> dict[str, str]:
    """Every generated file: path below the `grafana` folder, and its text."""
    return {
        **{f"dashboards/{name}.json": dashboard_json(make()) for name, make in DASHBOARDS.items()},
        "provisioning/datasources/tokentide.yaml": datasource_yaml(),
        "provisioning/dashboards/tokentide.yaml": dashboards_yaml(),
        "provisioning/alerting/tokentide.yaml": alerting_yaml(),
    }


def write(directory: Path) -> list[Path]:
    """Write all files below `directory`; returns their paths."""
    written = []
    for name, text in files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def differences(directory: Path) -> str:
    """A unified diff from what `directory` holds to what the code builds; '' when they are the same."""
    wanted = files()
    lines: list[str] = []
    for name, text in wanted.items():
        path = directory / name
        present = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            present.splitlines(keepends=True), text.splitlines(keepends=True), f"committed/{name}", f"built/{name}"
        )
    for path in sorted(p for p in directory.rglob("*") if p.suffix in (".json", ".yaml", ".yml")):
        if (name := path.relative_to(directory).as_posix()) not in wanted:
            lines.append(f"{name} is committed, but nothing builds it\n")
    return "".join(lines)


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=120)


def main(arguments: list[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_dashboards.build", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when the files are out of date"
    )
    parser.add_argument("--out", type=Path, default=GRAFANA_DIRECTORY, help="folder to write to (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        for path in write(options.out):
            sys.stdout.write(f"{path}\n")
        return 0
    if difference := differences(options.out):
        sys.stdout.write(difference)
        sys.stderr.write("The dashboards are out of date: run `python -m tokentide_dashboards.build` and commit.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
