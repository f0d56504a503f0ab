"""`tokentide health`: what a container's health check runs."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    port: Annotated[
        int, typer.Option(envvar="TOKENTIDE_HEALTH_PORT", min=1, max=65535, help="Port of the process's health page.")
    ],
    live: Annotated[bool, typer.Option("--live", help="Ask whether it is alive, not whether it is ready.")] = False,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="How long it may take to answer.")] = 5.0,
) -> None:
    """Ask the process on this machine (same container) whether it is ready. Exit status 0 for yes, 1 for no."""
    import http.client

    path = "/healthz" if live else "/readyz"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(2_000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        typer.echo(f"http://127.0.0.1:{port}{path}: {type(error).__name__}: {error}", err=True)
        raise typer.Exit(1) from None
    finally:
        connection.close()
    typer.echo(body)
    raise typer.Exit(0 if answer.status == http.client.OK else 1)
