"""`tokentide sql`: a query of your own, on the running stack, as a user who can only read."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TABLE_ROWS = 1000
_CHUNK_BYTES = 1 << 16


def command(
    query: Annotated[
        str | None, typer.Argument(help="The SQL; - or nothing reads it from standard input.", show_default=False)
    ] = None,
    output_format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="table, json, ndjson, csv, tsv, markdown, vertical, arrow (IPC stream), parquet, or any output format "
            "that ClickHouse has.",
        ),
    ] = "table",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    clickhouse: Annotated[
        str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
    ] = None,
    user: Annotated[
        Literal["reader", "writer"], typer.Option(help="reader can only read; writer may change and delete.")
    ] = "reader",
) -> None:
    """Run one SQL query and print its result.

    Start with: tokentide sql "SHOW TABLES", or: tokentide sql "SELECT model, sum(total_tokens) AS tokens FROM
    rollup_1m GROUP BY model ORDER BY tokens DESC". Exit status 1 when the query fails, with ClickHouse's message.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError
    from urllib3.exceptions import HTTPError

    from tokentide_deploy.clickhouse_client import connect, error_text, find_account, read_only_settings
    from tokentide_deploy.errors import DeployError
    from tokentide_deploy.sql_view import BINARY_FORMATS, TABLE_FORMAT, UnexpectedAnswerError, clickhouse_format
    from tokentide_deploy.sql_view import split_format as split

    text, own_format = split(_read_query(query))
    if not text:
        raise DeployError("There is no query. Give one as the argument, or pipe it in.")
    try:
        wanted = own_format or (TABLE_FORMAT if output_format == "table" else clickhouse_format(output_format))
    except ValueError as error:
        raise DeployError(f"--format: {error}.") from None
    if wanted in BINARY_FORMATS and sys.stdout.isatty():
        raise DeployError(f"{wanted} is binary and would garble the terminal: redirect it, such as > result.bin")

    account = find_account(data_dir, clickhouse, user)
    client = connect(account)
    started_s = time.monotonic()
    try:
        stream = client.raw_stream(text, fmt=wanted, settings=read_only_settings(client) if user == "reader" else None)
        if own_format is None and output_format == "table":
            _print_table(stream, started_s)
        else:
            _copy(stream, sys.stdout.buffer)
    except BrokenPipeError:
        # Whoever reads has enough, as in `| head`. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ClickHouseError as error:
        raise DeployError(error_text(error)) from error
    except (HTTPError, UnexpectedAnswerError) as error:
        raise DeployError(f"The query failed while its result was being sent: {error_text(error)}") from error
    finally:
        client.close()


def _read_query(argument: str | None) -> str:
    if argument not in (None, "-"):
        return str(argument)
    if argument is None and sys.stdin.isatty():
        return ""
    return sys.stdin.read()


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in _chunks(stream):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _copy(stream: IO[bytes], output: IO[bytes]) -> None:
    for chunk in _chunks(stream):
        output.write(chunk)
    output.flush()


def _print_table(stream: IO[bytes], started_s: float) -> None:
    from rich.console import Console

    from tokentide_deploy.sql_view import read_result, render, summary

    result = read_result(_lines(stream), MAX_TABLE_ROWS)
    elapsed_s = time.monotonic() - started_s
    console = Console(highlight=False)
    options: dict[str, Any] = {}
    if result.names:
        if console.is_terminal:
            console.print(render(result, console.width))
        else:
            # In a pipe nothing is cut: as wide as the widest row.
            widest = Console(width=1_000_000).measure(render(result, None)).maximum
            options["width"] = widest
            console.print(render(result, None), crop=False, soft_wrap=False, **options)
    Console(stderr=True, highlight=False).print(f"[dim]{summary(result, elapsed_s)}[/dim]")
