"""Fuzzing of the envelope decoder: mutated records must be refused or accepted, never crash, hang or lose an event.

    python tests/schemas/fuzz_envelope.py --cases 1000000 --seed 1 --processes 2

Each process works through its own seeds and writes the case that it is about to run into a file, so that a crash of
the interpreter itself leaves its input behind. A case is repeated with `--seed S --first N --cases 1 --processes 1`.
Prints one JSON object with what was done; the exit status is 1 when anything was found.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa

from tokentide_schemas import topics
from tokentide_schemas.arrow import EVENT_SCHEMA, table_from_events
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import (
    CONTENT_TYPE_ARROW,
    CONTENT_TYPE_JSON,
    CONTENT_TYPE_NDJSON,
    Envelope,
    Record,
    decode,
    encode_arrow,
    headers_for,
)
from tokentide_schemas.event import UsageEvent

APPENDED_AT_MS = 1_790_000_000_000
HANG_S = 10
MEMORY_BYTES = 8 * 1024**3
"""Address space of a child: a decoder that would allocate what the input claims fails here."""

Headers = dict[str, bytes]
Seed = tuple[bytes, Headers]
BASE: dict[str, Any] = {
    "occurred_at": "2026-09-21T12:00:00.123Z",
    "request_model": "gpt-5",
    "provider": "openai",
    "input_uncached_tokens": 10,
    "output_tokens": 20,
    "usage_reported": True,
    "outcome": "ok",
}
KEYWORDS = (
    b"ARROW:extension:name",
    b"\xff\xff\xff\xff\x00\x00\x00\x00",
    b"\xff\xff\xff\x7f",
    b'"prompt":"x",',
    b"}\n{",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"null",
    b"[" * 300,
)


def _events(count: int) -> list[UsageEvent]:
    chooser = random.Random(count)
    rows = []
    for number in range(count):
        extra = {
            "event_id": f"01990000-0000-7000-8000-{number + 1:012x}",
            "request_id": f"request-{number}",
            "app": chooser.choice(["", "chat", "agent"]),
            "country": chooser.choice(["", "DE", "US"]),
            "latency_ms": chooser.choice([None, 120]),
            "cost_nanousd": chooser.choice([None, 5_000]),
            "user_hash": chooser.choice([None, "0f" * 16]),
        }
        rows.append(UsageEvent.model_validate({**BASE, **extra}))
    return rows


def _stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    batch_rows = options.pop("batch_rows", None)
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, batch_rows)
    return bytes(sink.getvalue())


def seeds() -> list[Seed]:
    """Valid and nearly valid records of every kind."""
    table = table_from_events(_events(5))
    arrow = headers_for(CONTENT_TYPE_ARROW, 5, "emitter-1", 7)
    bare = table.drop_columns(["event_id", "cost_nanousd", "latency_ms"])
    plain = pa.table(
        {
            name: bare.column(name).cast(pa.utf8()) if pa.types.is_dictionary(bare.schema.field(name).type) else column
            for name, column in zip(bare.column_names, bare.columns, strict=True)
        }
    )
    nested = pa.table({"model": pa.array([[["x"]]] * 3), "occurred_at": pa.array([{"a": 1}] * 3)})
    lines = "\n".join(json.dumps({**BASE, "output_tokens": n}) for n in range(3)).encode()
    values: list[tuple[bytes, list[tuple[str, bytes]]]] = [
        (encode_arrow(table), arrow),
        (encode_arrow(table), []),
        (_stream(table, batch_rows=2), headers_for(CONTENT_TYPE_ARROW)),
        (_stream(plain), headers_for(CONTENT_TYPE_ARROW)),
        (_stream(table.append_column("later_field", pa.array([1] * 5))), [(topics.HEADER_SCHEMA, b"1.9")]),
        (_stream(table, compression="zstd"), arrow),
        (_stream(pa.concat_tables([table, table]), batch_rows=5, emit_dictionary_deltas=True), []),
        (_stream(pa.table({"later_field": [1, 2]})), [(topics.HEADER_SCHEMA, b"1.9")]),
        (_stream(nested), headers_for(CONTENT_TYPE_ARROW)),
        (lines, headers_for(CONTENT_TYPE_NDJSON, 3)),
        (lines, []),
        (json.dumps(BASE).encode(), headers_for(CONTENT_TYPE_JSON, 1)),
    ]
    return [(value, dict(headers)) for value, headers in values]


def _position(chooser: random.Random, value: bytearray) -> int:
    # The metadata of an Arrow stream is at its front: half of the mutations go there.
    return chooser.randrange(max(1, min(len(value), 6_000) if chooser.random() < 0.5 else len(value)))


def _flip(chooser: random.Random, value: bytearray, _all: list[Seed]) -> None:
    for _ in range(chooser.choice((1, 1, 2, 8))):
        if value:
            value[_position(chooser, value)] ^= 1 << chooser.randrange(8)


def _truncate(chooser: random.Random, value: bytearray, _all: list[Seed]) -> None:
    del value[_position(chooser, value) :]


def _insert(chooser: random.Random, value: bytearray, _all: list[Seed]) -> None:
    at = _position(chooser, value)
    value[at:at] = chooser.choice(KEYWORDS) if chooser.random() < 0.5 else chooser.randbytes(chooser.choice((1, 4, 8)))


def _delete(chooser: random.Random, value: bytearray, _all: list[Seed]) -> None:
    at = _position(chooser, value)
    del value[at : at + chooser.choice((1, 4, 8, 64))]


def _splice(chooser: random.Random, value: bytearray, every: list[Seed]) -> None:
    other = chooser.choice(every)[0]
    start = chooser.randrange(len(other))
    at = _position(chooser, value)
    length = chooser.choice((8, 64, 512, len(other)))
    value[at : at + (length if chooser.random() < 0.5 else 0)] = other[start : start + length]


def _number(chooser: random.Random, value: bytearray, _all: list[Seed]) -> None:
    """Overwrite an aligned little-endian number: lengths, counts, offsets of messages and flatbuffers."""
    form = chooser.choice(["<h", "<i", "<q"])
    size = struct.calcsize(form)
    at = _position(chooser, value) // size * size
    if at + size > len(value):
        return
    bits = size * 8 - 1
    old = struct.unpack_from(form, value, at)[0]
    new = chooser.choice(
        (0, 1, -1, 2**bits - 1, -(2**bits), old + 1, old - 1, old * 2, old + 8, chooser.getrandbits(8))
    )
    struct.pack_into(form, value, at, max(-(2**bits), min(2**bits - 1, new)))


MUTATIONS: tuple[Callable[[random.Random, bytearray, list[Seed]], None], ...] = (
    *(_flip, _flip, _number, _number, _number),
    *(_truncate, _insert, _delete, _splice),
)


def _mutated_headers(chooser: random.Random, headers: Headers) -> Headers:
    changed = dict(headers)
    name = chooser.choice((*topics_headers(), "other"))
    act = chooser.random()
    if act < 0.2:
        changed.pop(name, None)
    elif act < 0.4:
        changed[name] = chooser.randbytes(chooser.randrange(12))
    elif act < 0.7:
        options = (b"0", b"1", b"3", b"5", b"999999999", b"-1", b"", b"1.9", b"2.0", b"1.0", b"p", b"application/json")
        changed[name] = chooser.choice(options)
    elif changed.get(name):
        old = bytearray(changed[name])
        old[chooser.randrange(len(old))] ^= 1 << chooser.randrange(8)
        changed[name] = bytes(old)
    return changed


def topics_headers() -> tuple[str, ...]:
    """Names of the headers that an envelope has."""
    return (
        topics.HEADER_CONTENT_TYPE,
        topics.HEADER_SCHEMA,
        topics.HEADER_COUNT,
        topics.HEADER_PRODUCER,
        topics.HEADER_SEQUENCE,
    )


def case(seed: int, number: int, every: list[Seed]) -> Record:
    """The record of one case; the same for the same seed and number."""
    chooser = random.Random(seed * 1_000_003 + number)
    value, headers = chooser.choice(every)
    mutated = bytearray(value)
    for _ in range(chooser.choice((1, 1, 1, 2, 4))):
        chooser.choice(MUTATIONS)(chooser, mutated, every)
    if chooser.random() < 0.2:
        headers = _mutated_headers(chooser, headers)
    return Record(chooser.randrange(4), number, APPENDED_AT_MS, bytes(mutated), headers)


def check(record: Record, whole: Envelope) -> str:
    """Run one record through `decode` and `assemble`, alone and behind a good one. Returns what became of it.

    Raises AssertionError when an event is not accounted for.
    """
    envelope = decode(record)
    block = assemble([whole, envelope])
    assert whole.table is not None
    assert block.stored[0] == whole.table.num_rows, "a bad record changed its neighbour"
    assert not block.rejections[0], "a bad record's refusals went to its neighbour"
    stored, rejections = block.stored[1], block.rejections[1]
    assert block.table.num_rows == sum(block.stored) == len(block.envelope_index)
    assert envelope.events >= 1
    assert 0 <= stored <= envelope.events
    if envelope.table is None and any(r.row is None for r in rejections):
        assert len(rejections) == 1 and stored == 0, "a whole record is refused once"
    else:
        rows = [r.row for r in rejections]
        assert None not in rows and len(set(rows)) == len(rows), "a refused row has one reason"
        assert stored + len(rejections) == envelope.events, "an event is neither stored nor refused"
    _check_table(block.table)
    if not stored:
        return f"refused: {rejections[0].reason}"
    return "accepted" if stored == envelope.events else "partly accepted"


def _check_table(table: pa.Table) -> None:
    """What ClickHouse would refuse as a whole must not be in a block."""
    table.validate(full=True)
    assert table.column_names == EVENT_SCHEMA.names
    for field in EVENT_SCHEMA:
        column = table.column(field.name)
        assert field.nullable or not column.null_count, f"null in {field.name}"
        if pa.types.is_dictionary(field.type):
            values = column.chunk(0).dictionary.to_pylist()
            assert len(set(values)) == len(values) and None not in values, f"repeated or null value in {field.name}"


def _too_long(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"no answer within {HANG_S} s")


def run(seed: int, first: int, cases: int, every: int, journal: Path, results: Any, kill_at: int) -> None:
    """Work of one child: cases first, first + every, ... Sends tallies and findings through `results`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _too_long)
    inputs = seeds()
    whole = decode(Record(9, 0, APPENDED_AT_MS, inputs[0][0], {}))
    outcomes: collections.Counter[str] = collections.Counter()
    findings: list[str] = []
    slowest_s = 0.0
    with journal.open("wb", buffering=0) as file:
        for number in range(first, first + cases, every):
            record = case(seed, number, inputs)
            file.seek(0)
            file.write(struct.pack("<q", number))
            if number == kill_at:
                os.kill(os.getpid(), signal.SIGSEGV)
            signal.setitimer(signal.ITIMER_REAL, HANG_S)
            started_s = time.perf_counter()
            try:
                outcomes[check(record, whole)] += 1
            except BaseException as error:  # noqa: BLE001 - whatever escapes is what is looked for
                outcomes["finding"] += 1
                findings.append(f"case {number}: {type(error).__name__}: {error}")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            slowest_s = max(slowest_s, time.perf_counter() - started_s)
            if len(findings) >= 20:
                break
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    results.send((dict(outcomes), findings, slowest_s, peak_mib))
    results.close()


