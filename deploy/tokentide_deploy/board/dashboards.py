"""The dashboards that the board offers: Grafana JSON from a folder, or built by the code when there is no folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tokentide_dashboards
from tokentide_deploy.board.errors import RequestError

COMMITTED_FOLDER: Final = Path(tokentide_dashboards.__file__).resolve().parents[1] / "grafana" / "dashboards"
"""Where a checkout has them. An installed wheel has none, and builds them."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard as Grafana stores it."""

    model: Mapping[str, Any]

    @property
    def uid(self) -> str:
        return str(self.model["uid"])

    def panels(self) -> Iterator[Mapping[str, Any]]:
        """All panels, those inside collapsed rows too."""
        for panel in self.model.get("panels", ()):
            yield panel
            yield from panel.get("panels", ())

    def panel(self, panel_id: int) -> Mapping[str, Any]:
        """Raises RequestError when there is none with this id."""
        for panel in self.panels():
            if panel.get("id") == panel_id:
                return panel
        raise RequestError(f"dashboard {self.uid} has no panel {panel_id}; reload the page", 404)

    def variables(self) -> dict[str, Mapping[str, Any]]:
        """Template variables by name, without the choice of data source: the board has one store."""
        listed = self.model.get("templating", {}).get("list", ())
        return {variable["name"]: variable for variable in listed if variable["type"] != "datasource"}

    def annotations(self) -> list[Mapping[str, Any]]:
        """Annotation queries that have SQL; Grafana's built-in one has none."""
        listed = self.model.get("annotations", {}).get("list", ())
        return [annotation for annotation in listed if (annotation.get("target") or {}).get("rawSql")]

    def for_browser(self) -> dict[str, Any]:
        """The dashboard without any SQL."""
        public = json.loads(json.dumps(self.model))
        public["templating"] = {"list": [_without_sql(dict(one)) for one in self.variables().values()]}
        public["annotations"] = {
            "list": [
                {key: one[key] for key in ("name", "iconColor", "enable", "hide") if key in one}
                for one in self.annotations()
            ]
        }
        for panel in public.get("panels", ()):
            for one in (panel, *panel.get("panels", ())):
                one.pop("datasource", None)
                one["targets"] = [
                    {"refId": target.get("refId", "A"), "queryType": target.get("queryType", "table")}
                    for target in one.get("targets", ())
                ]
        return dict(public)


def _without_sql(variable: dict[str, Any]) -> dict[str, Any]:
    if variable["type"] == "query":
        for key in ("query", "definition"):
            variable.pop(key, None)
    variable.pop("datasource", None)
    return variable


class DashboardFolder:
    """Every `*.json` of a folder, read again when a file changes. `folder` None: as the code builds them, once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._seen: tuple[tuple[str, int], ...] | None = None
        self._boards: dict[str, Dashboard] = {}

    def all(self) -> list[Dashboard]:
        """In their order of importance: *Now* first, the rest by title."""
        with self._lock:
            self._read_if_changed()
            return sorted(
                self._boards.values(), key=lambda board: (board.uid != "tokentide-now", board.model["title"].lower())
            )

    def board(self, uid: str) -> Dashboard:
        """Raises RequestError when there is none with this uid."""
        for board in self.all():
            if board.uid == uid:
                return board
        raise RequestError(f"there is no dashboard {uid!r}", 404)

    def _read_if_changed(self) -> None:
        if self._folder is None:
            if self._seen is None:
                self._seen = ()
                self._boards = _built()
            return
        seen = tuple(sorted((path.name, path.stat().st_mtime_ns) for path in self._folder.glob("*.json")))
        if seen == self._seen:
            return
        texts = {name: (self._folder / name).read_text(encoding="utf-8") for name, _ in seen}
        self._boards = _parsed(texts)
        self._seen = seen


def _built() -> dict[str, Dashboard]:
    # Imported here: the Grafana SDK takes a second to import, and a checkout does not need it.
    from tokentide_dashboards import build

    return _parsed({name: text for name, text in build.files().items() if name.startswith("dashboards/")})


def _parsed(texts: Mapping[str, str]) -> dict[str, Dashboard]:
    boards: dict[str, Dashboard] = {}
    for name, text in texts.items():
        try:
            board = Dashboard(json.loads(text))
            boards[board.uid] = board
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(
                f"{name} is not a dashboard ({error}); write it anew with `python -m tokentide_dashboards.build`", 500
            ) from error
    return boards
