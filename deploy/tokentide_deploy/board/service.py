"""What the board's API answers: a panel's data, a variable's options, a dashboard's annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tokentide_deploy.board.dashboards import Dashboard, DashboardFolder
from tokentide_deploy.board.errors import BoardError
from tokentide_deploy.board.fields import MAX_ROWS, fields_of
from tokentide_deploy.board.panel_sql import has_utc_days, ready_sql, static_options
from tokentide_deploy.board.store_client import Result, StoreClient
from tokentide_deploy.board.view import View, duration_ms, interval_ms

MAX_OPTIONS: Final = 1000


class BoardService:
    """Everything between a checked request and the store."""

    def __init__(self, dashboards: DashboardFolder, store: StoreClient) -> None:
        self.dashboards = dashboards
        self._store = store

    def panel(self, uid: str, panel_id: int, view: View) -> dict[str, Any]:
        """The frames of a panel's targets, one each.

        A target that fails has an `error` instead of fields, so that the panel draws the others. Raises RequestError
        for an unknown dashboard or panel.
        """
        board = self.dashboards.board(uid)
        panel = board.panel(panel_id)
        least_ms = duration_ms(panel["interval"]) if panel.get("interval") else 1
        width_ms = interval_ms(view, least_ms)
        frames = [
            self._frame(board, target, view, width_ms) for target in panel.get("targets", ()) if not target.get("hide")
        ]
        return {"frames": frames, "interval_ms": width_ms, "from_ms": view.from_ms, "to_ms": view.to_ms}

    def _frame(self, board: Dashboard, target: Mapping[str, Any], view: View, width_ms: int) -> dict[str, Any]:
        frame: dict[str, Any] = {"refId": target.get("refId", "A"), "queryType": target.get("queryType", "table")}
        try:
            sql = self._ready(board, target["rawSql"], view, width_ms)
            frame["sql"] = sql
            result = self._store.query(sql)
        except BoardError as error:
            return frame | {"error": error.message, "fields": []}
        # Periods that the SQL itself cuts are UTC's, so their beginnings have to be written in UTC, too.
        timezone = "UTC" if has_utc_days(target["rawSql"]) else view.timezone
        frame |= {
            "timezone": timezone,
            "fields": fields_of(result.columns, result.rows, timezone),
            "rows": len(result.rows),
            "read_rows": result.read_rows,
            "read_bytes": result.read_bytes,
            "elapsed_ms": round(result.elapsed_ms, 1),
        }
        if len(result.rows) > MAX_ROWS:
            frame["notice"] = f"The first {MAX_ROWS:,} of {len(result.rows):,} rows."
        return frame

    def variable(self, uid: str, name: str, view: View) -> dict[str, Any]:
        """A variable's options as `{value, text}`, in the order in which they are offered."""
        board = self.dashboards.board(uid)
        pairs = self._options(board, name, view)
        return {
            "options": [{"value": value, "text": text} for value, text in pairs[:MAX_OPTIONS]],
            "left_out": max(len(pairs) - MAX_OPTIONS, 0),
        }

    def annotations(self, uid: str, view: View) -> dict[str, Any]:
        """The events of every enabled annotation query: time, end, title, text, tags; and what failed."""
        board = self.dashboards.board(uid)
        events: list[dict[str, Any]] = []
        problems: list[str] = []
        for position, annotation in enumerate(board.annotations()):
            if not annotation.get("enable", True):
                continue
            try:
                sql = self._ready(board, annotation["target"]["rawSql"], view, interval_ms(view))
                events += _events(self._store.query(sql), position, view.timezone)
            except BoardError as error:
                problems.append(f"{annotation.get('name', 'annotation')}: {error.message}")
        return {"events": events, "problems": problems}

    def _ready(self, board: Dashboard, sql: str, view: View, width_ms: int) -> str:
        def options_of(name: str) -> list[str]:
            return [value for value, _ in self._options(board, name, view)]

        return ready_sql(sql, view, width_ms, board.variables(), options_of)

    def _options(self, board: Dashboard, name: str, view: View) -> list[tuple[str, str]]:
        variables = board.variables()
        if name not in variables:
            raise BoardError(f"dashboard {board.uid} has no variable {name!r}", 404)
        variable = variables[name]
        if variable["type"] != "query":
            return static_options(variable)
        query = variable["query"]
        sql = query if isinstance(query, str) else query["rawSql"]
        others = view.model_copy(update={"variables": {n: v for n, v in view.variables.items() if n != name}})
        result = self._store.query(self._ready(board, sql, others, interval_ms(view)))
        names = [column for column, _ in result.columns]
        # Grafana's convention for a text that differs from the value.
        value_at = names.index("__value") if "__value" in names else 0
        text_at = names.index("__text") if "__text" in names else value_at
        return [(str(row[value_at]), str(row[text_at])) for row in result.rows if row[value_at] is not None]


_EVENT_FIELDS: Final = {"time": "time", "timeend": "time_end", "title": "title", "text": "text", "tags": "tags"}


def _events(result: Result, source: int, timezone: str) -> list[dict[str, Any]]:
    columns = [
        (_EVENT_FIELDS[field["name"].lower()], field["values"])
        for field in fields_of(result.columns, result.rows, timezone)
        if field["name"].lower() in _EVENT_FIELDS
    ]
    if not any(name == "time" for name, _ in columns):
        raise BoardError("the query of an annotation has to return a column named time", 422)
    return [
        {"source": source, **{name: values[row] for name, values in columns}}
        for row in range(min(len(result.rows), MAX_ROWS))
    ]
