"""`tokentide report`: the study over one's own traffic, as one HTML file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer


def command(
    first: Annotated[str, typer.Option("--from", help="First day, such as 2025-11-01.", show_default=False)],
    last: Annotated[str, typer.Option("--to", help="Last day; it is included.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("state-of-our-ai.html"),
    csv_dir: Annotated[
        Path | None, typer.Option(help="Also write each figure's numbers as CSV into this folder.")
    ] = None,
    png_dir: Annotated[
        Path | None, typer.Option(help="Also write each figure as PNG into this folder; needs Chromium.")
    ] = None,
    min_users: Annotated[
        int | None,
        typer.Option(
            min=1, help="Hide groups of fewer users; 1 hides nothing.", show_default="as in the published views"
        ),
    ] = None,
    show_uncounted: Annotated[
        bool, typer.Option("--show-uncounted", help="Draw groups whose users cannot be counted any more.")
    ] = False,
    time_zone: Annotated[str, typer.Option(help="Where days begin, such as Europe/Berlin.")] = "UTC",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    clickhouse: Annotated[
        str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
    ] = None,
) -> None:
    """Write the study State of AI over your own traffic: one HTML file that needs nothing else.

    Small groups are hidden so that the file can be shown. Exit status: 2 for arguments that cannot be, 5 when no stack
    runs, 6 when its store does not answer, 8 when nothing is stored in the period.
    """
    import time

    from tokentide_deploy.clickhouse_client import connect, find_account
    from tokentide_deploy.report.asking import Asker
    from tokentide_deploy.report.period import Period, PeriodError
    from tokentide_deploy.report.pictures import find_browser, photograph
    from tokentide_deploy.report.run import OutputError, make, write_csv_files, write_text
    from tokentide_deploy.report.suppression import Policy
    from tokentide_schemas.published import MIN_USERS

    try:
        period = Period(_day(first, "--from"), _day(last, "--to"), time_zone)
    except PeriodError as error:
        raise typer.BadParameter(f"the period cannot be: {error}", param_hint="--from/--to/--time-zone") from None
    # What can fail without the store fails before the work.
    browser = find_browser() if png_dir is not None else ""
    for folder in (out.parent, csv_dir, png_dir):
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"The folder {folder} cannot be made: {error.strerror}. Choose another.") from error
    started_s = time.monotonic()
    client = connect(find_account(data_dir, clickhouse))
    try:
        policy = Policy(MIN_USERS if min_users is None else min_users, show_uncounted)
        made = make(Asker(client, period, policy), dt.datetime.now(dt.UTC), _say)
    finally:
        client.close()
    write_text(out, made.page)
    typer.echo(f"{out}: {len(made.figures)} figures, {len(made.page.encode()) / 1e6:.1f} MB")
    if csv_dir is not None:
        typer.echo(f"{csv_dir}: {write_csv_files(made.figures, csv_dir)} CSV files")
    if png_dir is not None:
        ids = [figure.id for figure in made.figures]
        count = len(ids)
        done = iter(range(1, count + 1))
        pictures = photograph(out, ids, png_dir, browser, lambda name, took_s: _say(name, took_s, next(done), count))
        typer.echo(f"{png_dir}: {len(pictures)} pictures")
    empty = [figure.id for figure in made.figures if figure.empty]
    if empty:
        typer.echo(f"Without data, each says why: {', '.join(empty)}", err=True)
    typer.echo(f"Done in {time.monotonic() - started_s:.1f} s", err=True)


def _say(what: str, took_s: float, place: int, steps: int) -> None:
    typer.echo(f"[{place:>2}/{steps}] {took_s:6.2f} s  {what}", err=True)


def _day(text: str, option: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; write it as 2025-11-30", param_hint=option) from None
