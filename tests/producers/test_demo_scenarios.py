from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tokentide_producers import demo_scenarios as demo
from tokentide_producers.calibration import load_table
from tokentide_producers.event_ids import EventIds
from tokentide_producers.simulator import Options, Simulation
from tokentide_producers.traffic_model import TrafficModel
from tokentide_schemas.block import assemble
from tokentide_schemas.catalogue import TOKEN_COLUMNS, load_catalogue
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, decode

MockKafka = Any  # the class of conftest.py, which tests cannot import
NOW = dt.datetime(2026, 11, 22, 22, 0, 30, tzinfo=dt.UTC)
N = 400_000
CATALOGUE = load_catalogue()


@cache
def model_of(name: str) -> TrafficModel:
    return TrafficModel(CATALOGUE, NOW, demo.table_of(name, load_table()))


@cache
def drawn(name: str, since_s: float) -> pa.Table:
    """Events of a scenario some time after its begin."""
    model = model_of(name)
    scenario = demo.DemoScenario(name, model.cells)
    model.use(scenario.mix(scenario.step(since_s)))
    block = model.generate(N, np.random.default_rng(5), 0, 60_000, "gw-0", EventIds(1))
    tokens = np.sum([block.column(column).to_numpy() for column in TOKEN_COLUMNS], axis=0)
    return pa.Table.from_batches([block]).append_column("tokens", pa.array(tokens))


def shares(table: pa.Table, *columns: str) -> dict[Any, float]:
    keys: Iterable[Any] = zip(*(table.column(column).to_pylist() for column in columns), strict=True)
    sums: Counter[Any] = Counter()
    for key, tokens in zip(keys, table.column("tokens").to_pylist(), strict=True):
        sums[key[0] if len(columns) == 1 else key] += tokens
    total = sums.total()
    return {key: value / total for key, value in sums.items()}


def moved(before: dict[Any, float], after: dict[Any, float]) -> dict[Any, float]:
    return {key: after.get(key, 0.0) - before.get(key, 0.0) for key in before.keys() | after.keys()}


def test_a_launched_model_is_unheard_of_and_then_takes_its_share_within_a_minute() -> None:
    before, half, after = (shares(drawn(demo.LAUNCH, s), "model") for s in (-1.0, 25.0, 65.0))
    assert demo.LAUNCHED_MODEL not in before
    assert 0.02 < half[demo.LAUNCHED_MODEL] < 0.06
    assert after[demo.LAUNCHED_MODEL] == pytest.approx(demo.LAUNCHED_TOKEN_SHARE, abs=0.008)


@pytest.mark.parametrize("name", [demo.LAUNCH, demo.PRICE_CUT, demo.OUTAGE])
def test_what_a_scenario_is_not_about_stays_where_it_is(name: str) -> None:
    before, after = drawn(name, -1.0), drawn(name, 90.0)
    for column in ("category", "country", "app", "language"):
        worst = max(abs(change) for change in moved(shares(before, column), shares(after, column)).values())
        assert worst < 0.01, column
    for attribute in ("open_weights", "reasoning"):
        part = [
            sum(share for model, share in shares(table, "model").items() if getattr(CATALOGUE.models[model], attribute))
            for table in (before, after)
        ]
        assert part[0] == pytest.approx(part[1], abs=0.01), attribute
    sums = [pc.sum(table.column("tokens")).as_py() for table in (before, after)]
    assert sums[0] == pytest.approx(sums[1], rel=0.02)


def test_an_outage_is_errors_first_and_then_silence_with_the_traffic_elsewhere() -> None:
    before, failing, after = (drawn(demo.OUTAGE, s) for s in (-1.0, 5.0, 31.0))
    assert shares(before, "provider")[demo.FAILING_PROVIDER] > 0.10
    lost = failing.filter(pc.equal(failing.column("provider").cast(pa.string()), demo.FAILING_PROVIDER))
    assert lost.num_rows > 0.1 * N
    assert set(lost.column("outcome").to_pylist()) == {"error"}
    assert set(lost.column("error_type").to_pylist()) == {"provider_error"}
    assert pc.sum(lost.column("tokens")).as_py() == 0
    assert demo.FAILING_PROVIDER not in after.column("provider").to_pylist()
    worst = max(abs(change) for change in moved(shares(before, "model"), shares(after, "model")).values())
    assert worst < 0.01


