"""`tokentide migrate`: topics, tables and the cubes of the configuration."""

import time
from pathlib import Path
from typing import Annotated

import typer


def command(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the running stack.", show_default="the user's data folder")
    ] = None,
    kafka: Annotated[str | None, typer.Option(help="host:port of Kafka, instead of a running stack's.")] = None,
    clickhouse: Annotated[
        str | None, typer.Option(help="http://user:password@host:port/database instead of a running stack's store.")
    ] = None,
    cubes_file: Annotated[
        Path | None, typer.Option(envvar="TOKENTIDE_CUBES_FILE", help="TOML file with cubes of your own.")
    ] = None,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of topics that are created.")] = 4,
    replication_factor: Annotated[
        int, typer.Option(min=1, help="Replicas of topics that are created: 3 on a cluster of three brokers or more.")
    ] = 1,
    cluster: Annotated[
        str,
        typer.Option(envvar="TOKENTIDE_CLICKHOUSE_CLUSTER", help="Name of the ClickHouse cluster; empty: one node."),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the statements that would run and change nothing.")
    ] = False,
) -> None:
    """Bring topics, tables, views and the catalogue to this version and to the configured cubes; safe to run again.

    Afterwards restart worker and rollup sink with the same cubes file. Exit status 1, with the reason, when something
    does not fit.
    """
    from tokentide_deploy.clickhouse_client import find_account, find_kafka
    from tokentide_deploy.errors import DeployError
    from tokentide_deploy.kafka_topics import TopicSetupError, ensure_topics
    from tokentide_schemas.catalogue import CatalogueError, load_catalogue
    from tokentide_schemas.cluster_ddl import Cluster
    from tokentide_schemas.cube_file import CubeFileError, load_cubes
    from tokentide_schemas.settings import CatalogueSettings, load_settings
    from tokentide_sinks.catalogue_loader import load_into_store
    from tokentide_sinks.cube_tables import create_cubes, missing_cubes
    from tokentide_sinks.migrate import MigrationError, migrate, planned, planned_statements
    from tokentide_sinks.store import Store, StoreError

    try:
        # First the file: nothing is changed for a configuration that cannot be used.
        cubes = load_cubes(cubes_file)
        paths = load_settings(CatalogueSettings).catalogue_paths
        catalogue = load_catalogue(paths)
        kafka = find_kafka(data_dir, kafka)
        clickhouse = find_account(data_dir, clickhouse, "writer").url
        store = Store(clickhouse)
        where = Cluster(cluster, store.database) if cluster else None
        if dry_run:
            topics = []
            applied = planned(store)
            new = missing_cubes(store, cubes)
            loaded = None
            for statement in planned_statements(applied, where):
                typer.echo(f"{statement}\n;")
        else:
            missing_cubes(store, cubes)
            topics = ensure_topics(kafka, partitions, replication_factor)
            applied = migrate(store, where)
            new = create_cubes(store, cubes, where)
            loaded = load_into_store(store, catalogue, paths, int(time.time() * 1000))
    except (CatalogueError, CubeFileError, MigrationError, TopicSetupError, StoreError) as error:
        raise DeployError(str(error)) from error
    verb = "would" if dry_run else "did"
    for topic in topics:
        typer.echo(f"created topic {topic}")
    for migration in applied:
        typer.echo(f"{verb} apply migration {migration.number:04d} {migration.name}")
    for name in new:
        typer.echo(f"{verb} create the table of cube {name}")
    if loaded is not None and loaded.is_new:
        typer.echo(f"did load catalogue {loaded.version}: {loaded.models} models, {loaded.prices} prices")
    did = topics or applied or new or (loaded is not None and loaded.is_new)
    typer.echo(f"{len(cubes)} cubes configured" + ("" if did else "; nothing to do"))
