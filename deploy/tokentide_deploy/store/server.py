"""The store process: arguments, the directory's lock, the listening socket, a graceful stop."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from tokentide_deploy.config.settings import StoreProcessSettings
from tokentide_deploy.http_server import HttpServer, listen
from tokentide_deploy.store.access import AccessPolicy, ReaderLimits
from tokentide_deploy.store.app import StoreService, build_app
from tokentide_deploy.store.engine import Engine
from tokentide_deploy.store.engine_config import EngineSettings
from tokentide_deploy.store.errors import StoreError
from tokentide_deploy.store.lock import DirectoryLock, DirectoryTakenError
from tokentide_schemas.health import Health
from tokentide_schemas.network import is_loopback
from tokentide_schemas.settings import HealthSettings, load_settings, write_json_atomically

logger = logging.getLogger(__name__)
EXIT_USAGE = 2
EXIT_DIRECTORY_TAKEN = 3
EXIT_ENGINE = 4
EXIT_ADDRESS = 5
WRITER_PASSWORD_VARIABLE = "TOKENTIDE_STORE_WRITER_PASSWORD"
READER_PASSWORD_VARIABLE = "TOKENTIDE_STORE_READER_PASSWORD"


class SettingsError(ValueError):
    """The arguments or the environment cannot be used; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """One store process. Passwords come from the environment, so that no process list shows them."""

    data_dir: Path
    host: str
    port: int
    ready_file: Path | None
    stop_timeout_s: int
    request_threads: int
    engine: EngineSettings
    access: AccessPolicy

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def _parser() -> argparse.ArgumentParser:
    limits = ReaderLimits()
    engine = EngineSettings()
    parser = argparse.ArgumentParser(
        prog="python -m tokentide_deploy.store",
        description="The embedded store: ClickHouse's HTTP interface over chDB.",
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="directory of the store; this process owns it")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--ready-file", type=Path, help="JSON file written once requests are served")
    parser.add_argument("--stop-timeout-s", type=int, default=20, help="how long a stop waits for running requests")
    parser.add_argument("--request-threads", type=int, default=16, help="requests that run at once")
    parser.add_argument("--engine-threads", type=int, default=engine.max_threads, help="threads of one query")
    parser.add_argument("--memory-limit-bytes", type=int, help="memory of the engine (default: 60 %% of the machine)")
    parser.add_argument("--fsync", action="store_true", help="insert acknowledgements also survive a power failure")
    parser.add_argument(
        "--keep-free-bytes",
        type=int,
        default=engine.keep_free_bytes,
        help="free space that inserts and merges leave alone (default: %(default)s, at most 5 %% of the disk)",
    )
    parser.add_argument("--reader-max-execution-time-s", type=int, default=limits.max_execution_time_s)
    parser.add_argument("--reader-max-memory-bytes", type=int, default=limits.max_memory_bytes)
    parser.add_argument("--reader-max-result-rows", type=int, default=limits.max_result_rows)
    return parser


def settings_from(arguments: Sequence[str], environment: Mapping[str, str]) -> StoreSettings:
    """Reads arguments and environment. Raises SettingsError with every problem at once."""
    options = _parser().parse_args(arguments)
    access = AccessPolicy(
        writer_password=environment.get(WRITER_PASSWORD_VARIABLE, ""),
        reader_password=environment.get(READER_PASSWORD_VARIABLE, ""),
        reader_limits=ReaderLimits(
            max_execution_time_s=options.reader_max_execution_time_s,
            max_memory_bytes=options.reader_max_memory_bytes,
            max_result_rows=options.reader_max_result_rows,
        ),
    )
    problems = [
        f"--{name.replace('_', '-')} must be greater than 0"
        for name in (
            "stop_timeout_s", "request_threads", "engine_threads", "reader_max_execution_time_s",
            "reader_max_memory_bytes", "reader_max_result_rows", "keep_free_bytes",
        )
        if getattr(options, name) <= 0
    ]  # fmt: skip
    if not 0 <= options.port <= 65535:
        problems.append("--port must be between 0 and 65535")
    if not is_loopback(options.host):
        problems += [
            f"{variable} must be set, because --host {options.host} is not loopback"
            for variable in (WRITER_PASSWORD_VARIABLE, READER_PASSWORD_VARIABLE)
            if not environment.get(variable)
        ]
    if problems:
        raise SettingsError("; ".join(problems))
    engine = EngineSettings(
        max_threads=options.engine_threads,
        memory_limit_bytes=options.memory_limit_bytes,
        fsync_inserts=options.fsync,
        keep_free_bytes=options.keep_free_bytes,
    )
    return StoreSettings(
        options.data_dir.resolve(),
        options.host,
        options.port,
        options.ready_file,
        options.stop_timeout_s,
        options.request_threads,
        engine,
        access,
    )


def serve(settings: StoreSettings, health: HealthSettings | None = None) -> int:
    """Runs the store until SIGTERM or SIGINT; returns the exit status. health: where /healthz and so on are served."""
    try:
        lock = DirectoryLock(settings.data_dir)
    except DirectoryTakenError as error:
        logger.error("%s", error)
        return EXIT_DIRECTORY_TAKEN
    with contextlib.closing(lock):
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
        try:
            listener = listen(settings.host, settings.port)
        except OSError as error:
            logger.error(
                "cannot listen on %s:%s: %s; choose another --port", settings.host, settings.port, error.strerror
            )
            return EXIT_ADDRESS
        with contextlib.closing(listener):
            try:
                engine = Engine(settings.data_dir, settings.engine)
            except StoreError as error:
                logger.error("the engine cannot open %s: %s", settings.data_dir, error.message)
                return EXIT_ENGINE
            service = StoreService(
                engine, settings.access, threads=settings.request_threads, loopback_only=settings.is_loopback
            )
            try:
                _run(settings, service, listener, health or HealthSettings())
            finally:
                service.close()
                if settings.ready_file is not None:
                    settings.ready_file.unlink(missing_ok=True)
    logger.info("stopped")
    return 0


def _run(settings: StoreSettings, service: StoreService, listener: socket.socket, served: HealthSettings) -> None:
    health = Health("store", lambda: service.metrics.render(time.monotonic())).serve(served)
    config = uvicorn.Config(
        build_app(service),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        # clickhouse-connect and Grafana keep idle connections; the server closing one first costs a retry.
        timeout_keep_alive=65,
        timeout_graceful_shutdown=settings.stop_timeout_s,
        # Long SQL in a URL: ClickHouse allows 1 MiB.
        h11_max_incomplete_event_size=1 << 20,
    )
    ready = {
        "pid": os.getpid(),
        "host": settings.host,
        "port": listener.getsockname()[1],
        "version": service.engine.identity.version,
    }

    def on_ready() -> None:
        health.ready()
        logger.info("serving on %s:%s", ready["host"], ready["port"])
        if settings.ready_file is not None:
            write_json_atomically(settings.ready_file, ready)

    HttpServer(config, on_ready, health.tick).run(sockets=[listener])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status: 0 stopped, 2 usage, 3 directory taken, 4 engine, 5 address,
    6 a full disk damaged merged parts (start it again)."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s store: %(message)s")
    # One warning a request whose client went away says nothing that the metrics do not.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    try:
        process = load_settings(StoreProcessSettings)
        settings = settings_from(sys.argv[1:] if arguments is None else arguments, process.environment())
    except SettingsError as error:
        logger.error("%s", error)
        return EXIT_USAGE
    return serve(settings, process)