def test_a_price_cut_halves_the_unit_cost_and_the_model_grows_at_its_competitors_expense() -> None:
    before, after = drawn(demo.PRICE_CUT, -1.0), drawn(demo.PRICE_CUT, 65.0)
    costs = []
    for table in (before, after):
        own = table.filter(pc.equal(table.column("model").cast(pa.string()), demo.CUT_MODEL))
        priced = own.filter(pc.is_valid(own.column("cost_nanousd")))
        costs.append(pc.sum(priced.column("cost_nanousd")).as_py() / pc.sum(priced.column("tokens")).as_py())
        sources = set(priced.column("cost_source").to_pylist())
        assert sources == ({"computed"} if table is before else {"reported"})
    assert costs[1] / costs[0] == pytest.approx(demo.CUT_PRICE, abs=0.03)
    change = moved(shares(before, "model"), shares(after, "model"))
    assert change[demo.CUT_MODEL] > 0.05
    assert max(value for model, value in change.items() if model != demo.CUT_MODEL) < 0.005


class _Sent:
    """Takes the place of Kafka: acknowledges everything at once."""

    outstanding_bytes = 0

    def __init__(self, clock: _Clock) -> None:
        self.values: list[bytes] = []
        self._clock = clock

    def submit(self, value: bytes, _events: int, *, tokens: int = 0, producer: int = 0) -> None:
        self.values.append(value)

    def service(self, wait_s: float = 0.0) -> None:
        # An envelope takes some time of its own, as in life.
        self._clock.now_s += wait_s or 0.01


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def run(**options: Any) -> tuple[Simulation, list[str], list[int]]:
    """A simulation on a clock of its own: it, what it told, and the events' times."""
    clock, told = _Clock(), list[str]()
    sender = _Sent(clock)
    begin_ms = int(NOW.timestamp() * 1000)
    simulation = Simulation(
        Options(**options),
        sender,  # type: ignore[arg-type]
        model_of(options.get("scenario", "")),
        clock=clock,
        wall_clock_ms=lambda: begin_ms + round((clock.now_s - 1_000.0) * 1000),
        tell=told.append,
    )
    simulation.run()
    headers = {"content-type": CONTENT_TYPE_ARROW.encode()}
    block = assemble(
        [decode(Record(0, n, begin_ms + 3_600_000, value, headers)) for n, value in enumerate(sender.values)]
    )
    assert not any(block.rejections)
    return simulation, told, block.table.column("occurred_at").cast(pa.int64()).to_pylist()


def test_history_and_live_traffic_meet_without_a_gap_and_without_a_double() -> None:
    simulation, _told, times = run(rate=100.0, duration_s=120.0, backfill_s=600.0)
    assert simulation.pacer.skipped_events == 0
    seconds = Counter(time // 1000 for time in times)
    first, last = min(seconds), max(seconds)
    assert first == int(NOW.timestamp()) - 630, "ten minutes and what was missing to a whole one"
    whole = [seconds[second] for second in range(first, last)]
    assert set(whole) <= {99, 100, 101} and sum(whole) == pytest.approx(100 * len(whole), abs=2)
    assert times == sorted(times)


def test_a_scenario_begins_on_a_whole_minute_after_ninety_live_seconds_and_says_when() -> None:
    _simulation, told, _times = run(rate=20.0, duration_s=2.0, backfill_s=60.0, scenario=demo.LAUNCH)
    assert len(told) == 1
    found = re.match(r"scenario: launch begins at 22:0([23]):00 UTC .*: expect an alert by 22:0([56])$", told[0])
    assert found, told
    assert int(found[2]) == int(found[1]) + 3


def test_history_is_sent_to_an_empty_topic_only(kafka: MockKafka, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TOKENTIDE_STATUS_FILE": str(tmp_path / "status.json"),
    }
    command = [sys.executable, "-m", "tokentide_producers.simulator", "--rate", "200", "--duration-s", "2"]
    sent = []
    for _ in range(2):
        done = subprocess.run(
            [*command, "--scenario", "outage", "--backfill-min", "3"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "scenario: outage begins at" in done.stderr
        report = json.loads(done.stdout)
        assert report["scenario"].startswith("scenario: outage begins at")
        sent.append(report["acknowledged_events"])
    assert sent[0] >= 3 * 60 * 200 > 1_000 > sent[1]