def main() -> int:
    """Split the cases over processes, gather, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kill-at", type=int, default=-1, help="case at which a child kills itself, to test the test")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    started_s = time.monotonic()
    outcomes: collections.Counter[str] = collections.Counter()
    findings: list[str] = []
    slowest_s, peak_mib = 0.0, 0
    with tempfile.TemporaryDirectory() as directory:
        children = []
        for i in range(arguments.processes):
            receiver, sender = context.Pipe(duplex=False)
            journal = Path(directory) / f"case-{i}"
            shape = (arguments.seed, arguments.first + i, arguments.cases - i, arguments.processes)
            child = context.Process(target=run, args=(*shape, journal, sender, arguments.kill_at))
            child.start()
            sender.close()
            children.append((child, receiver, journal))
        for child, receiver, journal in children:
            try:
                told, found, slow_s, mib = receiver.recv()
                outcomes.update(told)
                findings += found
                slowest_s, peak_mib = max(slowest_s, slow_s), max(peak_mib, mib)
            except EOFError:
                child.join()
                number = struct.unpack("<q", journal.read_bytes())[0] if journal.exists() else None
                findings.append(f"case {number}: the process ended with {child.exitcode}")
            child.join()
    report = {
        "cases": sum(outcomes.values()),
        "seconds": round(time.monotonic() - started_s, 1),
        "outcomes": dict(sorted(outcomes.items())),
        "slowest_case_s": round(slowest_s, 3),
        "peak_memory_mib": peak_mib,
        "findings": findings,
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
