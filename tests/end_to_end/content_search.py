"""Looking for text that must be nowhere: in the store, in the topics, in every file of a stack."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import zstandard
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from end_to_end.harness import Stack
from tokentide_schemas.topics import USAGE

MARKERS = (
    "MARKER-5f1c",  # producers/upstream
    "zqx-content-marker",  # producers/litellm
    "GOLDEN-MARKER",
    "MARKER-b41c",  # producers/collector: privacy, malformed requests, the OpenTelemetry instrumentation
    "MARKER-7f3a",
    "MARKER-11d0",
    "Quokka Zeppelin 90210",
    "MARKER-every-path-2e9d",
)
"""What tests put into prompts, answers, tool calls, error messages and malformed requests."""
FOREIGN_MARKERS = ("marker-of-content", "MARKER-foreign-81ab")
"""What tests write into the usage topic as strangers do, past every producer of ours: there it stays until it expires,
and nothing that reads it may pass it on."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAX_DEPTH = 4


def places_with_content(stack: Stack, *also: Path) -> list[str]:
    """Where any marker is: `topic ...`, `table ...`, `file ...`. also: files and folders beside the stack's own."""
    return [
        *_in_store(stack, [*MARKERS, *FOREIGN_MARKERS]),
        *_in_topics(stack.kafka),
        *_in_files([stack.data_dir, *also], MARKERS),
        *_in_files([stack.data_dir, *also], FOREIGN_MARKERS, but_not=f"{USAGE}-"),
    ]


def _in_store(stack: Stack, markers: Sequence[str]) -> Iterator[str]:
    # In hexadecimal: a server that keeps its queries must not find this one.
    wanted = ", ".join(f"unhex('{marker.encode().hex()}')" for marker in markers)
    tables = stack.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND NOT endsWith(engine, 'View') "
        "AND engine != 'Dictionary' AND NOT is_temporary"
    )
    assert len(tables) > 10
    for (table,) in tables:
        # Every column as it is stored, states of aggregates too.
        found = f"multiSearchAny(formatRow('RowBinary', *), [{wanted}])"
        count = stack.value(f"SELECT count() FROM `{table}` WHERE {found}")
        if count:
            yield f"table {table}: {count} rows"
    if stack.value("EXISTS system.query_log"):
        # What tests ask for is theirs.
        found = f"multiSearchAny(query, [{wanted}]) AND query_kind != 'Select'"
        if stack.value(f"SELECT count() FROM system.query_log WHERE {found}"):
            yield "table system.query_log"


def _in_topics(servers: str) -> Iterator[str]:
    every, foreign = ([marker.encode() for marker in some] for some in (MARKERS, FOREIGN_MARKERS))
    for message in _messages(servers):
        topic = message.topic() or ""
        wanted = every if topic == USAGE else every + foreign
        parts = [message.key() or b"", repr(message.headers()).encode(), *readable(message.value() or b"")]
        if any(marker in part for part in parts for marker in wanted):
            yield f"topic {topic}[{message.partition()}] offset {message.offset()}"


def _messages(servers: str) -> Iterator[Message]:
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "content-search", "enable.partition.eof": True, "log_level": 0}
    )
    try:
        topics = consumer.list_topics(timeout=30).topics
        places = [TopicPartition(name, number, 0) for name, topic in topics.items() for number in topic.partitions]
        assert USAGE in topics
        consumer.assign(places)
        ended: set[tuple[str | None, int | None]] = set()
        while len(ended) < len(places):
            message = consumer.poll(60)
            assert message is not None, f"{len(ended)} of {len(places)} partitions were read"
            error = message.error()
            if error is None:
                yield message
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add((message.topic(), message.partition()))
    finally:
        consumer.close()


def readable(value: bytes, depth: int = 0) -> Iterator[bytes]:
    """A value as it is, and whatever is packed in it: zstd frames, and the columns of Arrow streams and files."""
    yield value
    if depth == _MAX_DEPTH:
        return
    at = value.find(_ZSTD)
    while at >= 0:
        try:
            unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(value[at:])
        except zstandard.ZstdError:
            unpacked = b""  # four bytes that only look like a frame
        if unpacked:
            yield from readable(unpacked, depth + 1)
        at = value.find(_ZSTD, at + 1)
    for column in _columns(value):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            yield "\0".join(text for text in column.unique().to_pylist() if text).encode()
        elif not pa.types.is_primitive(kind):
            for one in column.unique().to_pylist() if pa.types.is_binary(kind) else column.to_pylist():
                yield from readable(one, depth + 1) if isinstance(one, bytes) else [repr(one).encode()]


def _columns(value: bytes) -> Iterator[pa.ChunkedArray]:
    for opened in (pa.ipc.open_stream, pa.ipc.open_file):
        try:
            table = opened(io.BytesIO(value)).read_all()
        except (pa.ArrowInvalid, OSError):
            continue
        yield from table.columns


def _in_files(places: Sequence[Path], markers: Sequence[str], but_not: str = "") -> Iterator[str]:
    patterns = [argument for marker in markers for argument in ("-e", marker)]
    found = subprocess.run(
        ["grep", "-rlaF", *patterns, *map(str, places)], capture_output=True, text=True, timeout=300, check=False
    )
    # Files that the store and Kafka delete meanwhile are no finds.
    for path in found.stdout.splitlines():
        if not (but_not and any(part.startswith(but_not) for part in Path(path).parts)):
            yield f"file {path}"
