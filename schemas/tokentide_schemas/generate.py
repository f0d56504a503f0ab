"""Files that are derived from the usage event: its JSON Schema and its page in the documentation.

python -m tokentide_schemas.generate           writes them
python -m tokentide_schemas.generate --check   status 1 and a diff when the committed files are stale
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tokentide_schemas import topics
from tokentide_schemas.envelope import (
    CONTENT_TYPE_ARROW,
    CONTENT_TYPE_JSON,
    CONTENT_TYPE_NDJSON,
    MAX_EVENT_JSON_BYTES,
    MAX_EVENTS,
    MAX_PRODUCER_CHARS,
)
from tokentide_schemas.event import COLUMNS, CONTENT_FIELDS, REQUIRED, SCHEMA_VERSION, UsageEvent, default_of
from tokentide_schemas.rejections import REASON_MEANINGS

JSON_SCHEMA_FILE: Final = "schemas/tokentide_schemas/generated/usage_event.schema.json"
DOCS_FILE: Final = "docs/events.md"

EXAMPLE: Final[dict[str, Any]] = {
    "occurred_at": "2026-01-31T12:00:00.123Z",
    "request_model": "openai/gpt-5",
    "provider": "openai",
    "input_uncached_tokens": 1200,
    "output_tokens": 340,
    "usage_reported": True,
    "outcome": "ok",
}
"""The smallest event: the required fields and nothing else."""

_UNITS: Final = {"_tokens": "tokens", "_ms": "milliseconds", "_nanousd": "nano-USD (1e-9 USD)", "_at": "UTC"}
_HEADERS: Final = (
    (
        topics.HEADER_CONTENT_TYPE,
        "one of the content types below; without it the value's beginning decides",
        "recommended",
    ),
    (topics.HEADER_SCHEMA, f"schema version `major.minor` of the sender, now `{SCHEMA_VERSION}`", "recommended"),
    (topics.HEADER_COUNT, "number of events in the record; a record with another number is refused", "optional"),
    (
        topics.HEADER_PRODUCER,
        f"id of one run of a producer, never used again: at most {MAX_PRODUCER_CHARS} letters, digits and `_.:-`",
        "with the sequence",
    ),
    (
        topics.HEADER_SEQUENCE,
        "number of the envelope in that producer's stream to this partition; a repeat of (producer, sequence) in a "
        "partition is recognised and not counted again",
        "with the producer",
    ),
)
_CONTENT_TYPES: Final = (
    (
        CONTENT_TYPE_ARROW,
        "one Arrow IPC stream, not compressed (Kafka compresses the record), without delta dictionaries or extension "
        "types. With the columns of `EVENT_SCHEMA` it is the fast path; other flat types, orders and subsets of the "
        "columns are read row by row, and a null means the field's default",
    ),
    (CONTENT_TYPE_NDJSON, "one JSON object on each line; a bad line does not stop the good ones"),
    (CONTENT_TYPE_JSON, "one JSON object"),
)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one event as JSON."""
    schema = UsageEvent.model_json_schema()
    for name, described in schema["properties"].items():
        if isinstance(UsageEvent.model_fields[name].default, bytes):
            # Sixteen zero bytes in columns; in JSON an unknown hash is the empty text.
            described["default"] = ""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "UsageEvent", **schema}


def unit_of(name: str) -> str:
    """Unit of a field by its name's suffix, '' for none."""
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")


def json_type(name: str, schema: dict[str, Any]) -> str:
    """A field's type in JSON, in words."""
    described = schema["properties"][name]
    options = described.get("anyOf") or [described]
    words = []
    for given in options:
        option = schema["$defs"][given["$ref"].rsplit("/", 1)[-1]] if "$ref" in given else given
        if "enum" in option:
            words.append(" \\| ".join(f"`{value}`" for value in option["enum"]))
        elif option["type"] == "string":
            form = {"date-time": "time (RFC 3339, with zone)", "uuid": "UUID"}.get(option.get("format", ""), "text")
            words.append("32 hexadecimal digits" if "{32}" in option.get("pattern", "") else form)
        else:
            words.append({"boolean": "true \\| false"}.get(option["type"], option["type"]))
    return " or ".join(words)


def _default_in_words(name: str) -> str:
    if name in REQUIRED:
        return "**required**"
    default = default_of(name)
    if isinstance(default, bytes):
        return 'unknown (`""`)'
    return f"`{json.dumps(default)}`"


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(titles)} |", f"|{'|'.join('---' for _ in titles)}|"]
    return [*lines, *(f"| {' | '.join(cells)} |" for cells in rows)]


