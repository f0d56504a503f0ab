"""The sinks with their memory taken away: no insert token, pending ranges ignored, new row ids at each attempt, so
that no merge takes a repeat away either. Only to show that checks can fail.

It lives here, as a replacement for `python -m tokentide_sinks`, so that no setting of the product can bring it about.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pyarrow as pa

from tokentide_sinks import events_sink
from tokentide_sinks.__main__ import main
from tokentide_sinks.ranges import Position, read_position
from tokentide_sinks.store import Store


def _forgetful_position(*arguments: Any) -> Position:
    return Position(read_position(*arguments).next_offset)


class _Forgetful:
    """`Store.insert` as if each attempt were the first, of rows never seen before."""

    insert = Store.insert

    @staticmethod
    def insert_anew(store: Store, table: str, rows: pa.Table, token: str | None = None) -> None:
        del token
        if table == "events":
            place = rows.schema.get_field_index("event_id")
            field = rows.schema.field(place)
            ids = pa.py_buffer(os.urandom(16 * rows.num_rows))
            fresh = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), rows.num_rows, [None, ids])
            rows = rows.set_column(place, field, fresh.cast(field.type))
        _Forgetful.insert(store, table, rows, None)


if __name__ == "__main__":
    events_sink.read_position = _forgetful_position  # type: ignore[assignment]
    Store.insert = _Forgetful.insert_anew  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
