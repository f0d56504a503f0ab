"""The run's result as one table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tokentide_schemas.topics import USAGE

COMPONENTS = (
    "generator", "kafka", "store", "events-sink", "stream", "rollups-sink", "shares", "maintenance", "alerts", "notify",
    "board", "collector", "up", "markers and queries",
)  # fmt: skip


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print everything that was measured."""
    table = Table(title="tokentide bench", box=box.SIMPLE_HEAD, title_justify="left")
    for name in ("", "figure", "value"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for name, section in result["sections"].items():
        rows = _ROWS.get(name, _plain)(section["found"]) if "found" in section else [("failed", section["failed"])]
        for place, (what, value) in enumerate(rows):
            table.add_row(f"[bold]{name}[/]" if place == 0 else "", what, value)
        table.add_section()
    sections = result["sections"]
    if all("found" in sections.get(name, {}) for name in ("end to end", "peers")):
        load = sections["end to end"]["found"]["end_to_end"]
        for what, value in against_peers(load, sections["peers"]["found"]):
            table.add_row("", what, value)
    console.print(table)


def load_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One load's figures."""
    rows = [
        ("events/s sustained", f"{found['events_per_s']:,}"),
        ("tokens a day at that rate", f"{found['tokens_per_day'] / 1e12:.1f} T"),
        (
            "events, seconds, seconds until all was stored",
            f"{found['events']:,}, {found['sent_s']}, {found['drained_s']}",
        ),
        ("skipped by the generator", f"{found['skipped_events']:,}"),
    ]
    if "visible" in found:
        seen = found["visible"]
        rows += [
            (f"event -> visible in {where}: p50, p99, most", ", ".join(
                f"{seen[f'{where}_{name}_s']} s" for name in ("p50", "p99", "max")))
            for where in ("raw", "rollups")
        ]  # fmt: skip
        rows.append(("markers sent; not seen within a minute, raw and rollups", f"{seen['markers']}, {seen['lost']}"))
    if "verified" in found:
        rows.append(("tokentide verify", "holds" if found["verified"]["holds"] else str(found["verified"]["findings"])))
    rows.append(("CPU-s per million events, all", f"{found['cpu_s_per_million_all']}"))
    rows += [
        (f"  {name}: CPU-s/M, peak MiB", f"{found['cpu_s_per_million'][name]}, {found['peak_rss_mib'].get(name, '-')}")
        for name in COMPONENTS
        if name in found["cpu_s_per_million"]
    ]
    disk = (
        found["wire_bytes_per_event"],
        found["kafka_disk_bytes_per_event"].get(USAGE, "-"),
        found["store_disk_bytes_per_event"].get("events", "-"),
    )
    rows.append(("bytes an event: envelope, Kafka's disk, raw table", ", ".join(map(str, disk))))
    rows += [
        (f"query beside it: {name}: p50, p99", f"{times['p50_ms']}, {times['p99_ms']} ms")
        for name, times in found["queries"].items()
    ]
    return rows


def growth_rows(found: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """A series: events per CPU-second of the platform, generator and questions excluded."""
    rates = {size: platform_rate(load) for size, load in found.items()}
    rows = [(f"{int(size):,}: events per CPU-second", f"{rate:,.0f}") for size, rate in rates.items()]
    values = list(rates.values())
    rows.append(("smallest to largest", f"{(values[-1] / values[0] - 1) * 100:+.0f} %"))
    return rows


def platform_rate(load: Mapping[str, Any]) -> float:
    """Events per CPU-second of broker, stream, sinks and store."""
    used = sum(cpu for name, cpu in load["cpu_s"].items() if name not in ("generator", "markers and queries"))
    return float(load["events"] / used)


def peer_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each peer: its version, what the job cost it and the store, and what it does not do."""
    rows = [("JSON bytes an event", str(found["json_bytes_per_event"]))]
    for name, one in found.items():
        if not isinstance(one, Mapping):
            continue
        if "failed" in one:
            rows.append((name, f"failed: {one['failed'][-300:]}"))
            continue
        done = "complete" if one["complete"] else f"{one['rows']:,} rows, {one['counted']:,} counted in its time"
        cost = f"{one['cpu_s_per_million']} CPU-s/M, {one['peak_rss_mib']} MiB, {done}"
        rows.append((f"{name} ({one['version']}); lacks {one['lacks']}", cost))
    return rows


def against_peers(load: Mapping[str, Any], found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The platform's whole processing and storing in the end-to-end run, against the best of each kind of peer."""
    outside = ("generator", "markers and queries", "kafka")
    own = sum(cost for name, cost in load["cpu_s_per_million"].items() if name not in outside)
    rows = [("tokentide, everything but broker and generator: CPU-s/M", f"{own:.2f}")]
    for kind, is_framework in (("framework", True), ("hand-written loop", False)):
        costs = {
            name: one["cpu_s_per_million"]
            for name, one in found.items()
            if isinstance(one, Mapping) and one.get("framework") is is_framework
        }
        if costs:
            best = min(costs, key=lambda name: costs[name])
            rows.append((f"events per CPU-second against the best {kind}, {best}", f"{costs[best] / own:.1f}x"))
    return rows


def _stack_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [*load_rows(found["end_to_end"]), ("by stored events", ""), *growth_rows(found["by_stored_events"])]


def _plain(found: Any, path: str = "") -> list[tuple[str, str]]:
    """Any figures by their path."""
    if isinstance(found, Mapping):
        return [row for name, value in found.items() for row in _plain(value, f"{path}: {name}" if path else str(name))]
    if isinstance(found, int | float) and not isinstance(found, bool):
        return [(path, f"{found:,.3g}" if abs(found) < 1_000 else f"{found:,.0f}")]
    return [(path, str(found))]


_ROWS: dict[str, Any] = {
    "end to end": _stack_rows,
    "partitions": growth_rows,
    "models": growth_rows,
    "peers": peer_rows,
}
