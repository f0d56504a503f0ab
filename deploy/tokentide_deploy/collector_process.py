"""The collector's process: arguments and environment, the listening socket, ready file, an orderly stop."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import uvicorn

from tokentide_deploy.errors import DeployError, PortInUseError
from tokentide_deploy.http_server import HttpServer, listen
from tokentide_producers.collector.access import AccessError
from tokentide_producers.collector.build import build_collector
from tokentide_producers.collector.settings import CollectorProcessSettings, CollectorSettings
from tokentide_producers.collector.tokens import TokenFileError
from tokentide_schemas.health import Health
from tokentide_schemas.settings import (
    HealthSettings,
    SettingsError,
    load_settings,
    read_settings,
    write_json_atomically,
)

logger = logging.getLogger(__name__)

_STOP_S: Final = 15


def collector_settings(**given: Any) -> CollectorSettings:
    """As configured, with what was given as arguments on top (None: not given). Raises SettingsError."""
    return read_settings(CollectorSettings, **{name: value for name, value in given.items() if value is not None})


def serve(
    bootstrap_servers: str,
    settings: CollectorSettings,
    on_ready: Callable[[str], None] | None = None,
    ready_file: Path | None = None,
    served: HealthSettings | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; `on_ready` is given the URL. served: where /healthz and so on are served besides
    the collector's own port. Raises PortInUseError, DeployError."""
    try:
        app = build_collector(bootstrap_servers, settings)
    except (AccessError, TokenFileError, ValueError) as error:
        raise DeployError(str(error)) from error
    with contextlib.closing(_listen(settings.host, settings.port)) as listener:
        port = int(listener.getsockname()[1])
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{host}:{port}"
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )

        health = Health("collector", app.metrics_text).serve(served or HealthSettings())

        def turn() -> None:
            health.tick(problems=[] if app.is_ready else ["Kafka does not answer: check that the broker runs"])

        def ready() -> None:
            health.ready()
            if ready_file is not None:
                write_json_atomically(ready_file, {"pid": os.getpid(), "host": settings.host, "port": port})
            if on_ready is not None:
                on_ready(url)

        HttpServer(config, ready, turn).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> Any:
    try:
        return listen(host, port)
    except OSError as error:
        raise PortInUseError(
            f"The collector cannot listen on {host}:{port}: {error.strerror}. Choose another port with --port."
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the stack's child; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_deploy.collector_process", description=__doc__)
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on; 0 picks a free one")
    parser.add_argument("--token-file", type=Path, help="hashed bearer tokens")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s collector: %(message)s"
    )
    platform = load_settings(CollectorProcessSettings)
    try:
        settings = collector_settings(host=options.host, port=options.port, token_file=options.token_file)
        return serve(
            platform.kafka_bootstrap_servers,
            settings,
            lambda url: logger.info("serving on %s", url),
            platform.ready_file,
            platform,
        )
    except SettingsError as error:
        logger.error("%s", error)
        return 2
    except DeployError as error:
        logger.error("%s", error)
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
