"""Byte-level parts of the interface: native frames, the Go preflight, JDBC's header, a client that goes away."""

from __future__ import annotations

import gzip
import socket
import struct
import time
from typing import Any

import httpx
import lz4.block
import pytest
from clickhouse_cityhash.cityhash import CityHash128

from tokentide_deploy.store.compression import decode, frames, unframe
from tokentide_deploy.store.errors import StoreError

PREFLIGHT = "SELECT displayName(), version(), revision(), timezone()"
GO_REVISION = 54460


def parse_frames(data: bytes) -> bytes:
    """An independent reader of ClickHouse's frames: 16 bytes of checksum, method, sizes, LZ4 data."""
    out = b""
    while data:
        method, packed_size, raw_size = struct.unpack_from("<BII", data, 16)
        value = CityHash128(data[16 : 16 + packed_size])
        assert data[:16] == struct.pack("<QQ", value >> 64, value & (2**64 - 1)) if isinstance(value, int) else value
        assert method == 0x82
        out += lz4.block.decompress(data[25 : 16 + packed_size], uncompressed_size=raw_size)
        data = data[16 + packed_size :]
    return out


def take_string(data: bytes) -> tuple[str, bytes]:
    assert data[0] < 128
    return data[1 : 1 + data[0]].decode(), data[1 + data[0] :]


def test_the_go_preflight_parses_at_the_clients_revision(store: Any) -> None:
    response = store.post(PREFLIGHT, default_format="Native", client_protocol_version=str(GO_REVISION))
    data = response.content
    assert data[:8] == b"\x01\x00\x02\xff\xff\xff\xff\x00"  # block info
    assert data[8:10] == b"\x04\x01"  # four columns, one row
    data = data[10:]
    values: dict[str, Any] = {}
    for _ in range(4):
        name, data = take_string(data)
        type_name, data = take_string(data)
        assert data[0] == 0  # no custom serialization
        data = data[1:]
        if type_name == "UInt32":
            values[name], data = struct.unpack("<I", data[:4])[0], data[4:]
        else:
            values[name], data = take_string(data)
    assert data == b""
    assert values["revision()"] == 0
    assert values["version()"] == store.execute("SELECT version()")
    assert values["timezone()"] == store.execute("SELECT timezone()")


def test_a_preflight_without_custom_serialization_is_shorter(store: Any) -> None:
    new = store.post(PREFLIGHT, default_format="Native", client_protocol_version=str(GO_REVISION)).content
    old = store.post(PREFLIGHT, default_format="Native", client_protocol_version="54000").content
    assert len(new) - len(old) == 4


def test_replies_are_framed_on_request(store: Any) -> None:
    sql = "SELECT number, repeat('x', 100) FROM numbers(30000) FORMAT TSV"
    plain = store.post(sql).content
    framed = store.post(sql, compress="1").content
    assert len(plain) > 3_000_000 > len(framed)
    assert parse_frames(framed) == plain
    assert parse_frames(store.post("SELECT 1 FORMAT JSON", compress="1").content).startswith(b"{")


def test_errors_are_framed_too(store: Any) -> None:
    response = store.post("SELECT nothing_here", compress="1")
    assert response.headers["X-ClickHouse-Exception-Code"] == "47"
    assert parse_frames(response.content).startswith(b"Code: 47. DB::Exception")


def test_framed_bodies_are_inserted(store: Any, table: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32) ENGINE = MergeTree ORDER BY a")
    data = b"".join(b"%d\n" % number for number in range(500_000))
    insert = f"INSERT INTO {table} FORMAT TSV"
    assert store.post(frames(data), query=insert, decompress="1").status_code == 200
    assert store.post(frames(insert.encode() + b"\n7\n"), decompress="1").status_code == 200
    assert store.execute(f"SELECT count(), sum(a) FROM {table}") == f"500001\t{sum(range(500_000)) + 7}"


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_frame_stores_nothing(store: Any, table: str, damage: str) -> None:
    store.execute(f"CREATE TABLE {table} (a UInt32) ENGINE = MergeTree ORDER BY a")
    data = frames(b"1\n" * 1_500_000)
    data = data[:-1] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1])
    response = store.post(data, query=f"INSERT INTO {table} FORMAT TSV", decompress="1")
    assert response.headers["X-ClickHouse-Exception-Code"] in ("40", "271")
    assert store.execute(f"SELECT count() FROM {table}") == "0"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "lz4", "deflate"])
def test_a_cut_off_body_stores_nothing(store: Any, table: str, encoding: str) -> None:
    import zlib

    import lz4.frame
    import zstandard

    pack = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "lz4": lz4.frame.compress,
        "zstd": zstandard.ZstdCompressor().compress,
    }
    store.execute(f"CREATE TABLE {table} (a UInt32) ENGINE = MergeTree ORDER BY a")
    body = pack[encoding](b"".join(b"%d\n" % number for number in range(100_000)))
    query = f"INSERT INTO {table} FORMAT TSV"
    response = store.post(body[:-20], headers={"Content-Encoding": encoding}, query=query)
    assert response.headers["X-ClickHouse-Exception-Code"] == "271"
    assert store.execute(f"SELECT count() FROM {table}") == "0"
    assert store.post(body, headers={"Content-Encoding": encoding}, query=query).status_code == 200
    assert store.execute(f"SELECT count() FROM {table}") == "100000"


def test_an_unknown_encoding_is_named(store: Any) -> None:
    response = store.post(b"SELECT 1", headers={"Content-Encoding": "snappy"})
    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (400, "89")
    assert "snappy" in response.text


def test_jdbc_names_its_format_in_a_header(store: Any) -> None:
    headers = {"X-ClickHouse-Format": "RowBinaryWithNamesAndTypes"}
    response = store.post("SELECT toUInt32(7) AS a", headers=headers)
    assert response.content == b"\x01\x01a\x06UInt32\x07\x00\x00\x00"
    assert response.headers["X-ClickHouse-Format"] == "RowBinaryWithNamesAndTypes"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM numbers(10000000000000)",
        "SELECT number FROM numbers(10000000000000) FORMAT TSV",
        "SELECT number FROM numbers(10000000000000) WHERE number % 1000000007 = 1000000006 FORMAT JSONEachRow",
    ],
    ids=["whole", "streamed", "trickling"],
)
def test_a_client_that_goes_away_ends_its_query(store: Any, sql: str, eventually: Any) -> None:
    marked = sql + f" -- {time.monotonic_ns()}"
    request = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(marked)}\r\n\r\n{marked}"
    running = f"SELECT count() FROM system.processes WHERE query LIKE '{sql[:40]}%'"
    with socket.create_connection(("127.0.0.1", store.port)) as connection:
        connection.sendall(request.encode())
        eventually(lambda: store.execute(running) == "1", "the query runs")
    eventually(lambda: store.execute(running) == "0", "the query has ended", 15)


def test_uploaded_frames_and_encodings_reject_garbage() -> None:
    with pytest.raises(StoreError, match="sizes are impossible"):
        list(unframe([b"\xff" * 64]))
    with pytest.raises(StoreError, match="Cannot decode"):
        list(decode([b"not gzip at all"], "gzip"))


def test_external_tables_are_refused_clearly(store: Any) -> None:
    response = httpx.post(store.url, params={"query": "SELECT 1"}, files={"t": b"1"})
    assert (response.status_code, response.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
