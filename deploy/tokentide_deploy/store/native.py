"""The one Native block that needs a later protocol revision than chDB writes.

clickhouse-go opens each HTTP connection with a fixed preflight and reads its Native reply at its own revision. chDB
writes revision 0 only. Answering "revision 0" in that block makes the client read every later block as plain Native.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_PREFLIGHT = re.compile(
    r"\s*SELECT\s+displayName\(\)\s*,\s*version\(\)\s*,\s*revision\(\)\s*,\s*timezone\(\)\s*;?\s*\Z", re.IGNORECASE
)
# Block info: field 1 is_overflows = 0, field 2 bucket_num = -1, end.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_REVISION_WITH_CUSTOM_SERIALIZATION = 54454


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    display_name: str
    version: str
    timezone: str


def is_preflight(sql: str) -> bool:
    return _PREFLIGHT.match(sql) is not None


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data


def preflight_block(identity: ServerIdentity, client_revision: int) -> bytes:
    """The preflight's reply, one row, as a Native block of ``client_revision`` that announces revision 0."""
    columns = (
        ("displayName()", "String", _string(identity.display_name)),
        ("version()", "String", _string(identity.version)),
        ("revision()", "UInt32", struct.pack("<I", 0)),
        ("timezone()", "String", _string(identity.timezone)),
    )
    out = bytearray(_BLOCK_INFO if client_revision > 0 else b"")
    out += varint(len(columns)) + varint(1)
    for name, type_name, data in columns:
        out += _string(name) + _string(type_name)
        if client_revision >= _REVISION_WITH_CUSTOM_SERIALIZATION:
            out.append(0)
        out += data
    return bytes(out)
