"""One embedded broker as an object: for tests and for tools that need a broker without the whole stack."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tokentide_deploy import child_process
from tokentide_deploy.embedded_kafka.broker import BrokerSettings, broker_is_ready, prepare_broker
from tokentide_deploy.errors import StartError
from tokentide_deploy.log_files import last_lines
from tokentide_deploy.ports import free_ports

_POLL_S = 0.05


class EmbeddedKafka:
    """`with EmbeddedKafka(folder) as kafka: kafka.bootstrap_servers`. Ports are free ones unless given.

    The broker dies with the thread that started it, so start it from the main thread (pytest fixtures do).
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        controller_port: int | None = None,
        heap_mib: int = 768,
        more_listeners: Mapping[str, str] | None = None,
        more_properties: Mapping[str, str] | None = None,
    ) -> None:
        free_port, free_controller_port = free_ports(2)
        self.settings = BrokerSettings(
            data_dir,
            port or free_port,
            controller_port or free_controller_port,
            heap_mib,
            more_listeners=more_listeners or {},
            more_properties=more_properties or {},
        )
        self.log_file = data_dir / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """host:port for clients; the same after a restart."""
        return self.settings.bootstrap_servers

    @property
    def pid(self) -> int:
        """The JVM's process id while it runs."""
        if self._process is None:
            raise RuntimeError("this broker is not started")
        return self._process.pid

    def start(self, timeout_s: float = 90.0) -> float:
        """Start and wait until it answers; returns the seconds that took. Raises StartError, KafkaInstallError."""
        begin = time.monotonic()
        command = prepare_broker(self.settings)
        process = child_process.spawn(command.argv, command.env, self.log_file)
        self._process = process
        while not broker_is_ready(self.bootstrap_servers, command.cluster_id):
            waited_s = time.monotonic() - begin
            if process.poll() is not None or waited_s > timeout_s:
                child_process.kill_group(process)
                self._process = None
                how = child_process.describe_exit(process.returncode)
                raise StartError(
                    f"The embedded Kafka in {self.settings.data_dir} was not ready after {waited_s:.0f} s ({how}). "
                    f"Last lines of {self.log_file}:\n{last_lines(self.log_file)}"
                )
            time.sleep(_POLL_S)
        return time.monotonic() - begin

    def stop(self, timeout_s: float = 30.0) -> None:
        """Clean shutdown; a broker that does not end in time is killed. Raises TimeoutExpired in that case."""
        process, self._process = self._process, None
        if process is None:
            return
        child_process.ask_to_stop(process)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child_process.kill_group(process)
            raise

    def kill(self) -> None:
        """kill -9, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            child_process.kill_group(process)

    def __enter__(self) -> "EmbeddedKafka":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
