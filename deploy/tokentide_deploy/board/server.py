"""The board's process: arguments and environment, the listening socket, ready file, an orderly stop."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn

from tokentide_deploy.board.access import BoardAccess
from tokentide_deploy.board.address import CLICKHOUSE_VARIABLE, TOKEN_VARIABLE, board_url
from tokentide_deploy.board.app import build_app
from tokentide_deploy.board.dashboards import COMMITTED_FOLDER, DashboardFolder
from tokentide_deploy.board.service import BoardService
from tokentide_deploy.board.store_client import StoreClient
from tokentide_deploy.config.settings import BoardProcessSettings
from tokentide_deploy.errors import DeployError, PortInUseError
from tokentide_deploy.http_server import HttpServer, listen
from tokentide_deploy.stack_state import ClickHouseAccount
from tokentide_schemas.health import Health
from tokentide_schemas.network import is_loopback
from tokentide_schemas.settings import HealthSettings, load_settings, write_json_atomically

logger = logging.getLogger(__name__)
READY_FILE_VARIABLE: Final = "TOKENTIDE_READY_FILE"


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """One board process. `dashboards` None: the committed folder, else as the code builds them."""

    account: ClickHouseAccount
    host: str = "127.0.0.1"
    port: int = 0
    token: str = field(default="", repr=False)
    allowed_hosts: frozenset[str] = frozenset()
    dashboards: Path | None = None
    ready_file: Path | None = None


def serve(
    settings: BoardSettings,
    on_ready: Callable[[str], None] | None = None,
    served: HealthSettings | None = None,
) -> int:
    """Run until SIGTERM or SIGINT; `on_ready` is given the URL. served: where /healthz and so on are.

    Raises PortInUseError, DeployError.
    """
    if not is_loopback(settings.host) and not settings.token:
        raise DeployError(f"A board on {settings.host} needs a token: others can reach it. Set {TOKEN_VARIABLE}.")
    folder = settings.dashboards or (COMMITTED_FOLDER if COMMITTED_FOLDER.is_dir() else None)
    # The name of this machine is as good as its address: nobody else decides where it leads.
    names = settings.allowed_hosts | ({socket.gethostname().lower()} if settings.token else set())
    access = BoardAccess(settings.host, settings.token, frozenset(names))
    answered: Counter[str] = Counter()
    app = build_app(BoardService(DashboardFolder(folder), StoreClient(settings.account)), access, answered)
    health = Health("board").serve(served or HealthSettings())
    with contextlib.closing(_listen(settings.host, settings.port)) as listener:
        port = int(listener.getsockname()[1])
        url = board_url(settings.host, port, settings.token)
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=3,
        )

        def turn() -> None:
            health.tick({"requests_total": dict(answered)})

        def ready() -> None:
            health.ready()
            if settings.ready_file is not None:
                write_json_atomically(settings.ready_file, {"pid": os.getpid(), "host": settings.host, "port": port})
            if on_ready is not None:
                on_ready(url)

        HttpServer(config, ready, turn).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise PortInUseError(
            f"The board cannot listen on {host}:{port}: {error.strerror}. Choose another port."
        ) from error


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> BoardSettings:
    """Arguments and environment of the process. Raises DeployError."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_deploy.board", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one")
    parser.add_argument("--allowed-host", action="append", default=[], help="a further name that leads here")
    parser.add_argument("--dashboards", type=Path, help="folder of Grafana dashboards (default: ours)")
    options = parser.parse_args(arguments)
    url = environment.get(CLICKHOUSE_VARIABLE, "")
    if not url:
        raise DeployError(f"Set {CLICKHOUSE_VARIABLE} to http://reader:password@host:port/database.")
    ready_file = environment.get(READY_FILE_VARIABLE)
    return BoardSettings(
        account=ClickHouseAccount.from_url(url),
        host=options.host,
        port=options.port,
        token=environment.get(TOKEN_VARIABLE, ""),
        allowed_hosts=frozenset(name.lower() for name in options.allowed_host),
        dashboards=options.dashboards,
        ready_file=Path(ready_file) if ready_file else None,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the stack's child; returns the exit status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s board: %(message)s")
    try:
        process = load_settings(BoardProcessSettings)
        settings = settings_from(sys.argv[1:] if arguments is None else arguments, process.environment())
        return serve(settings, lambda url: logger.info("serving on %s", url.partition("?")[0]), process)
    except DeployError as error:
        logger.error("%s", error)
        return error.exit_status
