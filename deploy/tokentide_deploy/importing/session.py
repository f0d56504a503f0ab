"""One `tokentide import` command: opens what it needs, imports, and closes it again."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urlsplit

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tokentide_deploy.clickhouse_client import connect, find_account
from tokentide_deploy.data_dir import DataDir, default_data_dir
from tokentide_deploy.errors import DeployError, NoStackRunningError
from tokentide_deploy.importing.stored import Retention, StoredRequests
from tokentide_deploy.stack_state import ClickHouseAccount, load_stack
from tokentide_producers.catalogue_names import configured_catalogue
from tokentide_producers.collector.naming import key_ring, naming
from tokentide_producers.importing.delivering import Delivery, DeliveryStoppedError
from tokentide_producers.importing.events import Context, Format
from tokentide_producers.importing.ledger import Ledger, LedgerError
from tokentide_producers.importing.mapping_file import zone_named
from tokentide_producers.importing.problems import BadRow, ImportSourceError
from tokentide_producers.importing.run import Import, Options, Result
from tokentide_producers.settings import EmitterKeys
from tokentide_schemas.catalogue import Catalogue, CatalogueError
from tokentide_schemas.settings import read_settings

LEDGER_FILE: Final = "import-ledger.sqlite"
DRY_RUN_SAMPLES: Final = 5


class NothingImportedError(DeployError):
    """The source cannot be imported."""

    exit_status = 2


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line says, for every format. time_zone: '' takes the format's own."""

    data_dir: Path | None = None
    kafka: str | None = None
    clickhouse: str | None = None
    ledger: Path | None = None
    gateway: str = ""
    time_zone: str = ""
    dry_run: bool = False
    reject: Path | None = None
    timeout_s: float = 30.0


@dataclass(slots=True)
class Session:
    """An open import. notes: what the user should know besides the counts."""

    choices: Choices
    context: Context
    options: Options
    ledger: Ledger | None
    delivery: Delivery | None
    retention: Retention | None
    notes: list[str]
    resumed_events: int = 0
    without_key: int = 0

    def importing(self, kind: Format, result: Result) -> Import:
        """An import of one format that adds to the result."""
        return Import(kind, self.context, self.options, self.ledger, self.delivery, result)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


@contextmanager
def opened(
    choices: Choices,
    own_zone: dt.tzinfo | None,
    *,
    on_rows: Callable[[int], None] = lambda _rows: None,
    on_acknowledged: Callable[[int], None] = lambda _events: None,
) -> Iterator[Session]:
    """Kafka, store and ledger of a command; pending events of an earlier run are sent first.

    own_zone: of the format's times without a zone. All errors come out as DeployError, with what to do.
    """
    with ExitStack() as stack:
        try:
            yield from _opened(choices, own_zone, on_rows, on_acknowledged, stack)
        except ImportSourceError as error:
            raise NothingImportedError(str(error)) from error
        except LedgerError as error:
            raise DeployError(str(error)[0].upper() + str(error)[1:]) from error
        except DeliveryStoppedError as error:
            raise DeployError(
                f"Kafka does not take the events: {error}. What was read so far is kept in the ledger; look at Kafka, "
                "then give the same command again: it goes on where it was."
            ) from error


def _opened(
    choices: Choices,
    own_zone: dt.tzinfo | None,
    on_rows: Callable[[int], None],
    on_acknowledged: Callable[[int], None],
    stack: ExitStack,
) -> Iterator[Session]:
    notes: list[str] = []
    servers = "" if choices.dry_run and choices.kafka is None else _servers(choices)
    store = _store(choices, notes)
    ledger = _ledger(choices, servers)
    if ledger is not None:
        stack.callback(ledger.close)
    catalogue = _catalogue()
    given = read_settings(EmitterKeys)
    keys = key_ring(given.hash_key.get_secret_value(), given.hash_keys.get_secret_value())
    session: Session

    def count_without_key() -> None:
        session.without_key += 1

    retention = store.retention(now_ms()) if store is not None else None
    context = Context(naming(catalogue, keys, count_without_key), _zone(choices) or own_zone, choices.gateway)
    delivery = None
    if not choices.dry_run:
        assert ledger is not None
        delivery = Delivery(
            ledger,
            servers,
            resolve_model=catalogue.resolve,
            now_ms=now_ms,
            is_stored=store.has_envelope if store is not None else None,
            timeout_s=choices.timeout_s,
            on_acknowledged=on_acknowledged,
        )
        stack.callback(delivery.close)
    options = Options(
        now_ms,
        older_than_ms=retention.raw_from_ms if retention is not None else None,
        samples=DRY_RUN_SAMPLES if choices.dry_run else 0,
        in_store=store.known if store is not None else None,
        on_rows=on_rows,
        on_bad_row=_rejects(choices, stack),
    )
    session = Session(choices, context, options, ledger, delivery, retention, notes)
    if delivery is not None:
        session.resumed_events = delivery.resume()
    yield session
    if delivery is not None:
        delivery.finish()


