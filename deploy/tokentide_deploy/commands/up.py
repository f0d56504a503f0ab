"""`tokentide up`: the embedded stack in one terminal."""

from pathlib import Path
from typing import Annotated

import typer

from tokentide_deploy.ports import DEFAULT_PORT_BASE

SCENARIOS = ("launch", "outage", "price-cut")
"""Those of the simulator, whose module is not imported here because help must not wait for it; a test compares."""


def _known_scenario(given: str | None) -> str | None:
    if given is not None and given not in SCENARIOS:
        raise typer.BadParameter(f"there is no scenario {given!r}; use {', '.join(SCENARIOS)}")
    return given


def command(
    demo: Annotated[
        bool, typer.Option("--demo", help="Add simulated gateways, so that there is something to see.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Events per second of the simulated gateways.")] = 2000.0,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="What happens in the demo after 90 s: launch, outage or price-cut. A fresh stack gets 20 minutes of "
            "history first, so that the alerts know what is normal.",
            callback=_known_scenario,
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that holds everything of one stack.", show_default="the user's data folder"),
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Print one JSON line with all addresses when ready, nothing else.")
    ] = False,
    port_base: Annotated[int, typer.Option(help="Move all ports; 0 picks free ones.")] = DEFAULT_PORT_BASE,
    kafka: Annotated[str | None, typer.Option(help="host:port of a Kafka to use instead of the embedded one.")] = None,
    clickhouse: Annotated[
        str | None, typer.Option(help="http://user:password@host:port/database to use instead of the embedded store.")
    ] = None,
    partitions: Annotated[
        int, typer.Option(min=1, max=1024, help="Partitions of the usage topic, when it is made.")
    ] = 4,
    board_host: Annotated[
        str, typer.Option(help="Address of the board; beyond loopback its readers need the token that is printed.")
    ] = "127.0.0.1",
) -> None:
    """Run the whole platform in this terminal: Kafka, store, stream worker, sinks. Ctrl-C stops it cleanly.

    The first start fetches Apache Kafka (45 MB). Exit status: 1 when something did not start, 3 when the data folder
    is in use by another stack, 4 when a port is taken.
    """
    if scenario and not demo:
        raise typer.BadParameter("belongs to the simulated gateways: add --demo", param_hint="--scenario")
    # Imported here: help must not wait for the Kafka client and the rest.
    from tokentide_deploy.data_dir import default_data_dir
    from tokentide_deploy.stack import StackOptions, run_stack

    options = StackOptions(
        data_dir=data_dir or default_data_dir(),
        simulated_events_per_s=rate if demo else None,
        scenario=scenario,
        headless=headless,
        port_base=port_base,
        kafka=kafka,
        clickhouse=clickhouse,
        partitions=partitions,
        board_host=board_host,
    )
    raise typer.Exit(run_stack(options))
