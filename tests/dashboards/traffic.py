"""Ten weeks of invented traffic, put into the store as events and rolled up there, and the same as plain dictionaries.

Tests calculate what a panel must show from the dictionaries, without SQL.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from tokentide_schemas.catalogue import Catalogue, load_catalogue
from tokentide_schemas.catalogue_tables import stored_in
from tokentide_schemas.countries import load_continents
from tokentide_schemas.cubes import CUBES, MEASURES_BY_NAME, stored_cubes
from tokentide_schemas.dimensions import dimension_sql
from tokentide_schemas.event import TOKEN_BUCKETS

FIRST_DAY: Final = dt.datetime(2025, 7, 28, tzinfo=dt.UTC)
"""A Monday."""
WEEKS: Final = 10
DAY: Final = dt.timedelta(days=1)
WEEK: Final = dt.timedelta(weeks=1)
MILLISECOND: Final = dt.timedelta(milliseconds=1)
END: Final = FIRST_DAY + dt.timedelta(weeks=WEEKS)
EVENTS: Final = 3000
LAST_HOUR_EVENTS: Final = 60
"""In the last hour, of an app that was not there before: for what looks at the newest events only, and at growth."""
Execute = Callable[[str], None]
Event = dict[str, Any]
Measure = Callable[[Event], float]

KNOWN_MODELS: Final = {
    "anthropic/claude-sonnet-4.5": ("anthropic", "amazon-bedrock"),
    "openai/gpt-5": ("openai", "azure"),
    "openai/gpt-oss-20b": ("groq",),
    "deepseek/deepseek-r1": ("deepseek", "novita"),
    "deepseek/deepseek-chat-v3.1": ("deepseek",),
    "qwen/qwen3-coder": ("alibaba", "novita"),
    "qwen/qwen3-8b": ("novita",),
    "meta-llama/llama-3.3-70b-instruct": ("groq",),
    "google/gemini-2.5-flash": ("google-vertex",),
    "google/gemma-3-27b-it": ("deepinfra",),
    "x-ai/grok-code-fast-1": ("xai",),
    "mistralai/mistral-nemo": ("mistral",),
}
STRANGE_MODELS: Final = {f"house/model-{number:02}": ("house",) for number in range(8)}
MODELS: Final = {**KNOWN_MODELS, **STRANGE_MODELS}
CATEGORIES: Final = ("programming", "roleplay", "science", "translation", "legal", "")
SUBCATEGORIES: Final = {"programming": ("development tools", "other"), "roleplay": ("rpg", "adult", "")}
COUNTRIES: Final = ("US", "DE", "SG", "BR", "")
LANGUAGES: Final = ("en", "zh", "")


def events() -> list[Event]:
    """The traffic, in order of time. The same in every run."""
    dice = random.Random(7)
    names = list(MODELS)
    weights = [1 / (place + 1) for place in range(len(names))]
    made = [_event(dice, number, dice.choices(names, weights)[0]) for number in range(EVENTS + LAST_HOUR_EVENTS)]
    for event in made[EVENTS:]:
        event |= {"occurred_at": END - dt.timedelta(milliseconds=dice.randrange(1, 3_600_000)), "app": "agent"}
    return sorted(made, key=lambda event: (event["occurred_at"], event["event_id"]))


def _event(dice: random.Random, number: int, model: str) -> Event:
    occurred = FIRST_DAY + dt.timedelta(milliseconds=dice.randrange(WEEKS * 7 * 86_400_000))
    outcome = dice.choices(("ok", "error", "cancelled"), (90, 7, 3))[0]
    reported = outcome != "error" and dice.random() > 0.05
    byok = dice.random() < 0.1
    category = dice.choices(CATEGORIES, (8, 5, 3, 2, 1, 4))[0]
    called = dice.random() < 0.3
    prompt = dice.randrange(100, 20_000) if reported else 0
    return {
        "event_id": f"01900000-0000-7000-8000-{number + 1:012x}",
        "request_id": f"req-{number}",
        "occurred_at": occurred,
        "model": model,
        "provider": dice.choice(MODELS[model]),
        "category": category,
        "subcategory": dice.choice(SUBCATEGORIES.get(category, ("",))) if category else "",
        "category_weight": 4.0 if category == "science" else 1.0,
        "app": dice.choice(("editor", "chat", "")),
        "tenant": dice.choice(("acme", "globex", "initech", "")),
        "user": dice.randrange(40) if dice.random() > 0.2 else None,
        "country": dice.choices(COUNTRIES, (6, 3, 2, 1, 1))[0],
        "language": dice.choices(LANGUAGES, (8, 2, 1))[0],
        "input_uncached_tokens": prompt,
        "input_cache_read_tokens": dice.randrange(5_000) if reported else 0,
        "input_cache_write_tokens": 0,
        "output_tokens": dice.randrange(1, 900) if reported else 0,
        "output_reasoning_tokens": dice.randrange(500) if reported else 0,
        "audio_tokens": 0,
        "image_tokens": dice.randrange(300) if reported and number % 9 == 0 else 0,
        "usage_reported": reported,
        "cost_nanousd": dice.randrange(1, 90_000_000) if reported and dice.random() > 0.1 else None,
        "is_byok": byok,
        "outcome": outcome,
        "finish_reason": "tool_calls" if called and reported else ("stop" if outcome == "ok" else ""),
        "error_type": "timeout" if outcome == "error" else "",
        "http_status": 504 if outcome == "error" else 200,
        "tools_offered": 3 if called else 0,
        "time_to_first_token_ms": dice.randrange(50, 3000) if outcome == "ok" else None,
        "latency_ms": dice.randrange(3000, 30_000),
    }


def total_tokens(event: Event) -> int:
    """All buckets together."""
    return sum(int(event[bucket]) for bucket in TOKEN_BUCKETS)


def prompt_tokens(event: Event) -> int:
    """All input."""
    return sum(int(event[f"input_{kind}_tokens"]) for kind in ("uncached", "cache_read", "cache_write"))


def own_cost_nanousd(event: Event) -> int:
    """Known cost without own-key traffic."""
    return 0 if event["is_byok"] else int(event["cost_nanousd"] or 0)


def monday(event: Event) -> str:
    """The week of an event, as the store writes a time."""
    day = event["occurred_at"].date()
    return f"{day - dt.timedelta(days=day.weekday())} 00:00:00"


class Attributes:
    """What the catalogue says of a model."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._rows = {row["id"]: row for row in catalogue.model_rows()}

    def of(self, event: Event, name: str) -> Any:
        """None for a model that is not in the catalogue."""
        row = self._rows.get(event["model"])
        return None if row is None else row[name]


