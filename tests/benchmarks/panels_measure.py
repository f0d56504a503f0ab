"""Times every panel and variable of every dashboard as the board asks for them. The measuring of `panels.py`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import psutil

from tokentide_deploy.board.dashboards import Dashboard, DashboardFolder
from tokentide_deploy.board.service import BoardService
from tokentide_deploy.board.store_client import Result, StoreClient
from tokentide_deploy.board.view import View, duration_ms
from tokentide_deploy.stack_state import ClickHouseAccount

LONG: Final = "long"
DEFAULT: Final = "default"
HOPELESS_S: Final = 1.0
"""A query that takes longer is run three times only."""


class PanelFailedError(Exception):
    """A panel's query has no answer, so that its time says nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One query. span: `default`, the dashboard's own range, or `long`, all months. cpu_ms: of the whole store process,
    the mean of the runs; the times are those that a browser's request would wait."""

    dashboard: str
    query: str
    span: str
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    read_rows: int
    read_bytes: int
    rows: int

    def row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class _CountingClient(StoreClient):
    """Remembers what the last query read: the board does not say it of a variable's options."""

    last: Result

    def query(self, sql: str) -> Result:
        self.last = super().query(sql)
        return self.last


@dataclass(frozen=True, slots=True)
class _Query:
    dashboard: str
    name: str
    span: str
    view: View
    uid: str
    panel_id: int | None


def measure(
    port: int, process: psutil.Process, start_ms: int, end_ms: int, repeats: int, only: Sequence[str] = ()
) -> Iterator[Timing]:
    """Each query in turn, after one run that is not counted. only: words of which one must be in `dashboard: query`.

    Raises PanelFailedError.
    """
    client = _CountingClient(ClickHouseAccount(host="127.0.0.1", port=port, user="reader", password=""))
    service = BoardService(DashboardFolder(None), client)
    for board in service.dashboards.all():
        for query in _queries(board, start_ms, end_ms):
            if not only or any(word in f"{query.dashboard}: {query.name}" for word in only):
                yield _timed(service, client, process, query, repeats)


def _queries(board: Dashboard, start_ms: int, end_ms: int) -> Iterator[_Query]:
    title = str(board.model["title"])
    own = duration_ms(str(board.model["time"]["from"]).removeprefix("now-"))
    views = {
        DEFAULT: View(from_ms=max(end_ms - own, start_ms), to_ms=end_ms),
        LONG: View(from_ms=start_ms, to_ms=end_ms),
    }
    for span, view in views.items():
        for panel in board.panels():
            if panel.get("targets"):
                yield _Query(title, str(panel["title"]), span, view, board.uid, int(panel["id"]))
        for name, variable in board.variables().items():
            if variable["type"] == "query":
                yield _Query(title, f"${name}", span, view, board.uid, None)


def _timed(
    service: BoardService, client: _CountingClient, process: psutil.Process, query: _Query, repeats: int
) -> Timing:
    started = time.perf_counter()
    rows = _run(service, query)
    if time.perf_counter() - started > HOPELESS_S:
        repeats = min(repeats, 3)
    times: list[float] = []
    before = process.cpu_times()
    for _ in range(repeats):
        started = time.perf_counter()
        _run(service, query)
        times.append((time.perf_counter() - started) * 1000)
    after = process.cpu_times()
    times.sort()
    return Timing(
        query.dashboard, query.name, query.span,
        p50_ms=_rank(times, 0.5), p95_ms=_rank(times, 0.95),
        cpu_ms=(after.user + after.system - before.user - before.system) * 1000 / repeats,
        read_rows=client.last.read_rows, read_bytes=client.last.read_bytes, rows=rows,
    )  # fmt: skip


def _run(service: BoardService, query: _Query) -> int:
    if query.panel_id is None:
        return len(service.variable(query.uid, query.name.removeprefix("$"), query.view)["options"])
    frames = service.panel(query.uid, query.panel_id, query.view)["frames"]
    for frame in frames:
        if "error" in frame:
            raise PanelFailedError(
                f"{query.dashboard}: {query.name} ({query.span}): {frame['error']}\n{frame.get('sql')}"
            )
    return sum(int(frame["rows"]) for frame in frames)


def _rank(ordered: Sequence[float], level: float) -> float:
    """The value below which the share `level` of the runs lies, without interpolation."""
    return ordered[max(0, -(-int(level * 1000) * len(ordered) // 1000) - 1)]
