"""What `tokentide up` shows: a live panel on a terminal, plain lines elsewhere, one JSON line when headless."""

import json
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tokentide_deploy.component import ComponentState
from tokentide_deploy.component_status import StackStatus
from tokentide_deploy.stack_state import StackAddresses
from tokentide_deploy.status_view import checklist, running_panel, status_line
from tokentide_deploy.supervisor import Supervisor

_PLAIN_STATUS_INTERVAL_S = 10.0


class StackDisplay:
    """Shows nothing; the base of the three displays. Used as a context manager around the stack's whole life."""

    def starting(self, names: Sequence[str], supervisor: Supervisor) -> None:
        """The stack begins to start these parts."""

    def changed(self, name: str, supervisor: Supervisor) -> None:
        """A component or step changed its state."""

    def ready(self, addresses: StackAddresses, after_s: float) -> None:
        """Everything is ready."""

    def running(self, status: StackStatus, supervisor: Supervisor, uptime_s: float) -> None:
        """Called a few times a second."""

    def stopping(self) -> None:
        """The stack begins to stop."""

    def __enter__(self) -> "StackDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class PlainDisplay(StackDisplay):
    """A line when something becomes ready or crashes, and a status line every ten seconds."""

    def __init__(self, output: TextIO, show_status: bool = True) -> None:
        self._output = output
        self._show_status = show_status
        self._next_status_s = 0.0
        self._scenario = ""

    def changed(self, name: str, supervisor: Supervisor) -> None:
        component = supervisor.components.get(name)
        if component is None:
            self._line(f"{name}: done in {supervisor.steps_done[name]:.1f} s")
        elif component.state is ComponentState.READY and component.ready_after_s is not None:
            self._line(f"{name}: ready after {component.ready_after_s:.1f} s")
        elif component.state in (ComponentState.WAITING_TO_RESTART, ComponentState.FAILED):
            self._line(f"{name}: {supervisor.restarts[-1].how}; {component.state.value}")

    def ready(self, addresses: StackAddresses, after_s: float) -> None:
        for line in where_to_look(addresses, after_s):
            self._line(line)

    def running(self, status: StackStatus, supervisor: Supervisor, uptime_s: float) -> None:
        if status.scenario not in ("", self._scenario):
            self._scenario = status.scenario
            self._line(status.scenario)
        now_s = time.monotonic()
        if self._show_status and now_s >= self._next_status_s:
            self._next_status_s = now_s + _PLAIN_STATUS_INTERVAL_S
            restarts = {name: one.restarts for name, one in supervisor.components.items()}
            down = f" | DOWN FOR GOOD: {', '.join(supervisor.failed)}" if supervisor.failed else ""
            self._line(status_line(status, restarts, uptime_s) + down)

    def stopping(self) -> None:
        self._line("stopping")

    def _line(self, text: str) -> None:
        self._output.write(f"{text}\n")
        self._output.flush()


class HeadlessDisplay(PlainDisplay):
    """One JSON line on stdout when ready; everything else goes to `log_output`."""

    def __init__(self, log_output: TextIO) -> None:
        super().__init__(log_output, show_status=False)

    def ready(self, addresses: StackAddresses, after_s: float) -> None:
        self._line(f"ready after {after_s:.1f} s")
        sys.stdout.write(headless_line(addresses) + "\n")
        sys.stdout.flush()


class TerminalDisplay(StackDisplay):
    """A checklist while starting, then a live panel; crashes are printed above it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._names: Sequence[str] = ()
        self._scenario = ""

    def starting(self, names: Sequence[str], supervisor: Supervisor) -> None:
        self._names = names
        self._live = Live(
            get_renderable=lambda: checklist(self._names, supervisor.components, supervisor.steps_done),
            console=self._console,
            refresh_per_second=8,
        )
        self._live.start()

    def changed(self, name: str, supervisor: Supervisor) -> None:
        component = supervisor.components.get(name)
        if component and component.state in (ComponentState.WAITING_TO_RESTART, ComponentState.FAILED):
            text = f"{name}: {supervisor.restarts[-1].how}; {component.state.value} (see {component.spec.log_file})"
            self._console.print(Text(text, style="yellow"))

    def ready(self, addresses: StackAddresses, after_s: float) -> None:
        self._end_live()
        for line in where_to_look(addresses, after_s):
            self._console.print(Text(line), soft_wrap=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._live.start()

    def running(self, status: StackStatus, supervisor: Supervisor, uptime_s: float) -> None:
        if status.scenario not in ("", self._scenario):
            self._scenario = status.scenario
            self._console.print(Text(status.scenario, style="bold"), soft_wrap=True)
        if self._live is not None:
            self._live.update(running_panel(status, supervisor.components.values(), uptime_s))

    def stopping(self) -> None:
        self._end_live()
        self._console.print("Stopping; Ctrl-C again stops at once.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_live()

    def _end_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def where_to_look(addresses: StackAddresses, after_s: float) -> list[str]:
    """What to do next, printed when everything runs."""
    reader = addresses.clickhouse_reader
    return [
        f'Ready after {after_s:.1f} s. Look with: tokentide top, or: tokentide sql "SELECT count() FROM events"',
        f"  Board       {addresses.board_url}",
        f"  Collector   {addresses.collector_url}",
        f"  Kafka       {addresses.kafka_bootstrap_servers}",
        f"  ClickHouse  {reader.scheme}://{reader.host}:{reader.port} (database {reader.database}, user {reader.user})",
        f"  Data, logs  {addresses.data_dir}",
    ]


def headless_line(addresses: StackAddresses) -> str:
    """All addresses as one line of JSON."""
    return json.dumps(
        {
            **addresses.model_dump(mode="json", exclude={"pid_started_s"}),
            "clickhouse_url": addresses.clickhouse_writer.url,
            "clickhouse_reader_url": addresses.clickhouse_reader.url,
        }
    )