def fill(execute: Execute, rows: Iterable[Event]) -> None:
    """Store the events and everything that follows from them."""
    load(execute)
    _insert(execute, "events", (_raw(event, offset) for offset, event in enumerate(rows)))
    for cube in stored_cubes(CUBES):
        keys = {"window_start": f"toDateTime(intDiv(toUnixTimestamp(occurred_at), {cube.window_s}) * {cube.window_s})"}
        keys |= {name: dimension_sql(name, "e") for name in cube.dimensions}
        sums = {name: MEASURES_BY_NAME[name].sql for name in cube.measures}
        selected = ", ".join(f"{sql} AS {name}" for name, sql in {**keys, **sums}.items())
        # A sum has the name of the column that it sums: inside, the column is meant.
        execute(
            f"INSERT INTO {cube.partials_table} ({', '.join([*keys, *sums])}, source_epoch, version, emitted_at) "
            f"SELECT {selected}, 'e', 1, now64(3) - 3600 FROM events AS e GROUP BY {', '.join(keys.values())} "
            "SETTINGS prefer_column_name_to_alias = 1"
        )
    known = "FROM events WHERE user_hash != toFixedString('', 16)"
    execute(f"INSERT INTO user_months SELECT DISTINCT toStartOfMonth(occurred_at), model, user_hash {known}")
    execute(
        "INSERT INTO users_1d SELECT toDate(occurred_at) AS day, model, uniqCombined64State(17)(user_hash) "
        f"{known} GROUP BY day, model"
    )


def load(execute: Execute) -> None:
    """The shipped catalogue."""
    catalogue = load_catalogue()
    version = catalogue.version
    countries = [
        {"country": country, "continent": continent, "catalogue_version": version}
        for country, continent in sorted(load_continents().items())
    ]
    views = {
        "catalogue_models": catalogue.model_rows(),
        "catalogue_aliases": catalogue.alias_rows(),
        "catalogue_countries": countries,
    }
    for view, found in views.items():
        _insert(execute, stored_in(view), ({"load": 1, **row} for row in found))
    _insert(execute, "catalogue_loads", [{"load": 1, "catalogue_version": version}])
    for name in ("models", "countries"):
        execute(f"SYSTEM RELOAD DICTIONARY {name}")


def _raw(event: Event, offset: int) -> Event:
    row = {name: value for name, value in event.items() if name != "user"}
    if event["user"] is not None:
        row["user_hash"] = f"user{event['user']:012}"
    return {
        **row,
        "request_model": event["model"],
        "operation": "chat",
        "is_final_attempt": True,
        "kafka_topic": "usage",
        "kafka_offset": offset,
        "cost_source": "unknown" if event["cost_nanousd"] is None else "reported",
    }


def _insert(execute: Execute, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = "\n".join(json.dumps(_plain(row)) for row in rows)
    execute(f"INSERT INTO {table} FORMAT JSONEachRow {lines}")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_plain_items(row))


def _plain_items(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dt.datetime):
            yield name, value.strftime("%Y-%m-%d %H:%M:%S.") + f"{value.microsecond // 1000:03}"
        elif isinstance(value, dt.date):
            yield name, value.isoformat()
        else:
            yield name, value
