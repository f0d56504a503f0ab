"""`tokentide prices`: what is charged, whether stored costs follow it, and their correction."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tokentide_deploy.errors import DeployError
from tokentide_deploy.store_access import configured_paths, load_or_exit, opened_store, show_rows

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

NANOUSD_PER_USD = 10**9

Since = Annotated[str, typer.Option(help="First instant, UTC: 2026-01-31 or 2026-01-31T16:00:00Z.")]
Until = Annotated[
    str | None, typer.Option(help="First instant that is left out.", show_default="as far as windows are closed")
]
Provider = Annotated[str | None, typer.Option(help="Only this provider; any of its names.")]
Model = Annotated[str | None, typer.Option(help="Only this model; any of its names.")]
Paths = Annotated[
    list[Path] | None,
    typer.Option(
        "--catalogue", help="Your own catalogue files or folders.", show_default="the setting TOKENTIDE_CATALOGUE_PATHS"
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
]
ClickHouse = Annotated[
    str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
]
LatenessS = Annotated[int, typer.Option(min=0, help="The worker's setting stream_allowed_lateness_s.")]
Format = Annotated[str, typer.Option("--format", help="table or json.")]


@app.callback()
def _prices() -> None:
    """Prices, and the costs that were computed from them."""


@app.command("list")
def list_prices(
    provider: Provider = None, model: Model = None, catalogue: Paths = None, format_: Format = "table"
) -> None:
    """The prices of the catalogue files, USD a million tokens."""
    from rich.console import Console

    found = load_or_exit(configured_paths(catalogue))
    wanted_provider = None if provider is None else found.resolve_provider(provider)
    wanted_model = None if model is None else found.resolve(model)
    rows = [
        {
            "provider": row["provider"],
            "model": f"{row['model']}:{row['variant']}" if row["variant"] else row["model"],
            "valid_from": f"{row['valid_from']:%Y-%m-%d %H:%M}",
            "input_above_tokens": max(0, row["min_input_tokens"] - 1),
            "input": usd(row["input_uncached_nanousd_per_million"]),
            "cache_read": usd(row["input_cache_read_nanousd_per_million"]),
            "cache_write": usd(row["input_cache_write_nanousd_per_million"]),
            "output": usd(row["output_nanousd_per_million"]),
            "reasoning": usd(row["output_reasoning_nanousd_per_million"]),
            "request": usd(row["per_request_nanousd"]),
            "tool_call": usd(row["per_tool_call_nanousd"]),
            "free_period": row["is_free_period"],
            "confidence": row["confidence"],
            "version": row["version"],
        }
        for row in found.price_rows()
        if wanted_provider in (None, row["provider"]) and wanted_model in (None, row["model"])
    ]
    if not rows:
        raise DeployError("The catalogue has no such price. See tokentide prices list without options.")
    show_rows(rows, format_, Console())


@app.command()
def check(
    since: Since,
    until: Until = None,
    provider: Provider = None,
    model: Model = None,
    catalogue: Paths = None,
    data_dir: DataDir = None,
    clickhouse: ClickHouse = None,
    format_: Format = "table",
) -> None:
    """Which stored costs the present catalogue would change, and by how much. Changes none.

    Exit status 0 when stored costs follow the catalogue, 1 when some would change.
    """
    changes = _check(since, until, provider, model, catalogue, data_dir, clickhouse)
    _show(changes, format_)
    raise typer.Exit(1 if changes else 0)


@app.command()
def recompute(
    since: Since,
    until: Until = None,
    provider: Provider = None,
    model: Model = None,
    catalogue: Paths = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    allowed_lateness_s: LatenessS = 120,
    data_dir: DataDir = None,
    clickhouse: ClickHouse = None,
) -> None:
    """Correct computed and unknown costs by the present catalogue: raw events, then all rollups, exactly.

    Costs that a producer reported stay. Running it again changes nothing, and finishes a run that was cut off.
    """
    from tokentide_schemas.cube_file import CubeFileError, load_cubes
    from tokentide_schemas.settings import CubeSettings, load_settings
    from tokentide_sinks.repricing import Repricer, RepricingError

    if dry_run:
        _show(_check(since, until, provider, model, catalogue, data_dir, clickhouse), "table")
        return
    found = load_or_exit(configured_paths(catalogue))
    try:
        cubes = load_cubes(load_settings(CubeSettings).cubes_file)
    except CubeFileError as error:
        raise DeployError(f"{error}") from error
    with opened_store(data_dir, clickhouse) as store:
        repricer = Repricer(store, found, cubes=cubes, allowed_lateness_s=allowed_lateness_s, say=_say)
        try:
            done = repricer.recompute(_instant(since), _instant(until) if until else None, provider, model)
        except RepricingError as error:
            raise DeployError(f"{error}") from error
    typer.echo(
        f"{done.events:,} events corrected by {usd(done.delta_nanousd)} USD, {done.corrections:,} rollup groups, "
        f"{done.since:%Y-%m-%d %H:%M} to {done.until:%Y-%m-%d %H:%M} UTC, catalogue {found.version}"
    )
    if done.moving_groups:
        typer.echo(
            f"{done.moving_groups:,} rollup groups were left alone: raw table and rollup hold different events there "
            "(still arriving, or raw events past their retention). If events were flowing, run the command again.",
            err=True,
        )


def usd(nanousd: int) -> str:
    """Exact USD without trailing zeros, at least two decimals."""
    sign = "-" if nanousd < 0 else ""
    whole, rest = divmod(abs(nanousd), NANOUSD_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole:,}.{decimals}"


def _check(
    since: str,
    until: str | None,
    provider: str | None,
    model: str | None,
    catalogue: list[Path] | None,
    data_dir: Path | None,
    clickhouse: str | None,
) -> list[Any]:
    from tokentide_sinks.repricing import Repricer

    found = load_or_exit(configured_paths(catalogue))
    with opened_store(data_dir, clickhouse) as store:
        return Repricer(store, found, say=_say).check(
            _instant(since), _instant(until) if until else None, provider, model
        )


def _show(changes: list[Any], format_: str) -> None:
    from rich.console import Console

    if not changes and format_ == "table":
        typer.echo("stored costs follow the catalogue")
        return
    rows = [
        {
            "provider": c.provider,
            "model": c.model,
            "from": f"{c.first:%Y-%m-%d %H:%M}",
            "to": f"{c.last:%Y-%m-%d %H:%M}",
            "events": c.events,
            "newly_known": c.newly_known,
            "stored_usd": usd(c.old_nanousd),
            "catalogue_usd": usd(c.new_nanousd),
            "change_usd": usd(c.delta_nanousd),
            "stored_price": c.old_version or "none",
            "price": c.new_version,
        }
        for c in changes
    ]
    show_rows(rows, format_, Console())
    if format_ == "table":
        total = sum(c.delta_nanousd for c in changes)
        typer.echo(f"{sum(c.events for c in changes):,} events would change, by {usd(total)} USD in all")


def _say(line: str) -> None:
    typer.echo(f"{line} ...", err=True)


def _instant(text: str) -> datetime:
    from tokentide_schemas.catalogue.entries import parse_utc

    try:
        return parse_utc(text).astimezone(UTC)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
