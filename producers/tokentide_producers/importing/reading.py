"""Files as rows: CSV, JSON, NDJSON and Parquet, plain or gzip, in constant memory; only the wanted columns are kept."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from tokentide_producers.importing.cells import Row
from tokentide_producers.importing.copy_dump import read_copy
from tokentide_producers.importing.json_values import JsonError, values_in
from tokentide_producers.importing.problems import BadRow, ImportSourceError, Place

PARQUET_ROWS: Final = 10_000
MAX_CELL_CHARS: Final = 256 * 1024 * 1024
"""Content columns that are not read may be large; the parser has to get past them."""

_ROWS_A_STEP: Final = 256

Wanted = Callable[[frozenset[str]], tuple[str, ...]]
"""From the columns that a file has to those to keep. Raises ImportSourceError when it is another kind of file."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row and where it stands."""

    place: Place
    row: Row


def read_rows(
    path: Path, wanted: Wanted, on_bytes: Callable[[int], None] = lambda _bytes: None
) -> Iterator[SourceRow | BadRow]:
    """The file's rows in order. on_bytes: called with how many bytes of the file have been read so far.

    Raises ImportSourceError for a file that cannot be read to its end.
    """
    try:
        with path.open("rb") as raw:
            for number, item in enumerate(_read(path, raw, wanted)):
                if number % _ROWS_A_STEP == 0 and not raw.closed:
                    on_bytes(raw.tell())
                yield item
            if not raw.closed:
                on_bytes(raw.tell())
    except (OSError, EOFError) as error:
        raise ImportSourceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except UnicodeDecodeError as error:
        raise ImportSourceError(f"{path}: is not UTF-8 text ({error.reason}); convert it first") from error


def _read(path: Path, raw: IO[bytes], wanted: Wanted) -> Iterator[SourceRow | BadRow]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        raw = cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        suffixes.pop()
    match suffixes[-1] if suffixes else "":
        case ".csv":
            return _csv(path, raw, wanted)
        case ".json" | ".jsonl" | ".ndjson":
            return _json(path, raw, wanted)
        case ".parquet":
            return _parquet(path, raw, wanted)
        case ".sql" | ".dump":
            return _dump(path, raw, wanted)
    raise ImportSourceError(
        f"{path}: cannot tell the format from the name; name it .csv, .json, .jsonl, .parquet or .sql, with .gz "
        "after it if it is packed"
    )


def _csv(path: Path, raw: IO[bytes], wanted: Wanted) -> Iterator[SourceRow | BadRow]:
    csv.field_size_limit(MAX_CELL_CHARS)
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    header: list[str] | None = None
    kept: list[tuple[int, str]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise ImportSourceError(f"{path}, line {line}: is not readable as CSV: {error}") from None
        if header is None:
            header = [name.strip() for name in cells]
            if not any(header):
                raise ImportSourceError(f"{path}: begins with an empty line; give a CSV file with a header line")
            keep = set(wanted(frozenset(header)))
            kept = [(place, name) for place, name in enumerate(header) if name in keep]
            continue
        if not cells:
            continue
        place = Place(str(path), "line", line)
        if len(cells) != len(header):
            yield BadRow(place, "", f"has {len(cells)} columns, the header {len(header)}; correct the row")
            continue
        yield SourceRow(place, {name: cells[number] for number, name in kept})
    if header is None:
        raise ImportSourceError(f"{path}: is empty; give a CSV file with a header line")


def _dump(path: Path, raw: IO[bytes], wanted: Wanted) -> Iterator[SourceRow | BadRow]:
    text = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
    for number, row, problem in read_copy(path, text, wanted):
        place = Place(str(path), "line", number)
        yield BadRow(place, "", problem) if row is None else SourceRow(place, row)


def _parquet(path: Path, raw: IO[bytes], wanted: Wanted) -> Iterator[SourceRow | BadRow]:
    try:
        file = pq.ParquetFile(raw)
        keep = wanted(frozenset(file.schema_arrow.names))
        number = 0
        # A column that is not wanted is not read from the disk.
        for batch in file.iter_batches(
            batch_size=PARQUET_ROWS, columns=[n for n in file.schema_arrow.names if n in keep]
        ):
            for row in _in_microseconds(batch).to_pylist():
                number += 1
                yield SourceRow(Place(str(path), "row", number), row)
    except pa.ArrowInvalid as error:
        raise ImportSourceError(f"{path}: is not readable as Parquet: {error}") from None


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Python's times have no nanoseconds."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            column = batch.column(place).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(place, field.name, column)
    return batch


def _json(path: Path, raw: IO[bytes], wanted: Wanted) -> Iterator[SourceRow | BadRow]:
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n")
    first = ""
    skipped = 0
    for first in text:
        if first.strip():
            break
        skipped += 1
    if not first.strip():
        raise ImportSourceError(f"{path}: is empty; give JSON rows, an array of them, or an API's answer")
    keep: set[str] | None = None
    units = _lines(first, text, skipped) if _is_object(first) else _documents(path, first, text)
    for unit, number, value, problem in units:
        place = Place(str(path), unit, number)
        if problem:
            yield BadRow(place, "", problem)
            continue
        for inner in _rows_in(value):
            if isinstance(inner, dict):
                keep = set(wanted(frozenset(inner))) if keep is None else keep
                yield SourceRow(place, {name: inner[name] for name in keep & inner.keys()})
            else:
                yield BadRow(place, "", "is not a JSON object; each row must be one")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lines(first: str, text: IO[str], skipped: int) -> Iterator[tuple[str, int, Any, str]]:
    for number, line in enumerate(chain([first], text), start=skipped + 1):
        if not line.strip():
            continue
        try:
            yield "line", number, json.loads(line), ""
        except ValueError as error:
            where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
            yield "line", number, None, f"is not JSON{where}; each line must be one object"


def _documents(path: Path, first: str, text: IO[str]) -> Iterator[tuple[str, int, Any, str]]:
    number = 0
    try:
        for value in values_in(first, text):
            number += 1
            yield "element", number, value, ""
    except JsonError as error:
        raise ImportSourceError(
            f"{path}: is not JSON after {number} rows, at character {error.position + 1}: {error}; what is before it "
            "has been taken in, correct the file and import it again"
        ) from None


def _rows_in(value: Any) -> Iterator[Any]:
    """The rows of an API's answer: `{"data": ...}`, or the row itself."""
    data = value.get("data") if isinstance(value, dict) else None
    if isinstance(data, list):
        yield from data
    elif isinstance(data, dict):
        yield data
    else:
        yield value
