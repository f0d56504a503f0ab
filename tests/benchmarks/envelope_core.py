"""CPU time of reading envelopes, by step: what the raw sink and the worker both pay for every event.

    python -m tests.benchmarks.envelope_core [--envelopes 100] [--repeats 7]

Prints CPU microseconds per event (the best of the repeats) for envelopes of 500 and 2,000 events.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from tokentide_schemas import block
from tokentide_schemas.arrow import EVENT_SCHEMA, column_array
from tokentide_schemas.arrow_framing import read_framing
from tokentide_schemas.envelope import CONTENT_TYPE_ARROW, Record, decode, encode_arrow, headers_for
from tokentide_schemas.event import default_of

NOW_MS = 1_790_000_000_000


def _values(name: str, rows: int, chooser: random.Random) -> list[Any]:
    """Values with about the variety of real traffic: 60 models, 12 providers, 40 categories, 400 apps."""
    by_name: dict[str, Callable[[], Any]] = {
        "event_id": lambda: chooser.randbytes(16),
        "request_id": lambda: f"req-{chooser.getrandbits(64):016x}",
        "user_hash": lambda: chooser.randbytes(16),
        "occurred_at": lambda: NOW_MS - chooser.randrange(2_000),
        "request_model": lambda: f"author/model-{int(chooser.paretovariate(1)) % 60}",
        "model": lambda: f"author/model-{int(chooser.paretovariate(1)) % 60}",
        "provider": lambda: f"provider-{chooser.randrange(12)}",
        "category": lambda: f"category-{chooser.randrange(40)}",
        "app": lambda: f"app-{int(chooser.paretovariate(0.8)) % 400}",
        "tenant": lambda: f"tenant-{int(chooser.paretovariate(0.8)) % 200}",
        "country": lambda: chooser.choice(["US", "DE", "IN", "CN", "BR", ""]),
        "outcome": lambda: chooser.choices(["ok", "error", "cancelled"], [96, 3, 1])[0],
        "finish_reason": lambda: chooser.choice(["stop", "tool_calls", "length"]),
        "input_uncached_tokens": lambda: chooser.randrange(20_000),
        "output_tokens": lambda: chooser.randrange(1_000),
        "usage_reported": lambda: True,
        "cost_nanousd": lambda: chooser.randrange(10**8),
        "latency_ms": lambda: chooser.randrange(60_000),
    }
    make = by_name.get(name, lambda: default_of(name))
    return [make() for _ in range(rows)]


def records(envelopes: int, events: int) -> list[Record]:
    """Arrow envelopes of the emitter's kind."""
    chooser = random.Random(1)
    found = []
    for number in range(envelopes):
        arrays = [column_array(_values(field.name, events, chooser), field.type) for field in EVENT_SCHEMA]
        value = encode_arrow(pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA))
        headers = dict(headers_for(CONTENT_TYPE_ARROW, events, "benchmark", number))
        found.append(Record(0, number, NOW_MS, value, headers))
    return found


def _open(one: Record) -> list[pa.RecordBatch]:
    with pa.ipc.open_stream(one.value) as reader:
        return list(reader)


def cpu_us_per_event(work: Callable[[], Any], events: int, repeats: int) -> float:
    """The cheapest of several runs."""
    best_s = float("inf")
    for _ in range(repeats):
        started_s = time.process_time()
        work()
        best_s = min(best_s, time.process_time() - started_s)
    return best_s * 1e6 / events


def steps(envelopes: int, events: int, repeats: int) -> dict[str, float]:
    """CPU microseconds per event of each step, and of decode and assemble as a whole."""
    given = records(envelopes, events)
    batches = [_open(one) for one in given]
    decoded = [decode(one) for one in given]
    tables = [one.table for one in decoded]
    joined = block.concatenate(tables)
    appended = np.full(joined.num_rows, NOW_MS, np.int64)
    work: dict[str, Callable[[], Any]] = {
        "framing": lambda: [read_framing(one.value or b"") for one in given],
        "open_stream": lambda: [_open(one) for one in given],
        "validate": lambda: [batch.validate(full=True) for every in batches for batch in every],
        "decode": lambda: [decode(one) for one in given],
        "concat and unify": lambda: block.concatenate(tables),
        "label checks": lambda: block._refused_values(joined),
        "row checks": lambda: block._failures(joined, appended, {}),
        "clean dictionaries": lambda: block._with_clean_dictionaries(joined, {}),
        "models": lambda: block._with_models(joined),
        "assemble": lambda: block.assemble(decoded),
        "decode + assemble": lambda: block.assemble([decode(one) for one in given]),
    }
    return {name: cpu_us_per_event(step, envelopes * events, repeats) for name, step in work.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envelopes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    small = steps(arguments.envelopes, 500, arguments.repeats)
    large = steps(arguments.envelopes, 2_000, arguments.repeats)
    sys.stdout.write(f"{'CPU us per event':<22}{'500/envelope':>14}{'2000/envelope':>15}\n")
    for name, value in small.items():
        sys.stdout.write(f"{name:<22}{value:>14.3f}{large[name]:>15.3f}\n")


if __name__ == "__main__":
    main()
