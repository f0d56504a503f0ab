"""The golden exports, moved to yesterday: raw events are kept for days, so theirs have to have happened lately."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.event import COLUMNS, default_of

GOLDEN = Path(__file__).parent / "golden"
HASH_KEY = "the key of the import tests"
DAY = dt.datetime(2025, 1, 31, tzinfo=dt.UTC)
YESTERDAY = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=1)
HASHED = ("session_hash", "user_hash", "api_key_hash")
PRICED = ("cost_nanousd", "cost_source", "price_version")
NAMES = {
    "openrouter-activity.csv": ("openrouter",),
    "openrouter-generation.json": ("openrouter",),
    "litellm-spend-logs.json": ("litellm",),
    "mapped.csv": ("mapped", "--mapping", str(GOLDEN / "mapped.toml")),
}
"""Golden file -> the command that imports it."""


def moved(text: str) -> str:
    """A golden text whose times are of yesterday."""
    text = text.replace("2025-01-31 13:02", "2025-01-31 " + _in_berlin("12:02"))
    text = text.replace("2025-01-31", YESTERDAY.strftime("%Y-%m-%d"))
    return text.replace("1738324918000", str(1738324918000 + int((YESTERDAY - DAY).total_seconds()) * 1000))


def _in_berlin(utc: str) -> str:
    from zoneinfo import ZoneInfo

    moment = YESTERDAY.replace(hour=int(utc[:2]), minute=int(utc[3:]))
    return moment.astimezone(ZoneInfo("Europe/Berlin")).strftime("%H:%M")


def copy_to(directory: Path, name: str) -> Path:
    """The moved golden file in a folder of its own."""
    path = directory / name
    path.write_text(moved((GOLDEN / name).read_text()))
    return path


def expected(name: str) -> list[dict[str, Any]]:
    """All fields of the golden events, hashes included, in order of time."""
    defaults = {name: default_of(name) for name in COLUMNS if name not in ("occurred_at", "event_id")}
    rows = []
    stem = name.partition(".")[0]
    for given in json.loads(moved((GOLDEN / f"{stem}.expected.json").read_text())):
        row = {**defaults, "source": "import", **given}
        row["occurred_at"] = dt.datetime.fromisoformat(given["occurred_at"])
        for column in HASHED:
            identifier = given.get(column, "").removeprefix("hmac:")
            row[column] = IdentifierHasher(HASH_KEY)(identifier) if identifier else NO_HASH
        rows.append(row)
    return sorted(rows, key=lambda one: one["occurred_at"])


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields that are not as wanted. A cost that the source did not give may have been computed."""
    out = {}
    for name, value in wanted.items():
        if name in PRICED and wanted["cost_nanousd"] is None:
            continue
        got = found[name]
        if name == "occurred_at":
            got = got if got.tzinfo else got.replace(tzinfo=dt.UTC)
        elif name in HASHED:
            got = bytes(got)
        if got != value:
            out[name] = (got, value)
    return out
