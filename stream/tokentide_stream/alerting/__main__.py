"""`python -m tokentide_stream.alerting`: the alert engine."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

from tokentide_schemas.alerting import AlertsFileError, load_alert_config
from tokentide_schemas.catalogue import CatalogueError, load_catalogue
from tokentide_schemas.health import Health
from tokentide_schemas.settings import load_settings, write_json_atomically
from tokentide_stream.alerting.process import AlertingProcess
from tokentide_stream.alerting.settings import AlertingSettings


def main() -> int:
    """Run until SIGTERM or SIGINT. Status 2 for wrong settings, 1 for a wrong alerts file or catalogue."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load_settings(AlertingSettings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    health = Health("alerts").serve(settings)

    def on_ready() -> None:
        health.ready()
        if settings.ready_file is not None:
            write_json_atomically(settings.ready_file, {"component": "alerts", "pid": os.getpid()})

    def on_tick(status: dict[str, Any]) -> None:
        health.tick(status, [f"{status['state']}: {status['problem']}"] if status["problem"] else [])
        if settings.status_file is not None:
            write_json_atomically(settings.status_file, status)

    try:
        config = load_alert_config(settings.alerts_file)
        process = AlertingProcess(settings, config, load_catalogue(settings.catalogue_paths), stop)
    except (AlertsFileError, CatalogueError, ValueError) as error:
        sys.stderr.write(f"tokentide alerts: {error}\n")
        return 1
    process.run(on_ready, on_tick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
