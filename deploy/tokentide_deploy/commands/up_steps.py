"""The one-time step between the store's start and the first consumer's."""

import time
from collections.abc import Sequence
from pathlib import Path

from tokentide_deploy.errors import StartError
from tokentide_deploy.kafka_topics import TopicSetupError, ensure_topics
from tokentide_deploy.stack_state import StackAddresses
from tokentide_schemas.catalogue import CatalogueError, load_catalogue
from tokentide_schemas.cube_file import CubeFileError, load_cubes
from tokentide_schemas.settings import CatalogueSettings, CubeSettings, load_settings
from tokentide_sinks.catalogue_loader import load_into_store
from tokentide_sinks.cube_tables import create_cubes
from tokentide_sinks.migrate import MigrationError, migrate
from tokentide_sinks.store import Store, StoreError


def prepare(addresses: StackAddresses, partitions: int, catalogue_paths: Sequence[Path] | None = None) -> None:
    """Bring the store's tables and the Kafka topics to what this version needs; safe to run at every start.

    The catalogue goes into the store as well: the shipped one with `catalogue_paths` on top (None: the setting's).
    Raises StartError with the reason and what to do.
    """
    paths = load_settings(CatalogueSettings).catalogue_paths if catalogue_paths is None else tuple(catalogue_paths)
    try:
        cubes = load_cubes(load_settings(CubeSettings).cubes_file)
        ensure_topics(addresses.kafka_bootstrap_servers, partitions)
        store = Store(addresses.clickhouse_writer.url)
        migrate(store)
        create_cubes(store, cubes)
        load_into_store(store, load_catalogue(paths), paths, int(time.time() * 1000))
    except (TopicSetupError, MigrationError, StoreError) as error:
        raise StartError(f"The topics or tables cannot be prepared: {error}") from error
    except CubeFileError as error:
        raise StartError(str(error)) from error
    except CatalogueError as error:
        raise StartError(f"{error}\nCorrect the files that TOKENTIDE_CATALOGUE_PATHS names.") from error
