"""What each part needs and nothing more, declared. Pure; a test runs every part with these rights alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tokentide_schemas import topics
from tokentide_schemas.alert_delivery_tables import ALERT_DELIVERIES_TABLE
from tokentide_schemas.alert_tables import ALERT_CHANGES_TABLE
from tokentide_schemas.catalogue_tables import stored_in
from tokentide_schemas.cubes import Cube, stored_cubes
from tokentide_schemas.kept_views import KEPT_VIEWS_TABLE, VIEWS
from tokentide_schemas.rollup_sums import SUMMED_WEEKS_TABLE, has_sums, sums_table_name
from tokentide_schemas.share_tables import SHARES_FINAL_TABLE, SHARES_LIVE_TABLE
from tokentide_sinks.kafka import GROUP_EVENTS, GROUP_ROLLUPS
from tokentide_sinks.notify.notifier import GROUP_NOTIFY
from tokentide_stream.alerting.topic import TRANSACTIONAL_ID

EVERYTHING: Final = ("*",)
"""Every table and view of the platform's database."""
_EVERY_TOPIC: Final = tuple(one.name for one in topics.topics())
_EVERY_GROUP: Final = (topics.STREAM_APP_ID, topics.SHARES_APP_ID, GROUP_EVENTS, GROUP_ROLLUPS, GROUP_NOTIFY)


@dataclass(frozen=True, slots=True)
class KafkaRights:
    """Names of topics, except for `groups` (consumer groups that it joins or asks), `sees_groups` and `transactions`
    (transactional ids). Each right implies Describe. creates: topics whose creation is asked for at each start."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    describes: tuple[str, ...] = ()
    sees_settings: tuple[str, ...] = ()
    alters_settings: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    sees_groups: tuple[str, ...] = ()
    transactions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreRights:
    """Names of tables and views. deletes: partitions may be dropped. system: tables of ClickHouse's own database.
    limited: read-only, within the readers' limits."""

    selects: tuple[str, ...] = ()
    inserts: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    optimizes: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    reloads_dictionaries: bool = False
    owns_database: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Rights:
    """What one part may do. what: who it is, in a line. None: it never connects there."""

    what: str
    kafka: KafkaRights | None = None
    store: StoreRights | None = None


def rights(cubes: Sequence[Cube]) -> MappingProxyType[str, Rights]:
    """Part -> its rights. cubes: whose tables exist, the user's own among them."""
    partials = tuple(cube.partials_table for cube in stored_cubes(cubes))
    sums = tuple(sums_table_name(cube) for cube in stored_cubes(cubes) if has_sums(cube))
    kept = tuple(view.table for view in VIEWS)
    marks = (KEPT_VIEWS_TABLE, SUMMED_WEEKS_TABLE)
    users = ("user_months", "users_1d", "user_requests_1d", "user_progress")
    samples = ("pipeline_samples",)
    sends = KafkaRights(writes=(topics.USAGE,))
    return MappingProxyType(
        {
            "gateway": Rights("Emitters and LiteLLM: they add usage events and read nothing.", sends),
            "collector": Rights("Takes events over HTTP and adds them.", sends),
            "worker": Rights(
                "Faust worker.",
                KafkaRights(
                    reads=(topics.USAGE, topics.CHECKPOINTS),
                    writes=(topics.ROLLUPS, topics.CHECKPOINTS),
                    creates=(topics.CHECKPOINTS,),
                    groups=(topics.STREAM_APP_ID, f"{topics.STREAM_APP_ID}-gap"),
                ),
            ),
            "shares": Rights(
                "Merges all partitions.",
                KafkaRights(
                    reads=(topics.ROLLUPS, topics.SHARES_CHECKPOINTS),
                    writes=(topics.SHARES, topics.SHARES_CHECKPOINTS),
                    creates=(topics.SHARES_CHECKPOINTS,),
                    describes=(topics.USAGE,),
                    groups=(topics.SHARES_APP_ID,),
                ),
            ),
            "events-sink": Rights(
                "Raw events, exactly once.",
                KafkaRights(reads=(topics.USAGE,), writes=(topics.DEAD_LETTERS,), groups=(GROUP_EVENTS,)),
                StoreRights(
                    selects=("ingest_ledger",),
                    inserts=("events", "ingest_ledger", "dead_letters", *samples),
                ),
            ),
            "rollups-sink": Rights(
                "Rollups, shares, alerts.",
                KafkaRights(reads=(topics.ROLLUPS, topics.SHARES, topics.ALERTS), groups=(GROUP_ROLLUPS,)),
                StoreRights(
                    inserts=(
                        *partials,
                        "stream_watermarks",
                        "stream_coverage",
                        SHARES_LIVE_TABLE,
                        SHARES_FINAL_TABLE,
                        ALERT_CHANGES_TABLE,
                        ALERT_DELIVERIES_TABLE,
                        *samples,
                    ),
                ),
            ),
            "maintenance": Rights(
                "Distinct users, sums of weeks, kept views, names of models.",
                store=StoreRights(
                    selects=EVERYTHING,
                    inserts=(
                        *users,
                        *sums,
                        *kept,
                        *marks,
                        stored_in("catalogue_aliases"),
                    ),
                    deletes=(*sums, *kept),
                    optimizes=partials,
                    system=("parts",),
                    reloads_dictionaries=True,
                ),
            ),
            "alerts": Rights(
                "Alert engine: reads rollups, writes alerts.",
                KafkaRights(
                    reads=(topics.ALERTS,),
                    writes=(topics.ALERTS,),
                    describes=(topics.USAGE,),
                    groups=(TRANSACTIONAL_ID,),
                    transactions=(TRANSACTIONAL_ID,),
                ),
                StoreRights(selects=EVERYTHING, limited=True),
            ),
            "notify": Rights(
                "Tells alerts, and writes what became of it.",
                KafkaRights(reads=(topics.ALERTS,), writes=(topics.ALERTS,), groups=(GROUP_NOTIFY,)),
            ),
            "board": Rights("Dashboards in the browser.", store=StoreRights(selects=EVERYTHING, limited=True)),
            "grafana": Rights("Dashboards in Grafana.", store=StoreRights(selects=EVERYTHING, limited=True)),
            "verify": Rights(
                "tokentide verify and doctor: look at everything, change nothing.",
                KafkaRights(
                    describes=_EVERY_TOPIC,
                    sees_settings=_EVERY_TOPIC,
                    groups=(GROUP_EVENTS, "tokentide-verify"),
                    sees_groups=_EVERY_GROUP,
                ),
                StoreRights(selects=EVERYTHING, system=("parts", "disks", "mutations")),
            ),
            "migrate": Rights(
                "tokentide migrate, dlq, prices, forget, retention: what an operator does.",
                KafkaRights(
                    reads=(topics.USAGE,),
                    writes=(topics.USAGE, topics.DEAD_LETTERS),
                    creates=_EVERY_TOPIC,
                    describes=_EVERY_TOPIC,
                    sees_settings=_EVERY_TOPIC,
                    alters_settings=_EVERY_TOPIC,
                    groups=("tokentide-dlq",),
                ),
                StoreRights(owns_database=True, system=("parts", "disks", "mutations"), reloads_dictionaries=True),
            ),
        }
    )
