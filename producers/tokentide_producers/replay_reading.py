"""Trace files in blocks of text columns: CSV and JSON lines, plain or gzip, in constant memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from tokentide_producers.replay_mapping import BadLine, RawRows

BLOCK_BYTES: Final = 4 * 1024 * 1024
BLOCK_LINES: Final = 20_000


class TraceFormat(StrEnum):
    """How the file is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


class TraceFileError(Exception):
    """The file as a whole cannot be read; the message says what and what to do."""


def format_of(path: Path) -> TraceFormat:
    """By the file's name, `.gz` set aside. Raises TraceFileError for another ending."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    match suffix.lower():
        case ".csv":
            return TraceFormat.CSV
        case ".jsonl" | ".ndjson" | ".json":
            return TraceFormat.JSON_LINES
    raise TraceFileError(
        f"{path}: cannot tell the format from the ending {suffix!r}; give --format csv or --format jsonl"
    )


def read_blocks(
    path: Path, trace_format: TraceFormat, names: tuple[str, ...]
) -> Iterator[tuple[RawRows, list[BadLine]]]:
    """The named columns as text, block by block, with the rows that are not rows at all. Raises TraceFileError."""
    try:
        if trace_format is TraceFormat.CSV:
            yield from _read_csv(path, names)
        else:
            yield from _read_json_lines(path, names)
    except (OSError, EOFError) as error:
        raise TraceFileError(f"{path}: cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise TraceFileError(f"{path}: is not UTF-8 text ({error.reason}); convert it first") from error


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _read_csv(path: Path, names: tuple[str, ...]) -> Iterator[tuple[RawRows, list[BadLine]]]:
    skipped: list[int] = []
    fresh: list[BadLine] = []

    def on_invalid(row: Any) -> str:
        # The number counts from 1 with the header.
        skipped.append(row.number)
        if row.text.strip():
            problem = f"has {row.actual_columns} columns, the header {row.expected_columns}; correct the row"
            fresh.append(BadLine(row.number, "(all)", problem))
        return "skip"

    with _open(path) as file:
        try:
            reader = pacsv.open_csv(
                file,
                # With threads the reader does not know its line numbers.
                read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
                parse_options=pacsv.ParseOptions(invalid_row_handler=on_invalid, ignore_empty_lines=False),
                convert_options=pacsv.ConvertOptions(
                    include_columns=list(names),
                    column_types=dict.fromkeys(names, pa.utf8()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        except (pa.ArrowInvalid, KeyError) as error:
            raise TraceFileError(_csv_problem(path, names, error)) from error
        kept = 0
        while True:
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                break
            except pa.ArrowInvalid as error:
                raise TraceFileError(f"{path}: is not readable as CSV after row {kept}: {error}") from error
            lines = _line_numbers(kept, batch.num_rows, skipped)
            kept += batch.num_rows
            columns = {name: batch.column(place) for place, name in enumerate(batch.schema.names)}
            problems, fresh[:] = list(fresh), []
            yield _without_blank_lines(path, RawRows(lines, columns)), problems
        if fresh:
            yield RawRows(np.zeros(0, np.int64), {name: pa.array([], pa.utf8()) for name in names}), fresh


def _without_blank_lines(path: Path, rows: RawRows) -> RawRows:
    """Arrow gives a blank line as a row of nulls, as it does a row of empty values; only the former is no row."""
    is_empty = np.ones(len(rows.lines), np.bool_)
    for column in rows.columns.values():
        is_empty &= column.is_null().to_numpy(zero_copy_only=False)
    if not is_empty.any():
        return rows
    suspects = set(rows.lines[is_empty].tolist())
    with _open(path) as file:
        head = islice(enumerate(file, start=1), max(suspects))
        blank = [number for number, line in head if number in suspects and not line.strip()]
    keep = ~np.isin(rows.lines, blank)
    mask = pa.array(keep)
    return RawRows(rows.lines[keep], {name: column.filter(mask) for name, column in rows.columns.items()})


def _csv_problem(path: Path, names: tuple[str, ...], error: Exception) -> str:
    with _open(path) as file:
        header = file.readline(1 << 16).decode("utf-8", "replace").strip()
    if not header:
        return f"{path}: is empty; give a CSV file with a header line"
    present = [name.strip().strip('"') for name in header.split(",")]
    missing = [name for name in names if name not in present]
    if missing:
        return f"{path}: has no column {', '.join(missing)}; its columns are {', '.join(present)}"
    return f"{path}: is not readable as CSV: {error}"


def _line_numbers(kept_before: int, rows: int, skipped: list[int]) -> Any:
    """Line numbers of kept rows, which begin on line 2, given the sorted numbers of the lines that were not kept."""
    lines = np.arange(kept_before + 2, kept_before + 2 + rows, dtype=np.int64)
    for number in skipped:
        lines[lines >= number] += 1
    return lines


def _read_json_lines(path: Path, names: tuple[str, ...]) -> Iterator[tuple[RawRows, list[BadLine]]]:
    with _open(path) as file:
        numbered = enumerate(file, start=1)
        while block := list(islice(numbered, BLOCK_LINES)):
            lines: list[int] = []
            cells: dict[str, list[str | None]] = {name: [] for name in names}
            problems = []
            for number, line in block:
                if not line.strip():
                    continue
                row, problem = _object(line)
                if row is None:
                    problems.append(BadLine(number, "(all)", problem))
                    continue
                lines.append(number)
                for name in names:
                    cells[name].append(_text(row.get(name)))
            columns = {name: pa.array(values, pa.utf8()) for name, values in cells.items()}
            yield RawRows(np.array(lines, np.int64), columns), problems


def _object(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return None, f"is not JSON{where}; each line must be one object"
    if not isinstance(row, dict):
        return None, "is not a JSON object; each line must be one object"
    return row, ""


def _text(value: Any) -> str | None:
    """A JSON value as the text that a CSV file would have."""
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value)
