"""Memory of a stream worker's state: sparse keys over many partitions, all shipped cubes and tiers.

    python -m tests.benchmarks.stream_memory # 12 partitions, 1,000,000 events over two hours each

300 models x 15 categories x 60 providers x 200 countries x 2,000 apps x 5,000 tenants, skewed as traffic is. Prints
JSON: rows and bytes by cube and tier, the largest checkpoint, and what the process grew by.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import psutil
from tests.benchmarks.stream_core import LABEL_VALUES, make_log

from tokentide_schemas.cubes import CUBES
from tokentide_stream import checkpoint
from tokentide_stream.partition import PartitionState


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--events", type=int, default=1_000_000, help="in each partition")
    parser.add_argument("--hours", type=float, default=2.0, help="of event time that the events are spread over")
    args = parser.parse_args()
    LABEL_VALUES["country"] = LABEL_VALUES["country"][:200]
    LABEL_VALUES["tenant"] = [f"tenant-{i}" for i in range(5_000)]
    process = psutil.Process()
    before = process.memory_info().rss
    states = []
    by_cube: dict[str, list[int]] = {}
    largest = 0
    most = 0
    for partition in range(args.partitions):
        state = PartitionState(CUBES, 120)
        # In parts: the log itself must not be what is measured.
        parts = 20
        rate = max(1, round(args.events / (args.hours * 3_600)))
        log = make_log(args.events, 2_000, rate, seed=partition)
        for records in np.array_split(np.arange(len(log)), parts):
            state.apply([log[i] for i in records])
            state.flush(log[records[-1]].appended_at_ms / 1000)
            most = max(most, state.open_groups)
        del log
        largest = max(largest, len(checkpoint.dump(state, "e")))
        states.append(state)
        for rollup in state.rollups():
            rows, size = by_cube.setdefault(rollup.cube.name, [0, 0])
            frames = [rollup.open_rows, *rollup.pending]
            by_cube[rollup.cube.name] = [
                rows + sum(map(len, frames)),
                size + sum(int(frame.estimated_size()) for frame in frames),
            ]
    sys.stdout.write(
        json.dumps(
            {
                "partitions": args.partitions,
                "events": args.events * args.partitions,
                "state_rows": sum(rows for rows, _ in by_cube.values()),
                "state_bytes": sum(size for _, size in by_cube.values()),
                "most_rows_in_a_partition": most,
                "largest_checkpoint_bytes": largest,
                "process_growth_bytes": process.memory_info().rss - before,
                "cubes": {name: {"rows": rows, "bytes": size} for name, (rows, size) in by_cube.items()},
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
