"""`tokentide plan`: arithmetic over measured costs, said so that a person can check it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tokentide_deploy.errors import DeployError
from tokentide_deploy.plan.costs import MeasuredCosts, load_costs
from tokentide_deploy.plan.planning import Demand, Plan, number, plan

COSTS = MeasuredCosts.model_validate(
    {
        "version": 1,
        "measured_at": "2026-11-28",
        "commit": "abc",
        "machine": "2 cores",
        "events_per_s": 100_000,
        "cpu_s_per_million_events": {
            "kafka": 1.5, "stream": 3.0, "shares": 0.1, "events_sink": 1.2, "rollups_sink": 0.2, "store": 4.0
        },
        "bytes_per_event": {"wire": 200, "kafka_disk": 100, "raw_disk": 50},
        "peak_rss_mib": {"kafka": 500, "stream": 512, "events_sink": 1024, "store": 2000},
    }
)  # fmt: skip


def value(found: Plan, what: str) -> float:
    return next(line.value for line in found.lines if line.what == what)


def test_a_hundred_trillion_tokens_a_day_by_hand() -> None:
    demand = Demand(1e14, 6_400, peak_factor=2, use_at_most=0.5, retention_days=10, kafka_days=2, kafka_replicas=3)
    found = plan(demand, COSTS)
    assert found.events_per_day == 15_625_000_000
    assert round(found.events_per_s) == 180_845
    # 361,690 events/s at peak x 3 CPU-s/M = 1.085 cores of work, half of a core used: 2.17 processes.
    assert value(found, "stream workers") == 3
    assert value(found, "raw sinks") == 1
    assert value(found, "partitions of the usage topic") == 6
    # 1.447 cores of work / 0.5 x 2 replicas = 5.8.
    assert value(found, "ClickHouse cores") == 6
    assert value(found, "ClickHouse disk, raw events") == pytest.approx(15.625e9 * 10 * 50 * 2 / 0.5 / 1e12)
    assert value(found, "Kafka disk") == pytest.approx(15.625e9 * 2 * 100 * 3 / 0.5 / 1e12)
    assert value(found, "network into Kafka at peak") == pytest.approx(0.2894, rel=1e-3)
    assert value(found, "network out of Kafka at peak") == pytest.approx(4 * 0.2894, rel=1e-3)


def test_twice_the_tokens_need_twice_the_disk_and_no_less_of_anything() -> None:
    small, large = plan(Demand(5e13), COSTS), plan(Demand(1e14), COSTS)
    assert value(large, "Kafka disk") == pytest.approx(2 * value(small, "Kafka disk"))
    for before, after in zip(small.lines, large.lines, strict=True):
        assert after.what == before.what and after.value >= before.value


@pytest.mark.parametrize(
    ("text", "expected"), [("100T", 1e14), ("2.5b", 2.5e9), ("40000", 4e4), ("1_000", 1e3), ("1,500", 1.5e3)]
)
def test_numbers_are_written_as_people_do(text: str, expected: float) -> None:
    assert number(text) == expected


@pytest.mark.parametrize("text", ["", "T", "many", "-1T", "0", "nan", "1e400"])
def test_what_is_no_volume_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        number(text)


def test_the_shipped_costs_are_readable_and_say_where_they_come_from() -> None:
    costs = load_costs()
    assert costs.measured_at and costs.commit and costs.machine


def test_a_file_that_holds_no_costs_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    file.write_text(COSTS.model_dump_json().replace('"kafka":1.5', '"kafka":0'))
    with pytest.raises(DeployError, match=r"costs\.json holds no measured costs:\n  cpu_s_per_million_events\.kafka"):
        load_costs(file)
    with pytest.raises(DeployError, match="cannot be read"):
        load_costs(tmp_path / "none.json")


def test_the_command_says_the_plan_as_json_and_refuses_words() -> None:
    command = [sys.executable, "-m", "tokentide_deploy.cli", "plan", "--tokens-per-day"]
    answer = subprocess.run([*command, "100T", "--format", "json"], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["demand"]["tokens_per_day"] == 1e14
    refused = subprocess.run([*command, "lots"], capture_output=True, text=True, timeout=60)
    assert refused.returncode == 2 and "100T" in refused.stderr
