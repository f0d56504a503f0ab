"""How long rows are kept, as TTL: the tiers, the statements that set them, and what they come to. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from tokentide_schemas.alert_delivery_tables import ALERT_DELIVERIES_TABLE
from tokentide_schemas.alert_tables import ALERT_CHANGES_TABLE
from tokentide_schemas.cubes import HOUR_S, Cube, stored_cubes
from tokentide_schemas.identity import IDENTITY_HORIZON_MS
from tokentide_schemas.settings import Settings
from tokentide_schemas.share_tables import SHARES_FINAL_TABLE

DAY_MS: Final = 86_400_000
FOR_EVER: Final = 0
_DAYS_PER_MONTH: Final = 31


class RetentionSettings(Settings):
    """Days that each tier is kept, from TOKENTIDE_RETENTION_*; 0 keeps for ever."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_RETENTION_", extra="forbid", frozen=True)

    raw_days: int = Field(30, ge=0, le=36_500, description="Raw events.")
    minutes_days: int = Field(90, ge=0, le=36_500, description="Rollups with windows under an hour.")
    ledger_days: int = Field(90, ge=0, le=36_500, description="What became of each record of the usage topic.")
    dead_letters_days: int = Field(90, ge=0, le=36_500, description="Refused events, as metadata.")
    user_months_days: int = Field(760, ge=0, le=36_500, description="Which hashed user used which model, by month.")
    alerts_days: int = Field(760, ge=0, le=36_500, description="Alerts and their changes of state.")
    samples_days: int = Field(14, ge=0, le=36_500, description="Lag samples of the pipeline.")

    @model_validator(mode="after")
    def _ledger_outlives_what_it_explains(self) -> Self:
        if self.dead_letters_days != FOR_EVER and not 0 < self.ledger_days <= self.dead_letters_days:
            raise ValueError(
                f"TOKENTIDE_RETENTION_DEAD_LETTERS_DAYS is {self.dead_letters_days}: keep dead letters at least as "
                f"long as the ledger that counts them ({self.ledger_days or 'for ever'})"
            )
        if self.ledger_days == FOR_EVER:
            return self
        if self.ledger_days * DAY_MS < IDENTITY_HORIZON_MS:
            raise ValueError(
                f"TOKENTIDE_RETENTION_LEDGER_DAYS is {self.ledger_days}: at least {IDENTITY_HORIZON_MS // DAY_MS} days "
                "are needed to recognise an envelope that is sent again"
            )
        if self.raw_days == FOR_EVER or self.raw_days > self.ledger_days:
            raise ValueError(
                f"TOKENTIDE_RETENTION_LEDGER_DAYS is {self.ledger_days}: keep the ledger at least as long as the raw "
                f"events ({self.raw_days or 'for ever'}), or verify could not account for them"
            )
        return self


@dataclass(frozen=True, slots=True)
class Tier:
    """How long one table keeps its rows. days: 0 is for ever. partition_days: longest span of one partition."""

    table: str
    time_column: str
    days: int
    partition_days: int

    @property
    def drops_whole_parts(self) -> bool:
        """Expired partitions are dropped as files, never rewritten; a row may then stay for one partition longer."""
        return self.days != FOR_EVER and 2 * self.partition_days <= self.days

    @property
    def kept_days(self) -> int:
        """Most days of rows that are on disk at one time."""
        return self.days + (self.partition_days if self.drops_whole_parts else 1)

    @property
    def ttl(self) -> str:
        """The TTL expression."""
        return f"toDateTime({self.time_column}) + toIntervalDay({self.days})"


def tiers(settings: RetentionSettings, cubes: Iterable[Cube]) -> list[Tier]:
    """Every table that grows with traffic. `shares_*` bring their own TTL with their definition."""
    found = [
        Tier("events", "occurred_at", settings.raw_days, 1),
        Tier("ingest_ledger", "appended_at", settings.ledger_days, _DAYS_PER_MONTH),
        Tier("dead_letters", "appended_at", settings.dead_letters_days, _DAYS_PER_MONTH),
        Tier("user_months", "month", settings.user_months_days, _DAYS_PER_MONTH),
        Tier(ALERT_CHANGES_TABLE, "started_at", settings.alerts_days, _DAYS_PER_MONTH),
        Tier(ALERT_DELIVERIES_TABLE, "changed_at", settings.alerts_days, _DAYS_PER_MONTH),
        Tier("pipeline_samples", "sampled_at", settings.samples_days, 1),
    ]
    for cube in stored_cubes(cubes):
        days = settings.minutes_days if cube.window_s < HOUR_S else FOR_EVER
        found.append(Tier(cube.partials_table, "window_start", days, _DAYS_PER_MONTH))
    return found


def ttl_days(table_definition: str) -> int:
    """Days of the TTL in a table's definition (`engine_full` or `create_table_query`), 0 without one."""
    match = re.search(r"\bTTL\b[^\n]*?\btoIntervalDay\((\d+)\)", table_definition)
    return int(match[1]) if match else FOR_EVER


def statements(tier: Tier, table_definition: str) -> list[str]:
    """What brings a table with this definition to its tier; empty when it is there."""
    has_ttl = re.search(r"\bTTL\b", table_definition) is not None
    found = []
    setting = re.search(r"\bttl_only_drop_parts = (\d)", table_definition)
    wanted = int(tier.drops_whole_parts)
    if (int(setting[1]) if setting else 0) != wanted:
        found.append(f"ALTER TABLE {tier.table} MODIFY SETTING ttl_only_drop_parts = {wanted}")
    if tier.days == FOR_EVER:
        if has_ttl:
            found.append(f"ALTER TABLE {tier.table} REMOVE TTL")
    elif ttl_days(table_definition) != tier.days:
        found.append(f"ALTER TABLE {tier.table} MODIFY TTL {tier.ttl}")
    return found


@dataclass(frozen=True, slots=True)
class Usage:
    """What a table holds now. Times are milliseconds since 1970 UTC, None for an empty table.

    recent_rows: rows of the newest `recent_ms` milliseconds before `newest_ms`.
    """

    rows: int
    bytes_on_disk: int
    oldest_ms: int | None
    newest_ms: int | None
    recent_rows: int
    recent_ms: int

    @property
    def bytes_per_day(self) -> float | None:
        """Growth at the present rate; None where less than a minute of traffic gives no rate."""
        if not self.rows or self.recent_ms < 60_000:
            return None
        return self.bytes_on_disk / self.rows * self.recent_rows * DAY_MS / self.recent_ms

    def steady_bytes(self, tier: Tier) -> float | None:
        """Size once as much expires as comes in; None when nothing expires or there is no rate."""
        rate = self.bytes_per_day
        return None if rate is None or tier.days == FOR_EVER else rate * tier.kept_days


def horizon_ms(days: int, now_ms: int) -> int | None:
    """Rows from this instant on are surely still there; None when nothing expires. An hour's margin for the clock."""
    return None if days == FOR_EVER else now_ms - days * DAY_MS + 3_600_000


OTHER_TTL_TABLES: Final = ("shares_live", SHARES_FINAL_TABLE)
"""Tables whose TTL is part of their definition."""
