"""The measured costs that a plan rests on: a committed file that `make bench COSTS=write` makes anew."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tokentide_deploy.errors import DeployError

COSTS_VERSION: Final = 1
FILE_NAME: Final = "measured_costs.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CpuSeconds(_Frozen):
    """CPU-seconds per million events, user and system, all processes of the part.

    store: inserts, merges and the counting of users; not people's queries. stream: with all shipped cubes.
    """

    kafka: float = Field(gt=0)
    stream: float = Field(gt=0)
    shares: float = Field(gt=0)
    events_sink: float = Field(gt=0)
    rollups_sink: float = Field(gt=0)
    store: float = Field(gt=0)


class BytesPerEvent(_Frozen):
    """wire: an envelope's bytes before Kafka's compression. kafka_disk: in the broker's log, one replica. raw_disk: in
    the raw table, merged."""

    wire: float = Field(gt=0)
    kafka_disk: float = Field(gt=0)
    raw_disk: float = Field(gt=0)


class PeakMemory(_Frozen):
    """Resident MiB at most, of one process each."""

    kafka: int = Field(gt=0)
    stream: int = Field(gt=0)
    events_sink: int = Field(gt=0)
    store: int = Field(gt=0)


class MeasuredCosts(_Frozen):
    """One run of the benchmark. events_per_s: the rate at which it was measured; note: what a reader must know."""

    version: Literal[1]
    measured_at: str
    commit: str
    machine: str
    events_per_s: float = Field(gt=0)
    note: str = ""
    cpu_s_per_million_events: CpuSeconds
    bytes_per_event: BytesPerEvent
    peak_rss_mib: PeakMemory


def load_costs(path: Path | None = None) -> MeasuredCosts:
    """The shipped costs, or those of a file. Raises DeployError that names what is wrong with it."""
    try:
        text = path.read_text("utf-8") if path else (files("tokentide_deploy.plan") / FILE_NAME).read_text("utf-8")
        return MeasuredCosts.model_validate_json(text)
    except OSError as error:
        raise DeployError(f"The file of measured costs cannot be read: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()]
        raise DeployError(f"{path or FILE_NAME} holds no measured costs:\n" + "\n".join(lines)) from error
