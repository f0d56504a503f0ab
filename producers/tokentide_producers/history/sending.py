"""Sends the scenario's events, oldest first, and counts what Kafka has acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from tokentide_producers.acknowledgements import Acknowledgements
from tokentide_producers.event_columns import slices, tokens_in
from tokentide_producers.sender import EnvelopeSender
from tokentide_schemas.envelope import encode_arrow

ENVELOPE_EVENTS: Final = 2_000
MAX_OUTSTANDING_BYTES: Final = 32 * 1024 * 1024
_WAIT_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the events; exact. acknowledged < generated: Kafka stopped to answer."""

    generated_events: int
    acknowledged_events: int
    last_error: str


def send(
    blocks: Iterable[pa.RecordBatch],
    sender: EnvelopeSender,
    *,
    timeout_s: float = 60.0,
    on_acknowledged: Callable[[int], None] = lambda _events: None,
) -> Sent:
    """Send blocks that ascend in time; gives up when nothing is acknowledged for `timeout_s`. Closes the sender."""
    generated = 0
    watch = Acknowledgements(sender, timeout_s, on_acknowledged)
    for block in blocks:
        generated += block.num_rows
        for piece in slices(block, ENVELOPE_EVENTS):
            sender.submit(encode_arrow(piece), piece.num_rows, tokens=tokens_in(piece))
        alive = watch.serve(0.0)
        while alive and sender.outstanding_bytes > MAX_OUTSTANDING_BYTES:
            alive = watch.serve(_WAIT_S)
        if not alive:
            break
    while sender.outstanding_envelopes and watch.serve(_WAIT_S):
        pass
    sender.close(0.0)
    stats = sender.stats()
    return Sent(generated, stats.acknowledged_events, stats.last_error)
