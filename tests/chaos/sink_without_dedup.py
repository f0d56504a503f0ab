"""The sinks with their memory taken away: no insert token, pending ranges ignored. Only to show that checks can fail.

It lives here, as a replacement for `python -m tokentide_sinks`, so that no setting of the product can bring it about.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from tokentide_sinks import events_sink, raw_writer
from tokentide_sinks.__main__ import main
from tokentide_sinks.ranges import Position, read_position


def _forgetful_position(*arguments: Any) -> Position:
    return Position(read_position(*arguments).next_offset)


if __name__ == "__main__":
    events_sink.read_position = _forgetful_position  # type: ignore[assignment]
    raw_writer.insert_token = lambda *_: uuid.uuid4().hex  # type: ignore[assignment]
    sys.exit(main(sys.argv[1:]))
