"""`python -m tokentide_sinks.notify`: tells alerts to the receivers of TOKENTIDE_ALERTS_FILE, until it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import Any

from tokentide_schemas.alerting.loading import AlertsFileError, load_alert_config
from tokentide_schemas.health import Health
from tokentide_schemas.settings import load_settings, write_json_atomically
from tokentide_sinks.notify.notifier import Notifier
from tokentide_sinks.settings import NotifySettings


def main() -> int:
    """Run; status 1 when the alerts file cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = load_settings(NotifySettings)
    try:
        config = load_alert_config(settings.alerts_file)
    except AlertsFileError as error:
        sys.stderr.write(f"tokentide notify: {error}\n")
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    health = Health("notify").serve(settings)

    def on_ready() -> None:
        health.ready()
        if settings.ready_file is not None:
            write_json_atomically(settings.ready_file, {"component": "notify", "pid": os.getpid()})

    def on_tick(status: dict[str, Any]) -> None:
        health.tick(status)
        if settings.status_file is not None:
            write_json_atomically(settings.status_file, status)

    Notifier(settings, config.receivers, stop).run(on_ready, on_tick)
    return 0


if __name__ == "__main__":
    sys.exit(main())
