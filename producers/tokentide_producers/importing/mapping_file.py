"""The mapping file: a TOML file that says what the columns of a CSV, JSON or Parquet file mean."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tokentide_producers.importing.problems import ImportSourceError
from tokentide_schemas.event import COLUMNS

Unit = Literal["iso", "s", "ms", "us", "ns"]

TEXT_FIELDS: Final = (
    *("request_id", "operation", "request_model", "model", "provider", "category", "subcategory", "app", "tenant"),
    *("country", "language", "gateway", "gateway_region", "outcome", "finish_reason", "error_type"),
)
HASHED_FIELDS: Final = ("user", "session", "api_key")
COUNT_FIELDS: Final = (
    *("attempt", "input_uncached_tokens", "input_cache_read_tokens", "input_cache_write_tokens", "output_tokens"),
    *("output_reasoning_tokens", "audio_tokens", "image_tokens", "http_status", "tools_offered", "tool_calls"),
    *("input_total_tokens", "output_total_tokens", "total_tokens"),
)
DURATION_FIELDS: Final = ("time_to_first_token_ms", "latency_ms")
FLAG_FIELDS: Final = ("is_byok", "streamed", "is_final_attempt")
TIME_FIELDS: Final = ("occurred_at", "started_at")
FIELDS: Final = (*TIME_FIELDS, *TEXT_FIELDS, *HASHED_FIELDS, *COUNT_FIELDS, *DURATION_FIELDS, *FLAG_FIELDS, "cost_usd")
"""What a column may mean: fields of the event, and what is turned into them (totals, dollars, plain identifiers)."""


class Mapping(BaseModel):
    """A mapping file. namespace: names the source; the same id in another namespace is another request. id: columns
    that identify a row; none: its content does. units: of times. values: replaces values of a field, as they stand in
    the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    id: tuple[str, ...] = ()
    time_zone: str = ""
    columns: dict[str, str]
    constants: dict[str, str | int | bool] = {}
    units: dict[str, Unit] = {}
    values: dict[str, dict[str, str]] = {}

    @field_validator("id", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        zone_named(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for where, given in (("columns", self.columns), ("constants", self.constants), ("values", self.values)):
            unknown = sorted(set(given) - set(FIELDS))
            if unknown:
                raise ValueError(f"{where}: {', '.join(unknown)} is no field; fields are {', '.join(FIELDS)}")
        both = sorted(set(self.columns) & set(self.constants))
        if both:
            raise ValueError(f"{', '.join(both)} has a column and a constant; keep one")
        given_fields = set(self.columns) | set(self.constants)
        for needed in ("occurred_at", "request_model", "provider"):
            if needed not in given_fields:
                raise ValueError(f"{needed} is missing: name its column under [columns], or a value under [constants]")
        if "occurred_at" in self.constants or set(self.units) - set(TIME_FIELDS):
            raise ValueError("times need a column; [units] are for occurred_at and started_at")
        if not {"input_uncached_tokens", "input_total_tokens"} & given_fields:
            raise ValueError("input_total_tokens (with what caches served) or input_uncached_tokens needs a column")
        if not {"output_tokens", "output_total_tokens"} & given_fields:
            raise ValueError("output_total_tokens (with reasoning) or output_tokens (visible) needs a column")
        return self

    @property
    def zone(self) -> dt.tzinfo | None:
        """Of times without one; None when the file does not say."""
        return zone_named(self.time_zone)


def zone_named(name: str) -> dt.tzinfo | None:
    """A time zone by its IANA name, None for ''. Raises ValueError for another name."""
    if not name:
        return None
    if name.upper() in ("UTC", "Z"):
        return dt.UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; give UTC or a name such as Europe/Berlin") from None


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file. Raises ImportSourceError with every problem of it."""
    try:
        with path.open("rb") as file:
            raw: dict[str, Any] = tomllib.load(file)
    except OSError as error:
        raise ImportSourceError(f"the mapping file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImportSourceError(f"the mapping file {path} is not TOML: {error}") from None
    try:
        return Mapping.model_validate(raw)
    except ValidationError as error:
        problems = "".join(
            f"\n  {'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}".replace("  : ", "  ")
            for item in error.errors(include_input=False, include_url=False)
        )
        raise ImportSourceError(f"the mapping file {path} is not usable:{problems}") from None


assert set(TEXT_FIELDS) <= set(COLUMNS)
