"""The first event of the page for curl is taken as it is written, and every setting of the page exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx

from producers.collector.serving import Topic, counted
from tokentide_producers.collector.settings import CollectorSettings

PAGES = Path(__file__).parents[3] / "docs" / "gateways"


def test_the_first_event_of_the_page_is_taken_as_it_is_written(collector: httpx.Client, fresh: Topic) -> None:
    page = (PAGES / "curl.md").read_text()
    command, answer = re.findall(r"```(?:sh|json)\n(.*?)```", page, flags=re.DOTALL)[:2]
    command = command.replace("http://127.0.0.1:29091", str(collector.base_url).rstrip("/"))
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == json.loads(answer)
    (stored,) = counted(fresh.take())
    assert stored["input_uncached_tokens"] == 1200


def test_every_setting_of_the_page_exists_with_its_default() -> None:
    page = (PAGES / "collector.md").read_text()
    table = page.split("## Limits")[1].split("## Tokens")[0]
    named = {name.lower() for name in re.findall(r"`([A-Z_]+)`", table)}
    fields = CollectorSettings.model_fields
    assert named <= fields.keys()
    assert fields.keys() - named <= {"host", "port", "token_file", "sender"}
    defaults = CollectorSettings()
    assert f"{defaults.max_body_bytes // 2**20} MiB" in table and f"{defaults.max_unpacked_bytes // 2**20} MiB" in table
    assert f"{defaults.max_events:,}" in table and f"{defaults.max_in_flight_bytes // 2**20} MiB" in table
