"""Ten weeks of known traffic in a store process, and the report's files over it."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.dashboards import traffic
from tests.deploy.looking import Store, running_store, tokentide

FIRST_DAY = traffic.FIRST_DAY.date()
LAST_DAY = (traffic.END - traffic.DAY).date()


@dataclass(frozen=True)
class Written:
    """What one run of the command wrote."""

    done: subprocess.CompletedProcess[str]
    page: Path
    csv_dir: Path

    def rows(self, figure: str) -> list[dict[str, str]]:
        """A figure's numbers."""
        with (self.csv_dir / f"{figure}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def cells(self, figure: str) -> dict[tuple[str, str], float]:
        """Bucket and group -> value, of a chart over time."""
        found = {}
        for row in self.rows(figure):
            (_, time), *values = row.items()
            found |= {(time, name): float(value) for name, value in values if value}
        return found


def report(store: Store, folder: Path, *arguments: str) -> Written:
    """Run `tokentide report` over all of the traffic, unless the arguments say otherwise."""
    page, csv_dir = folder / "report.html", folder / "csv"
    done = tokentide(
        *("report", "--from", str(FIRST_DAY), "--to", str(LAST_DAY), "--out", str(page), "--csv-dir", str(csv_dir)),
        *("--clickhouse", store.reader_url, *arguments),
    )
    return Written(done, page, csv_dir)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("report-store")) as running:
        running.make_tables()
        traffic.fill(running.execute, traffic.events())
        yield running


@pytest.fixture(scope="session")
def everything(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The report with nothing hidden."""
    written = report(store, tmp_path_factory.mktemp("everything"), "--min-users", "1")
    assert written.done.returncode == 0, written.done.stderr
    return written


@pytest.fixture(scope="session")
def publishable(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The report as it is written without being told about small groups."""
    written = report(store, tmp_path_factory.mktemp("publishable"))
    assert written.done.returncode == 0, written.done.stderr
    return written
