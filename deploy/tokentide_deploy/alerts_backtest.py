"""Rules over stored history: the running engine's own steps, with what it would have said kept instead of published."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tokentide_deploy.clickhouse_client import find_account
from tokentide_deploy.errors import DeployError
from tokentide_schemas.alerting import AlertConfig
from tokentide_schemas.alerts import AlertChange, AlertState
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.settings import CatalogueSettings, load_settings
from tokentide_stream.alerting.engine import Engine
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.history import replay
from tokentide_stream.alerting.lifecycle import Change
from tokentide_stream.alerting.store_reader import StoreReader, StoreUnavailableError
from tokentide_stream.alerting.windows import Window


@dataclass(slots=True)
class Backtest:
    """What would have been told. windows: minutes with traffic in the span; learned: those before it."""

    first: dt.datetime
    last: dt.datetime
    rules: tuple[str, ...]
    windows: int = 0
    learned: int = 0
    fired: list[AlertChange] = field(default_factory=list)
    ended_at: dict[str, dt.datetime] = field(default_factory=dict)


def run_backtest(
    config: AlertConfig,
    data_dir: Path | None,
    clickhouse: str | None,
    first: dt.datetime,
    last: dt.datetime,
    learn: dt.timedelta,
    show_progress: bool,
) -> Backtest:
    """Evaluate the minutes of [first, last) after learning from those before. Raises DeployError."""
    account = find_account(data_dir, clickhouse)
    store = StoreReader(account.url)
    engine = Engine(config, ModelFacts(load_catalogue(load_settings(CatalogueSettings).catalogue_paths)))
    result = Backtest(first, last, tuple(rule.name for rule in config.enabled_rules))
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not (show_progress and console.is_terminal),
    )
    try:
        oldest = store.first_minute()
        if oldest is None:
            raise DeployError("The store has no minutes yet: send events first, or try tokentide up --demo.")
        begin = max(first - learn, oldest)
        with bar:
            task = bar.add_task("minutes", total=max(0, int((last - begin).total_seconds() // 60)))

            def on_minute(window: Window, changes: Sequence[Change]) -> None:
                bar.advance(task)
                take(result, engine, window, changes)

            replay(engine, store, begin, last, on_minute)
    except StoreUnavailableError as error:
        raise DeployError(f"The store at {account.host}:{account.port} did not give the history: {error}") from error
    finally:
        store.close()
    return result


def take(result: Backtest, engine: Engine, window: Window, changes: Sequence[Change]) -> None:
    """Count a minute and keep what it would have told."""
    is_inside = window.end > result.first
    if window.requests:
        result.windows += is_inside
        result.learned += not is_inside
    for record in engine.records(changes, window.end):
        if not is_inside:
            continue
        if record.state is AlertState.FIRING:
            result.fired.append(record)
        elif record.state is AlertState.RESOLVED:
            result.ended_at[str(record.alert_id)] = record.changed_at
