"""`python -m tokentide_sinks events|rollups|maintenance`: one sink process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

from tokentide_schemas.catalogue import CatalogueError
from tokentide_schemas.cube_file import CubeFileError
from tokentide_schemas.health import Health
from tokentide_schemas.settings import load_settings, write_json_atomically
from tokentide_sinks.events_sink import EventsSink
from tokentide_sinks.kafka import TopicError
from tokentide_sinks.limits import EXIT_STOPPED_BY_LIMIT, RefusalLimitError
from tokentide_sinks.maintenance import Maintenance
from tokentide_sinks.rollups_sink import RollupsSink
from tokentide_sinks.settings import SinkSettings
from tokentide_sinks.store import Store, StoreMisconfiguredError

SINKS = {"events": EventsSink, "rollups": RollupsSink, "maintenance": Maintenance}


def main(arguments: list[str]) -> int:
    """Run a sink until SIGTERM or SIGINT. Status 2 for wrong arguments, 1 when Kafka or the store is not
    as needed, 78 when too much is refused."""
    if len(arguments) != 1 or arguments[0] not in SINKS:
        sys.stderr.write(f"usage: python -m tokentide_sinks {'|'.join(SINKS)}\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load_settings(SinkSettings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    name = arguments[0] if arguments[0] == "maintenance" else f"{arguments[0]}-sink"
    health = Health(name).serve(settings)

    def on_ready() -> None:
        health.ready()
        if settings.ready_file is not None:
            write_json_atomically(settings.ready_file, {"component": f"{arguments[0]}-sink", "pid": os.getpid()})

    def on_tick(status: dict[str, Any]) -> None:
        waits = status.get("waiting_for_store", False)
        health.tick(status, ["it waits for the store or for its partitions"] if waits else [])
        if settings.status_file is not None:
            write_json_atomically(settings.status_file, status)

    try:
        store = Store(settings.clickhouse_url.get_secret_value())
        SINKS[arguments[0]](settings, store, stop).run(on_ready, on_tick)
    except (TopicError, StoreMisconfiguredError, CatalogueError, CubeFileError) as error:
        sys.stderr.write(f"tokentide {arguments[0]} sink: {error}\n")
        return 1
    except RefusalLimitError as error:
        sys.stderr.write(f"tokentide {arguments[0]} sink stops: {error}\n")
        return EXIT_STOPPED_BY_LIMIT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
