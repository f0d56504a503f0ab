"""Reading the store for `tokentide top`, again and again, and drawing what it says."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.console import Console
from rich.live import Live
from urllib3.exceptions import HTTPError

from tokentide_deploy.clickhouse_client import connect, error_text, find_account, read_only_settings
from tokentide_deploy.errors import DeployError
from tokentide_deploy.top_query import (
    MINUTE_S,
    Dimension,
    Frame,
    Window,
    complete_end_sql,
    extent_from,
    extent_sql,
    filling_window,
    groups_from,
    groups_sql,
    rolling_window,
    stored_window,
)
from tokentide_deploy.top_view import as_json, render, rows_that_fit

PIPE_WIDTH = 100
"""Columns of a table that no terminal shows."""
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What to show; `window_minutes` 0 is all stored time, `since_s` overrides it."""

    window_minutes: int
    since_s: int | None
    dimensions: tuple[Dimension, ...]
    rows: int | None
    interval_s: float
    output_format: Literal["table", "json"]
    data_dir: Path | None
    clickhouse: str | None


def read_frame(query: Callable[[str], Rows], options: TopOptions, now: dt.datetime) -> Frame:
    """One picture. `query` runs SQL and returns its rows."""
    window: Window | None
    if options.since_s is not None or options.window_minutes == 0:
        since_s = 0 if options.since_s is None else options.since_s // MINUTE_S * MINUTE_S
        extent = extent_from(query(extent_sql(since_s))[0])
        window = stored_window(extent, options.since_s) if extent else None
    else:
        extent = None
        end_s, reaches_back = query(complete_end_sql(int(now.timestamp()), options.window_minutes))[0]
        window = rolling_window(int(end_s), bool(reaches_back), options.window_minutes)
    groups = groups_from(query(groups_sql(window, options.dimensions)), options.dimensions) if window else {}
    if not any(sums.requests for found in groups.values() for sums in found.values()):
        extent = extent_from(query(extent_sql())[0])
        now_s = int(now.timestamp())
        if window is not None and window.is_rolling and extent is not None and extent.end_s > window.to_s:
            # Events have only just begun to come: show them now rather than when their minute is over and settled.
            recent = extent_from(query(extent_sql(window.from_s))[0])
            if recent is not None:
                window = filling_window(recent, now_s)
                groups = groups_from(query(groups_sql(window, options.dimensions)), options.dimensions)
    return Frame(now, window, groups, extent)


class Reader:
    """Reads frames over one connection, which it makes anew after a failure."""

    def __init__(self, options: TopOptions) -> None:
        self._options = options
        self._client: Any = None

    def read(self) -> Frame:
        """One frame. Raises DeployError: no stack runs, or its store does not answer or is not set up yet."""
        try:
            if self._client is None:
                # Found anew after each failure: a restarted stack may have another port.
                self._client = connect(find_account(self._options.data_dir, self._options.clickhouse))
            return read_frame(self._query, self._options, dt.datetime.now(dt.UTC))
        except (ClickHouseError, HTTPError) as error:
            self.close()
            text = error_text(error)
            if "UNKNOWN_TABLE" in text or "UNKNOWN_DATABASE" in text:
                raise DeployError("The store has no tables yet; the stack makes them when it starts.") from error
            raise DeployError(f"The store does not answer: {text}") from error

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            with suppress(ClickHouseError, HTTPError):
                self._client.close()
            self._client = None

    def _query(self, sql: str) -> Rows:
        rows: Rows = self._client.query(sql, settings=read_only_settings(self._client)).result_rows
        return rows


def run_top(options: TopOptions, *, once: bool) -> None:
    """Print one frame, or draw frames until Ctrl-C. Raises DeployError when `once` and there is no answer."""
    reader = Reader(options)
    try:
        if once:
            _print(reader.read(), options, Console(highlight=False))
        elif options.output_format == "json" or not sys.stdout.isatty():
            _print_again_and_again(reader, options)
        else:
            _draw(reader, options)
    except KeyboardInterrupt:
        pass
    finally:
        reader.close()


def _print(frame: Frame, options: TopOptions, console: Console) -> None:
    if options.output_format == "json":
        sys.stdout.write(json.dumps(as_json(frame, options.rows)) + "\n")
        sys.stdout.flush()
        return
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(render(frame, limit=options.rows, exact=True))


def _print_again_and_again(reader: Reader, options: TopOptions) -> None:
    while True:
        try:
            _print(reader.read(), options, Console(highlight=False))
        except DeployError as error:
            sys.stderr.write(f"tokentide top: {error} Trying again.\n")
        time.sleep(options.interval_s)


def _draw(reader: Reader, options: TopOptions) -> None:
    frame: Frame | None = None
    failing_since_s: float | None = None
    with Live(render(None, limit=None, exact=False), screen=True, auto_refresh=False) as live:
        while True:
            problem = None
            try:
                frame = reader.read()
                failing_since_s = None
            except DeployError as error:
                failing_since_s = failing_since_s or time.monotonic()
                seconds = time.monotonic() - failing_since_s
                problem = f"{error} Trying again every {options.interval_s:g} s, for {seconds:.0f} s so far."
            fitting = rows_that_fit(live.console.height, options.dimensions)
            picture = render(frame, limit=options.rows or fitting, exact=False, problem=problem, live=True)
            live.update(picture, refresh=True)
            time.sleep(options.interval_s)