def docs_page() -> str:
    """Text of docs/events.md."""
    schema = json_schema()
    fields = [
        (
            f"`{name}`",
            json_type(name, schema),
            f"`{column.clickhouse}`",
            _default_in_words(name),
            unit_of(name),
            str(UsageEvent.model_fields[name].description),
        )
        for name, column in COLUMNS.items()
    ]
    content = ", ".join(f"`{name}`" for name in sorted(CONTENT_FIELDS))
    example = json.dumps({**EXAMPLE, "occurred_at": "%s"})
    lines = [
        "# The usage event and its envelope",
        "",
        "<!-- Generated by `python -m tokentide_schemas.generate` from the schema; edit that, not this file. -->",
        "",
        "Every attempt of an LLM request is one usage event: metadata only. Prompt and completion text, and plain user",
        "identifiers, are never accepted: an event that has a field with such a name is refused.",
        f"Schema version {SCHEMA_VERSION}; as JSON Schema: `{JSON_SCHEMA_FILE}`.",
        "",
        "## Send one",
        "The smallest event is a JSON object with the required fields, in a record of the topic",
        f"`{topics.USAGE}` (`tokentide up --headless` prints the addresses of broker and store):",
        "```sh",
        f"printf '{example}' \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\" \\",
        f"  | kcat -P -b BROKER -t {topics.USAGE} -H {topics.HEADER_CONTENT_TYPE}={CONTENT_TYPE_JSON}",
        "```",
        "Seconds later the event is in the store, which `curl` can ask:",
        "```sh",
        "curl STORE_URL --data-binary 'SELECT * FROM usage ORDER BY ingested_at DESC LIMIT 1 FORMAT Vertical'",
        "```",
        "",
        "## Fields",
        *_table(("field", "JSON", "ClickHouse", "default", "unit", "meaning"), fields),
        "",
        "The token fields are disjoint and sum to the request's total. Text holds at most 256 characters and no",
        "control characters. Times are rounded down to milliseconds.",
        "",
        "## Envelope",
        f"One Kafka record carries 1 to {MAX_EVENTS:,} events in at most {topics.MAX_RECORD_BYTES // 1024**2} MiB.",
        "Its headers:",
        "",
        *_table(("header", "meaning", "when"), [(f"`{name}`", text, when) for name, text, when in _HEADERS]),
        "",
        *_table(("content type", "value"), [(f"`{name}`", text) for name, text in _CONTENT_TYPES]),
        "",
        f"One JSON event takes at most {MAX_EVENT_JSON_BYTES // 1024} KiB. An event without `event_id` gets one that",
        "is derived from its place in the log, the same at every replay. A sender of a newer minor version may have",
        "further fields, which are ignored; another major version is refused.",
        "",
        "## Why an event is refused",
        "Refused events are in the table `dead_letters` with one of these reasons, a detail and their place in the",
        "log, never with their values:",
        "",
        *_table(("reason", "meaning"), [(f"`{reason}`", text) for reason, text in REASON_MEANINGS.items()]),
        "",
        f"Refused by name as content (in any letter case): {content}.",
        "",
    ]
    return "\n".join(lines)


def generated() -> dict[str, str]:
    """Every generated file: path in the repository -> text."""
    return {JSON_SCHEMA_FILE: json.dumps(json_schema(), indent=1) + "\n", DOCS_FILE: docs_page()}


def main(arguments: list[str], root: Path = Path(__file__).parents[2]) -> int:
    """Write the files below `root`, a checkout, or compare them."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when a file is stale")
    check = parser.parse_args(arguments).check
    if not (root / "pyproject.toml").is_file():
        sys.stderr.write(f"{root} is not a checkout of tokentide: run this from one, where the files are committed\n")
        return 2
    stale = False
    for name, text in generated().items():
        path = root / name
        present = path.read_text() if path.is_file() else ""
        if present == text:
            continue
        stale = True
        if check:
            lines = (present.splitlines(), text.splitlines())
            sys.stdout.write("\n".join(difflib.unified_diff(*lines, f"{name} (committed)", name, lineterm="")) + "\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if check and stale:
        sys.stderr.write("generated files are stale: run python -m tokentide_schemas.generate and commit them\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
