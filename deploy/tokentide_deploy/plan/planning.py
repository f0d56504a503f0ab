"""From a volume to machines: arithmetic over measured costs, nothing else. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from tokentide_deploy.plan.costs import MeasuredCosts

DAY_S: Final = 86_400
BITS: Final = 8


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for. peak_factor: the busiest minute over the day's mean. use_at_most: share of a core or disk that
    is planned with; the rest is headroom for merges, queries, restarts and catching up. Replicas are copies of the
    topics and of the tables."""

    tokens_per_day: float
    tokens_per_request: float = 6_400.0
    peak_factor: float = 2.0
    use_at_most: float = 0.6
    retention_days: int = 30
    kafka_days: int = 7
    kafka_replicas: int = 3
    store_replicas: int = 2


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the plan, and how it comes about."""

    what: str
    value: float
    unit: str
    because: str


@dataclass(frozen=True, slots=True)
class Plan:
    """events_per_s: mean and peak; lines: everything that has to be there."""

    events_per_day: float
    events_per_s: float
    peak_events_per_s: float
    lines: tuple[Line, ...]


def plan(demand: Demand, costs: MeasuredCosts) -> Plan:
    """The plan for a demand. Raises ValueError for a demand that is not positive."""
    problems = [
        name
        for name in ("tokens_per_day", "tokens_per_request", "retention_days", "kafka_days", "kafka_replicas")
        if getattr(demand, name) <= 0
    ]
    if problems or demand.store_replicas < 1 or demand.peak_factor < 1 or not 0 < demand.use_at_most <= 1:
        raise ValueError(f"not a demand: {', '.join(problems) or 'peak_factor, use_at_most or store_replicas'}")
    per_day = demand.tokens_per_day / demand.tokens_per_request
    mean = per_day / DAY_S
    peak = mean * demand.peak_factor
    cpu, size = costs.cpu_s_per_million_events, costs.bytes_per_event
    share = f"{demand.use_at_most:.0%} of a core"

    def cores(cpu_s: float, copies: int = 1) -> float:
        return peak * cpu_s / 1e6 / demand.use_at_most * copies

    workers = math.ceil(cores(cpu.stream))
    sinks = math.ceil(cores(cpu.events_sink))
    rollup_sinks = math.ceil(cores(cpu.rollups_sink))
    # A process is one member of its group and holds whole partitions; twice as many as processes leaves room to even
    # out and to grow without a new topic.
    partitions = max(4, 2 * max(workers, sinks, rollup_sinks))
    gigabits = peak * size.kafka_disk / 1e9 * BITS
    raw_tb = per_day * demand.retention_days * size.raw_disk * demand.store_replicas / demand.use_at_most / 1e12
    kafka_tb = per_day * demand.kafka_days * size.kafka_disk * demand.kafka_replicas / demand.use_at_most / 1e12
    memory_mib = workers * costs.peak_rss_mib.stream + sinks * costs.peak_rss_mib.events_sink
    full = f"{demand.use_at_most:.0%} full"
    lines = (
        Line("partitions of the usage topic", partitions, "", "twice the processes of the largest group, at least 4"),
        Line("stream workers", workers, "processes", f"{cpu.stream:g} CPU-s/M at peak, {share}"),
        Line("raw sinks", sinks, "processes", f"{cpu.events_sink:g} CPU-s/M at peak, {share}"),
        Line("rollup sinks", rollup_sinks, "processes", f"{cpu.rollups_sink:g} CPU-s/M at peak, {share}"),
        Line(
            "ClickHouse cores", math.ceil(cores(cpu.store, demand.store_replicas)), "cores",
            f"{cpu.store:g} CPU-s/M at peak, {share}, {demand.store_replicas} replicas; people's queries come on top",
        ),
        Line(
            "Kafka cores", math.ceil(cores(cpu.kafka, demand.kafka_replicas)), "cores",
            f"{cpu.kafka:g} CPU-s/M at peak, {share}, {demand.kafka_replicas} replicas as if each cost what one does",
        ),
        Line(
            "ClickHouse disk, raw events", raw_tb, "TB",
            f"{size.raw_disk:g} bytes an event, {demand.retention_days} days, {demand.store_replicas} replicas, {full}",
        ),
        Line(
            "Kafka disk", kafka_tb, "TB",
            f"{size.kafka_disk:g} bytes an event, {demand.kafka_days} days, {demand.kafka_replicas} replicas, {full}",
        ),
        Line("network into Kafka at peak", gigabits, "Gbit/s", f"{size.kafka_disk:g} compressed bytes an event, once"),
        Line(
            "network out of Kafka at peak", gigabits * (2 + demand.kafka_replicas - 1), "Gbit/s",
            f"workers and sinks read everything, and {demand.kafka_replicas - 1} replicas follow",
        ),
        Line(
            "memory of workers and sinks", memory_mib / 1024, "GiB",
            f"{costs.peak_rss_mib.stream} and {costs.peak_rss_mib.events_sink} MiB a process at most",
        ),
    )  # fmt: skip
    return Plan(per_day, mean, peak, lines)


_SUFFIXES: Final = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "q": 1e15}


def number(text: str) -> float:
    """'100T' -> 1e14; k, M, B, T and Q (10**15) in either case. Raises ValueError."""
    plain = text.strip().replace(",", "").replace("_", "")
    factor = _SUFFIXES.get(plain[-1:].lower(), 1.0)
    value = float(plain[:-1] if factor != 1.0 else plain) * factor
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is not a number above 0")
    return value
