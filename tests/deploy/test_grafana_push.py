"""`tokentide grafana push` against a small server that speaks Grafana's HTTP API as Grafana does."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tokentide_dashboards.build import DASHBOARDS, alert_group, dashboard_model
from tokentide_deploy.grafana_api import Grafana, GrafanaError

TOKEN = "glsa_test"
PLUGIN = "grafana-clickhouse-datasource"


class FakeGrafana(ThreadingHTTPServer):
    """Folders, dashboards and data sources in memory, with Grafana's answers and errors."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plugins = {PLUGIN}
        self.folders: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.datasources: dict[str, dict[str, Any]] = {}
        self.rule_groups: dict[tuple[str, str], dict[str, Any]] = {}
        self.provisioned: set[str] = set()
        self.role = "Admin"
        self.prefix = ""
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.prefix}"


Answer = tuple[int, dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeGrafana  # type: ignore[assignment]
    ROUTES: ClassVar = {
        ("GET", r"/api/plugins/([\w-]+)/settings"): "plugin",
        ("GET", r"/api/folders/([\w-]+)"): "folder",
        ("POST", r"/api/folders"): "new_folder",
        ("POST", r"/api/dashboards/db"): "save_dashboard",
        ("GET", r"/api/datasources/uid/([\w-]+)"): "datasource",
        ("POST", r"/api/datasources"): "new_datasource",
        ("PUT", r"/api/datasources/uid/([\w-]+)"): "change_datasource",
        ("PUT", r"/api/v1/provisioning/folder/([\w-]+)/rule-groups/([\w-]+)"): "save_rule_group",
    }

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(f"{self.command} {self.path}")
        status, body = self._routed(json.loads(raw) if raw else None)
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _routed(self, body: Any) -> Answer:
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key", "messageId": "api-key.invalid", "statusCode": 401, "traceID": ""}
        if body is not None and self.headers["Content-Type"] != "application/json":
            return 400, {"message": "bad request data"}
        for (method, pattern), name in self.ROUTES.items():
            match = re.fullmatch(re.escape(self.server.prefix) + pattern, self.path)
            if match and method == self.command:
                return getattr(self, name)(*match.groups(), *([] if body is None else [body]))  # type: ignore[no-any-return]
        return 404, {"message": "Not found"}

    def _denied(self, action: str) -> Answer:
        text = f"You'll need additional permissions to perform this action. Permissions needed: {action}"
        return 403, {"accessErrorId": "ACE0", "message": text, "title": "Access denied"}

    def plugin(self, name: str) -> Answer:
        if name not in self.server.plugins:
            return 404, {"message": "Plugin not found, no installed plugin with that id"}
        return 200, {"id": name, "enabled": True, "info": {"version": "4.20.0"}}

    def folder(self, uid: str) -> Answer:
        found = self.server.folders.get(uid)
        return (200, found) if found else (404, {"message": "folder not found", "status": "not-found"})

    def new_folder(self, body: dict[str, Any]) -> Answer:
        if self.server.role == "Viewer":
            return self._denied("folders:create")
        if body["uid"] in self.server.folders:
            return 412, {"message": "a folder with the same uid already exists", "status": "precondition-failed"}
        self.server.folders[body["uid"]] = {"id": len(self.server.folders) + 1, **body, "version": 1}
        return 200, self.server.folders[body["uid"]]

    def save_dashboard(self, body: dict[str, Any]) -> Answer:
        model = body["dashboard"]
        if body["folderUid"] not in self.server.folders:
            return 404, {"message": "folder not found", "status": "not-found"}
        if model["id"] is not None:
            return 404, {"message": "Dashboard not found", "status": "not-found"}
        if model["uid"] in self.server.provisioned:
            return 400, {"message": "Cannot save provisioned dashboard"}
        stored = self.server.dashboards.get(model["uid"])
        if stored and not body["overwrite"]:
            return 412, {"message": "The dashboard has been changed by someone else", "status": "version-mismatch"}
        version = stored["version"] + 1 if stored else 1
        self.server.dashboards[model["uid"]] = {"model": model, "folder": body["folderUid"], "version": version}
        slug = model["title"].lower().replace(" ", "-")
        return 200, {
            "folderUid": body["folderUid"], "id": len(self.server.dashboards), "slug": slug, "status": "success",
            "uid": model["uid"], "url": f"{self.server.prefix}/d/{model['uid']}/{slug}", "version": version,
        }  # fmt: skip

    def datasource(self, uid: str) -> Answer:
        found = self.server.datasources.get(uid)
        return (200, found) if found else (404, {"message": "Data source not found"})

    def new_datasource(self, body: dict[str, Any]) -> Answer:
        if self.server.role != "Admin":
            return self._denied("datasources:create")
        self.server.datasources[body["uid"]] = body
        return 200, {"datasource": body, "id": 1, "message": "Datasource added", "name": body["name"]}

    def change_datasource(self, uid: str, body: dict[str, Any]) -> Answer:
        if uid in self.server.provisioned:
            return 403, {"message": "Cannot update read-only data source"}
        self.server.datasources[uid] = body
        return 200, {"datasource": body, "id": 1, "message": "Datasource updated", "name": body["name"]}

    def save_rule_group(self, folder: str, group: str, body: dict[str, Any]) -> Answer:
        if self.server.role == "Viewer":
            return self._denied("alert.provisioning:write")
        for rule in body["rules"]:
            missing = {"title", "ruleGroup", "folderUID", "condition", "data", "noDataState", "execErrState"} - set(
                rule
            )
            if missing or rule["folderUID"] != folder or rule["ruleGroup"] != group or not rule["data"]:
                return 400, {"message": f"invalid alert rule: {sorted(missing)}"}
        if (body["title"], body["folderUid"]) != (group, folder) or not isinstance(body["interval"], int):
            return 400, {"message": "invalid rule group"}
        if self.headers["X-Disable-Provenance"] != "true":
            return 409, {"message": "cannot be edited later"}
        self.server.rule_groups[folder, group] = body
        return 200, body


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    server = FakeGrafana()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def push(url: str, *options: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TOKENTIDE_")}
    command = [sys.executable, "-m", "tokentide_deploy.cli", "grafana", "push", "--url", url, *options]
    return subprocess.run(
        command, env={**environment, "TOKENTIDE_GRAFANA_TOKEN": token}, capture_output=True, text=True, timeout=120
    )


def test_every_dashboard_arrives_as_it_is_committed_and_a_second_push_updates_it(grafana: FakeGrafana) -> None:
    done = push(grafana.url)
    assert done.returncode == 0, done.stderr
    assert grafana.folders["tokentide"]["title"] == "tokentide"
    assert {uid: {**d["model"], "id": 0} for uid, d in grafana.dashboards.items()} == {
        f"tokentide-{name}": {**dashboard_model(make()), "id": 0} for name, make in DASHBOARDS.items()
    }
    assert {d["folder"] for d in grafana.dashboards.values()} == {"tokentide"}
    assert f"dashboard created: Models  {grafana.url}/d/tokentide-models/models" in done.stdout
    assert grafana.datasources == {}, "the data source is only touched when asked for"
    again = push(grafana.url)
    assert again.returncode == 0, again.stderr
    assert {d["version"] for d in grafana.dashboards.values()} == {2}
    assert "dashboard updated: Models" in again.stdout
    assert "alert rules: 7 in the group tokentide" in done.stdout
    assert "folder created" in done.stdout and "folder created" not in again.stdout


def test_the_alert_rules_arrive_with_their_templates_and_panels(grafana: FakeGrafana) -> None:
    client = Grafana(grafana.url, TOKEN)
    assert client.put_rule_group(alert_group("tokentide")) == 7
    rules = {rule["uid"]: rule for rule in grafana.rule_groups["tokentide", "tokentide"]["rules"]}
    firing = rules["tokentide-alert-firing"]
    assert firing["labels"]["severity"] == "{{ $labels.severity }}"
    assert firing["annotations"]["runbook_url"] == "{{ $labels.runbook }}"
    boards = {board["uid"]: board for board in (dashboard_model(make()) for make in DASHBOARDS.values())}
    for rule in rules.values():
        panels = boards[rule["annotations"]["__dashboardUid__"]]["panels"]
        assert rule["annotations"]["__panelId__"] in {str(panel["id"]) for panel in panels}
    grafana.role = "Viewer"
    with pytest.raises(GrafanaError, match=r"alert.provisioning:write.*role Editor"):
        client.put_rule_group(alert_group("tokentide"))


def test_with_an_address_the_data_source_is_set_up_and_its_password_is_not_printed(grafana: FakeGrafana) -> None:
    store = "https://reader:s%40cret@store:9440/tide"
    done = push(grafana.url, "--clickhouse", store)
    assert done.returncode == 0, done.stderr
    source = grafana.datasources["tokentide-clickhouse"]
    assert source["type"] == PLUGIN
    assert source["jsonData"] | {"version": ""} == {
        "host": "store", "port": 9440, "protocol": "http", "secure": True, "username": "reader",
        "defaultDatabase": "tide", "version": "",
    }  # fmt: skip
    assert source["secureJsonData"] == {"password": "s@cret"}
    assert "cret" not in done.stdout + done.stderr
    assert "data source created" in done.stdout
    assert "data source updated" in push(grafana.url, "--clickhouse", store).stdout


def test_a_grafana_under_a_path_is_reached_and_linked(grafana: FakeGrafana) -> None:
    grafana.prefix = "/grafana"
    done = push(grafana.url + "/")
    assert done.returncode == 0, done.stderr
    assert f"http://127.0.0.1:{grafana.server_port}/grafana/d/tokentide-now/now" in done.stdout


def test_errors_say_what_to_do(grafana: FakeGrafana) -> None:
    wrong = push(grafana.url, token="glsa_other")
    assert (wrong.returncode, wrong.stdout) == (7, "")
    assert "HTTP 401: Invalid API key" in wrong.stderr and "make a new one" in wrong.stderr
    assert "Traceback" not in wrong.stderr and "glsa_other" not in wrong.stderr
    missing = push(grafana.url, token="")
    assert missing.returncode == 7 and "set TOKENTIDE_GRAFANA_TOKEN" in missing.stderr


@pytest.mark.parametrize(
    "url", ["localhost:3000", "ftp://host", "http://", "http://user:secret@host", "http://host/?a=b"]
)
def test_an_address_that_is_none_is_refused_without_printing_it(url: str) -> None:
    with pytest.raises(GrafanaError, match="not of the form") as refused:
        Grafana(url, TOKEN)
    assert "secret" not in str(refused.value)


def test_nobody_at_the_address_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(GrafanaError, match=r"does not answer.*Connection refused.*--url"):
            Grafana(url, TOKEN).has_plugin(PLUGIN)


def test_another_server_than_grafana_is_recognised(grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Handler, "_routed", lambda *_: (200, ["not", "an", "object"]))
    with pytest.raises(GrafanaError, match="does not answer as Grafana"):
        Grafana(grafana.url, TOKEN).put_folder("x", "x")


def test_without_the_plugin_nothing_is_changed(grafana: FakeGrafana) -> None:
    grafana.plugins.clear()
    done = push(grafana.url)
    assert done.returncode == 7 and f"install {PLUGIN}" in done.stderr
    assert not grafana.folders and not grafana.dashboards


def test_a_viewer_is_told_which_role_it_needs(grafana: FakeGrafana) -> None:
    grafana.role = "Viewer"
    with pytest.raises(GrafanaError, match=r"folders:create.*role Editor"):
        Grafana(grafana.url, TOKEN).put_folder("x", "x")


def test_what_was_provisioned_from_files_stays_and_is_explained(grafana: FakeGrafana) -> None:
    client = Grafana(grafana.url, TOKEN)
    client.put_folder("f", "f")
    grafana.provisioned = {"d", "s"}
    with pytest.raises(GrafanaError, match=r"Cannot save provisioned dashboard\. What was provisioned from files"):
        client.put_dashboard({"uid": "d", "title": "D"}, "f", "m")
    grafana.datasources["s"] = {"uid": "s"}
    with pytest.raises(GrafanaError, match="Cannot update read-only data source"):
        client.put_datasource({"uid": "s", "name": "S"})
