"""The few calls of Grafana's HTTP API that putting dashboards and alert rules there takes, and its errors in words."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from tokentide_deploy.errors import DeployError

TIMEOUT_S: Final = 30.0
TOKEN_VARIABLE: Final = "TOKENTIDE_GRAFANA_TOKEN"


class GrafanaError(DeployError):
    """Grafana is not reachable, or did not do what was asked."""

    exit_status = 7


class Grafana:
    """One Grafana, spoken to with a service account's token. Raises GrafanaError.

    url: http[s]://host[:port][/path], where `path` is the one that Grafana is served under.
    """

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise GrafanaError(
                "The Grafana URL is not of the form http://host:3000 or https://host/path; check --url. It has no "
                f"user and password: the token comes from {TOKEN_VARIABLE}."
            )
        if not token.strip() or not token.isascii() or any(character.isspace() for character in token.strip()):
            raise GrafanaError(
                f"There is no usable Grafana token. Make a service account with the role Editor in Grafana "
                f"(Administration, Users and access), add a token to it, and set {TOKEN_VARIABLE} to the token."
            )
        self.url = url.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {token.strip()}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        self._http = urllib3.PoolManager(timeout=timeout_s, retries=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.clear()

    def has_plugin(self, plugin: str) -> bool:
        """Whether a plugin is installed. A token that may not see plugins gets the benefit of the doubt."""
        status, _ = self._call("GET", f"/api/plugins/{quote(plugin, safe='')}/settings", expect=(200, 403, 404))
        return status != 404

    def put_folder(self, uid: str, title: str) -> bool:
        """Make sure that the folder is there. True when it was made now."""
        status, _ = self._call("GET", f"/api/folders/{quote(uid, safe='')}", expect=(200, 404))
        if status == 404:
            self._call("POST", "/api/folders", {"uid": uid, "title": title})
        return status == 404

    def put_dashboard(self, model: dict[str, Any], folder_uid: str, message: str) -> tuple[str, bool]:
        """Create or overwrite a dashboard by its uid. Returns its address, and True when it is new."""
        body = {"dashboard": {**model, "id": None}, "folderUid": folder_uid, "message": message, "overwrite": True}
        _, answer = self._call("POST", "/api/dashboards/db", body)
        if answer.get("uid") != model["uid"] or answer.get("status") != "success":
            raise GrafanaError(f"Grafana at {self.url} took the dashboard {model['title']!r} but answered {answer!r}.")
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{answer['url']}", answer.get("version") == 1

    def put_datasource(self, model: dict[str, Any]) -> bool:
        """Create or overwrite a data source by its uid. True when it is new."""
        address = f"/api/datasources/uid/{quote(model['uid'], safe='')}"
        status, _ = self._call("GET", address, expect=(200, 404))
        if status == 404:
            self._call("POST", "/api/datasources", model)
        else:
            self._call("PUT", address, model)
        return status == 404

    def put_rule_group(self, group: dict[str, Any]) -> int:
        """Create or replace a group of alert rules, which stay editable in Grafana. Returns how many it has now."""
        folder, title = quote(group["folderUid"], safe=""), quote(group["title"], safe="")
        address = f"/api/v1/provisioning/folder/{folder}/rule-groups/{title}"
        _, answer = self._call("PUT", address, group, headers={"X-Disable-Provenance": "true"})
        stored = {rule.get("uid") for rule in answer.get("rules") or ()}
        if missing := sorted({rule["uid"] for rule in group["rules"]} - stored):
            raise GrafanaError(f"Grafana at {self.url} took the alert rules but does not list {', '.join(missing)}.")
        return len(stored)

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        expect: tuple[int, ...] = (200,),
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = self._http.request(
                method, f"{self.url}{path}", body=data, headers=self._headers | (headers or {}), redirect=False
            )
        except HTTPError as error:
            raise GrafanaError(
                f"Grafana at {self.url} does not answer: {_reason(error)}. Check that it runs, and the address in "
                "--url."
            ) from error
        try:
            found = json.loads(answer.data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise GrafanaError(
                f"{self.url} does not answer as Grafana: {method} {path} gave HTTP {answer.status} without a JSON "
                "object. Check the address in --url, and the path under which Grafana is served."
            )
        if answer.status not in expect:
            raise GrafanaError(_explained(self.url, method, path, answer.status, found))
        return answer.status, found


def _reason(error: HTTPError) -> str:
    cause = error.__cause__ or error.__context__
    return getattr(cause, "strerror", None) or str(error).rsplit(": ", 1)[-1]


_WHAT_TO_DO: Final = {
    401: f"The token in {TOKEN_VARIABLE} is wrong, expired or of another Grafana: make a new one.",
    403: "The service account may not do this: give it the role Editor; for --clickhouse it needs Admin. What was "
    "provisioned from files cannot be changed by the API: leave --clickhouse away, or take the file away.",
    400: "What was provisioned from files cannot be changed by the API: take the provisioning file away, or change it.",
    404: "Something that it needs is not there; was the folder deleted in this moment? Run the command again.",
    412: "Somebody changed it at the same moment, or another one has its name in that folder: rename that one.",
}


def _explained(url: str, method: str, path: str, status: int, answer: dict[str, Any]) -> str:
    said = str(answer.get("message") or "no message").strip().rstrip(".")
    advice = _WHAT_TO_DO.get(status, "Look at Grafana's log, and run the command again.")
    return f"Grafana at {url} refused {method} {path} with HTTP {status}: {said}. {advice}"