def _catalogue() -> Catalogue:
    try:
        return configured_catalogue()
    except CatalogueError as error:
        raise NothingImportedError(f"{error}\nCorrect the files that TOKENTIDE_CATALOGUE_PATHS names.") from error


def ledger_path(choices: Choices) -> Path:
    """The ledger of a stack is in its data directory; with it it goes."""
    if choices.ledger is not None:
        return choices.ledger
    return DataDir(choices.data_dir or default_data_dir()).root / LEDGER_FILE


def _ledger(choices: Choices, servers: str) -> Ledger | None:
    path = ledger_path(choices)
    if choices.dry_run:
        # A dry run writes nothing, but tells what is known where there is a ledger.
        return Ledger(path, "") if path.exists() else None
    return Ledger(path, cluster_id(servers))


def _servers(choices: Choices) -> str:
    if choices.kafka is not None:
        if choices.data_dir is None and choices.ledger is None:
            raise DeployError(
                "With --kafka say where the import ledger is to be kept: --ledger FILE. It knows what was imported; "
                "keep it as long as you may import the same rows again."
            )
        return choices.kafka
    return load_stack(choices.data_dir or default_data_dir()).kafka_bootstrap_servers


def _store(choices: Choices, notes: list[str]) -> StoredRequests | None:
    if choices.kafka is not None and choices.clickhouse is None:
        notes.append("The store was not asked which requests it has already: name it with --clickhouse to have that.")
        return None
    try:
        return StoredRequests(connect(find_account(choices.data_dir, choices.clickhouse, "writer")))
    except NoStackRunningError:
        if not choices.dry_run:
            raise
        notes.append("No stack runs, so the store was not asked which requests it has already.")
        return None


def _zone(choices: Choices) -> dt.tzinfo | None:
    try:
        return zone_named(choices.time_zone)
    except ValueError as error:
        raise NothingImportedError(f"--time-zone: {error}") from None


def cluster_id(servers: str) -> str:
    """Kafka's own id of its cluster. Raises DeployError."""
    try:
        metadata: Any = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=10)
    except KafkaException as error:
        raise DeployError(
            f"Kafka at {servers} does not answer: {error.args[0].str()}. Start it, or check the address."
        ) from error
    return str(metadata.cluster_id)


def source_account(url: str) -> ClickHouseAccount:
    """The account of a ClickHouse that is read from; its database is `default` where the URL names none."""
    account = ClickHouseAccount.from_url(url)
    return account if urlsplit(url).path.strip("/") else account.model_copy(update={"database": "default"})


def _rejects(choices: Choices, stack: ExitStack) -> Callable[[BadRow], None]:
    if choices.reject is None:
        return lambda _row: None
    try:
        file: IO[str] = stack.enter_context(choices.reject.open("w", encoding="utf-8"))
    except OSError as error:
        raise NothingImportedError(f"--reject: {choices.reject} cannot be written: {error.strerror}") from None

    def write(row: BadRow) -> None:
        place = row.place
        # Never the row itself: its cells may be anything.
        record = {"source": place.source, place.unit: place.number, "column": row.column, "problem": row.problem}
        file.write(json.dumps(record) + "\n")

    return write


def warn(text: str) -> None:
    """A line for the user, beside the result."""
    sys.stderr.write(f"tokentide import: {text}\n")
