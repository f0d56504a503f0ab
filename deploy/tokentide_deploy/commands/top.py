"""`tokentide top`: where the tokens go, live in the terminal."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer


class ListedBy(StrEnum):
    """A dimension of the rollup (typer takes several values of an option only as an Enum)."""

    model = "model"
    category = "category"
    provider = "provider"


def command(
    once: Annotated[bool, typer.Option("--once", help="Print one picture with exact numbers and end.")] = False,
    window: Annotated[
        int, typer.Option(min=0, max=43_200, help="Complete minutes to look at; 0 is all stored time.")
    ] = 5,
    all_time: Annotated[bool, typer.Option("--all", help="All stored time, the same as --window 0.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="From this moment on, such as 2023-11-16 or 2023-11-16T18:15+00:00; UTC without a zone."),
    ] = None,
    by: Annotated[
        list[ListedBy] | None,
        typer.Option(help="What to list; may be given several times.", show_default="model and category"),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", min=1, help="Rows of a list, the rest as `other`.", show_default="what fits; all with --once"
        ),
    ] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two pictures.")] = 2.0,
    output_format: Annotated[Literal["table", "json"], typer.Option("--format", "-f", help="json: exact.")] = "table",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    clickhouse: Annotated[
        str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
    ] = None,
) -> None:
    """Models and categories by tokens: requests, tokens a minute, share, change, cost and errors. Ctrl-C ends it.

    A replayed trace keeps its own times with --keep-time: look at it with --once --all. Exit status of --once: 5 when
    no stack runs, 6 when its store does not answer.
    """
    from tokentide_deploy.top_live import TopOptions, run_top

    options = TopOptions(
        window_minutes=0 if all_time else window,
        since_s=None if since is None else _seconds(since),
        dimensions=tuple(dict.fromkeys(listed.value for listed in by or (ListedBy.model, ListedBy.category))),
        rows=rows,
        interval_s=interval,
        output_format=output_format,
        data_dir=data_dir,
        clickhouse=clickhouse,
    )
    run_top(options, once=once)


def _seconds(moment: str) -> int:
    try:
        parsed = dt.datetime.fromisoformat(moment)
    except ValueError:
        raise typer.BadParameter(
            f"{moment!r} is no ISO 8601 time; write 2023-11-16 or 2023-11-16T18:15", param_hint="--since"
        ) from None
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp())
