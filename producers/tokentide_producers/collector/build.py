"""The collector's parts put together, for whichever process serves it."""

from __future__ import annotations

from typing import Any, Final

from tokentide_producers.catalogue_names import configured_catalogue
from tokentide_producers.categories.settings import CategorySettings, categorizer_from
from tokentide_producers.collector.access import Access
from tokentide_producers.collector.app import Collector
from tokentide_producers.collector.delivery import Delivery
from tokentide_producers.collector.labelling import Labelling
from tokentide_producers.collector.metrics import Metrics
from tokentide_producers.collector.naming import key_ring, naming
from tokentide_producers.collector.settings import CollectorSettings
from tokentide_producers.rows import RowBuilder
from tokentide_producers.settings import EmitterKeys
from tokentide_schemas.settings import read_settings

_ANY_EVENT: Final = {
    "request_model": "m",
    "provider": "p",
    "outcome": "ok",
    "input_uncached_tokens": 0,
    "output_tokens": 0,
    "usage_reported": True,
}


def build_collector(
    bootstrap_servers: str, settings: CollectorSettings, extra_kafka_config: dict[str, Any] | None = None
) -> Collector:
    """The ASGI application, not started; it connects to Kafka in its lifespan.

    Raises AccessError, TokenFileError, ValueError for settings that must not be served; CatalogueError is one: with a
    catalogue other than the sinks' a model would be stored under two names.
    """
    access = Access(settings.host, settings.token_file)
    keys = None
    for given in (settings, read_settings(EmitterKeys)):
        keys = keys or key_ring(given.hash_key.get_secret_value(), given.hash_keys.get_secret_value())
    metrics = Metrics()
    catalogue = configured_catalogue()

    def count_without_key() -> None:
        metrics.identifiers_without_key += 1

    delivery = Delivery(
        bootstrap_servers,
        settings=settings.sender,
        resolve_model=catalogue.resolve,
        batch_wait_s=settings.batch_wait_s,
        ack_timeout_s=settings.ack_timeout_s,
        stalled_after_s=settings.stalled_after_s,
        on_latency=metrics.observe_latency,
        extra_kafka_config=extra_kafka_config,
    )
    row, _ = RowBuilder().from_fields(_ANY_EVENT, now_ms=0)
    delivery.warm_up(row)
    # The collector never sees text: there is nothing for a classifier.
    categories = categorizer_from(CategorySettings(), with_classifier=False)
    labelling = Labelling(categories, catalogue.resolve)
    return Collector(settings, access, delivery, naming(catalogue, keys, count_without_key), metrics, labelling)
