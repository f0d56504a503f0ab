"""The committed costs that `tokentide plan` multiplies, from a run's end-to-end part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tokentide_deploy.plan.costs import COSTS_VERSION, FILE_NAME, MeasuredCosts
from tokentide_schemas.topics import USAGE

FILE: Final = Path(__file__).resolve().parents[3] / "deploy" / "tokentide_deploy" / "plan" / FILE_NAME


def costs_of(machine: Mapping[str, Any], load: Mapping[str, Any]) -> MeasuredCosts:
    """The costs of one load. The store's hold what counts users for it; questions beside the load are in it too."""
    cpu, rss, disk = load["cpu_s_per_million"], load["peak_rss_mib"], load["store_disk_bytes_per_event"]
    busy = machine["load_average_before"][0]
    return MeasuredCosts.model_validate(
        {
            "version": COSTS_VERSION,
            "measured_at": machine["at"],
            "commit": machine["commit"],
            "machine": f"{machine['cores']} cores, {machine['memory_gib']} GiB, Python {machine['python']}",
            "events_per_s": load["events_per_s"],
            "note": f"One run, generator and queries beside it; load average {busy:.1f} before it began.",
            "cpu_s_per_million_events": {
                "kafka": cpu["kafka"],
                "stream": cpu["stream"],
                "shares": cpu["shares"],
                "events_sink": cpu["events-sink"],
                "rollups_sink": cpu["rollups-sink"],
                "store": cpu["store"] + cpu.get("maintenance", 0.0),
            },
            "bytes_per_event": {
                "wire": load["wire_bytes_per_event"],
                "kafka_disk": load["kafka_disk_bytes_per_event"][USAGE],
                "raw_disk": disk["events"],
            },
            "peak_rss_mib": {
                "kafka": rss["kafka"],
                "stream": rss["stream"],
                "events_sink": rss["events-sink"],
                "store": rss["store"],
            },
        }
    )


def write(machine: Mapping[str, Any], load: Mapping[str, Any]) -> Path:
    """Replace the committed file."""
    FILE.write_text(costs_of(machine, load).model_dump_json(indent=1) + "\n", encoding="utf-8")
    return FILE
