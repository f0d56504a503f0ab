"""Every process of a running stack answers /healthz, /readyz and /metrics, with the declared metrics and no others."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from end_to_end.harness import Stack, wait_until
from tokentide_deploy.commands.up_components import WITH_HEALTH
from tokentide_deploy.stack_state import load_stack
from tokentide_schemas.process_metrics import METRICS, Kind, declared_names

pytestmark = [pytest.mark.embedded]

ONLY_SOMETIMES = {
    # Before anything of their kind has happened there is nothing to count.
    "tokentide_stream_watermark_age_seconds",
    "tokentide_alerts_evaluated_age_seconds",
    "tokentide_notify_waiting",
    "tokentide_collector_requests_total",
    "tokentide_collector_events_accepted_total",
    "tokentide_collector_events_rejected_total",
    "tokentide_collector_content_fields_dropped_total",
    "tokentide_board_requests_total",
    # Of the instance that is at work, which may be a moment away.
    *(one.name for one in METRICS if one.process == "shares" and one.source not in ("is_active", "lag_records")),
}


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def names_in(text: str) -> set[str]:
    found = set()
    for family in text_string_to_metric_families(text):
        found.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return found


@pytest.mark.parametrize("process", WITH_HEALTH)
def test_a_process_is_alive_and_ready_and_serves_its_declared_metrics(stack: Stack, process: str) -> None:
    url = load_stack(stack.data_dir).components[process].health_url
    assert url is not None
    wait_until(lambda: get(f"{url}/readyz")[0] == 200, f"{process} to be ready: {get(f'{url}/readyz')[1]}", 120)
    assert get(f"{url}/healthz")[0] == 200
    expected = declared_names(process)
    wait_until(lambda: expected - ONLY_SOMETIMES <= names_in(get(f"{url}/metrics")[1]), f"all metrics of {process}")
    served = names_in(get(f"{url}/metrics")[1])
    assert served <= expected, f"undeclared: {served - expected}"
    kinds = {one.name: one.kind for one in METRICS}
    for family in text_string_to_metric_families(get(f"{url}/metrics")[1]):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert Kind(family.type) is kinds[name], name
