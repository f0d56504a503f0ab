"""An emitter's counters in a gateway's own Prometheus registry: the declared names, with the emitter's figures."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tokentide_producers.emitter import Emitter
from tokentide_producers.emitter_metrics import EmitterMetrics
from tokentide_schemas.process_metrics import metrics_of


def test_a_gateway_shows_what_its_emitter_has_taken_and_lost(kafka: Any) -> None:
    registry = CollectorRegistry()
    with Emitter(kafka.bootstrap_servers, gateway="gw") as emitter:
        registry.register(EmitterMetrics(emitter))
        emitter.emit(
            request_model="m", provider="p", outcome="ok", input_uncached_tokens=1, output_tokens=1, usage_reported=True
        )
        assert not emitter.emit(provider="p")
        assert emitter.flush(60)
        families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    values = {sample.name: sample.value for family in families for sample in family.samples}
    assert values["tokentide_emitter_accepted_total"] == values["tokentide_emitter_acknowledged_total"] == 1
    assert values["tokentide_emitter_dropped_total"] == 1
    assert set(values) == {one.name for one in metrics_of("gateway")}
