"""Categories of instrumented clients' calls: rules over labels that are not stored, and a classifier in the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from producers.conftest import MockKafka
from producers.upstream.answers import MARKER, MESSAGES, completion, message
from producers.upstream.server import Upstream, whole
from tokentide_producers.categories import Categorizer, SampledClassifier, load_category_rules
from tokentide_producers.categories.inputs import Excerpt
from tokentide_producers.clients import instrument, labels
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings
from tokentide_schemas.block import assemble
from tokentide_schemas.envelope import decode

RULES = """\
rules:
  - name: shop
    when: {tag: {glob: "team:shop-*"}, route: {prefix: /v1}, referer_host: app.example}
    category: marketing
"""


class Reader:
    """Takes everything for science, and remembers what it was shown."""

    def __init__(self) -> None:
        self.read: list[Excerpt] = []

    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        self.read.append(excerpt)
        return "science", "", 0.9


@pytest.mark.parametrize("rate", [1.0, 1e-12])
def test_rules_see_the_labels_and_the_classifier_the_words_of_sampled_calls_only(
    kafka: MockKafka, upstream: Upstream, tmp_path: Path, rate: float
) -> None:
    rules, reader = tmp_path / "categories.yaml", Reader()
    rules.write_text(RULES)
    categories = Categorizer(rules=load_category_rules(rules), classifier=SampledClassifier(reader, rate=rate))
    upstream.replies += [whole(completion()), whole(completion()), whole(completion()), whole(message())]
    settings = EmitterSettings(label_wait_s=60)
    with Emitter(kafka.bootstrap_servers, resolve_model=str, categories=categories, settings=settings) as emitter:
        client = instrument(openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="none"), emitter)
        claude: Any = instrument(anthropic.Anthropic(base_url=upstream.url, api_key="none"), emitter)
        with labels(tags=["team:shop-eu"], route="/v1/chat", referer="https://app.example/x"):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        with labels(category="legal"):
            client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
        claude.messages.create(model="claude-sonnet-4-0", max_tokens=9, messages=MESSAGES, system="be brief")
        assert emitter.flush(90)
    records = kafka.records()
    rows = sorted(assemble([decode(one) for one in records]).table.to_pylist(), key=lambda row: row["event_id"])
    unlabelled = ("science", "classifier") if rate == 1 else ("", "none")
    labelled = [("marketing", "rule"), ("legal", "gateway"), unlabelled, unlabelled]
    assert [(row["category"], row["category_source"]) for row in rows] == labelled
    if rate == 1:
        assert reader.read[-1] == Excerpt(f"question {MARKER}", "be brief")
    else:
        assert reader.read == []
    assert not any(
        text in (record.value or b"") for record in records for text in (MARKER.encode(), b"brief", b"team:")
    )
