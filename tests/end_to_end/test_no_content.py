"""No prompt and no answer is in the store, a topic, a log or a spool: every way in carries a marker, none is found."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from confluent_kafka import Producer
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode

from end_to_end.content_search import FOREIGN_MARKERS, MARKERS, places_with_content
from end_to_end.harness import Stack, wait_until
from producers.collector.serving import EVENT, running_collector
from producers.collector.test_malformed import KINDS
from producers.collector.test_privacy import marked_spans
from producers.upstream.answers import MARKER as UPSTREAM_MARKER
from producers.upstream.answers import MESSAGES, TOOLS, chunks, completion, message, tool_call
from producers.upstream.server import Upstream, events, whole
from tokentide_producers.categories import Categorizer, CategoryInput, SampledClassifier
from tokentide_producers.categories.builtin import load_builtin_classifier
from tokentide_producers.categories.inputs import Excerpt
from tokentide_producers.clients import instrument, labels
from tokentide_producers.emitter import Emitter
from tokentide_producers.settings import EmitterSettings, SpoolSettings
from tokentide_schemas.topics import USAGE

MARKER = "MARKER-every-path-2e9d"
FOREIGN = "MARKER-foreign-81ab"
PROMPT = f"Write a Python function that sorts a list. {MARKER}"
GATEWAY = "no-content"
CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5"}
LIBRARIES = ("openai", "anthropic", "httpx", "httpcore", "urllib3", "opentelemetry")
"""They log bodies when they are asked to debug; that is theirs."""

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


@pytest.fixture
def debug_log(tmp_path: Path) -> Iterator[Path]:
    """Everything that this process logs, from DEBUG on, with tracebacks."""
    path = tmp_path / "debug.log"
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    handler.addFilter(lambda record: not record.name.startswith(LIBRARIES))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield path
    root.setLevel(level)
    root.removeHandler(handler)
    handler.close()


def fields(**more: Any) -> dict[str, Any]:
    return {**{name: value for name, value in EVENT.items() if name != "occurred_at"}, **more}


class _Quotes:
    """A classifier whose failure quotes what it has read."""

    def classify(self, excerpt: Excerpt) -> tuple[str, str, float]:
        raise ValueError(f"cannot classify {excerpt.user!r}")


class _Unreadable:
    def __str__(self) -> str:
        raise ValueError(MARKER)

    __repr__ = __str__


def by_the_emitter(servers: str, model: Any, settings: EmitterSettings | None = None) -> int:
    """Events that were accepted."""
    log = logging.getLogger("gateway")
    categories = Categorizer(classifier=SampledClassifier(model, rate=1))
    settings = settings or EmitterSettings(hash_key="a secret", label_wait_s=30)
    with Emitter(
        servers,
        gateway=GATEWAY,
        settings=settings,
        categories=categories,
        on_drop=lambda reason, events, detail: log.warning("%s %s %s", reason, events, detail),
    ) as emitter:
        asked = CategoryInput(messages=[{"role": "user", "content": PROMPT}])
        assert emitter.emit(**fields(user_hash=emitter.hash(MARKER)), category_input=asked)
        refused = [
            emitter.emit(**fields(prompt=PROMPT)),
            emitter.emit(**fields(**{MARKER: 1})),
            emitter.emit(**fields(output_tokens=PROMPT)),
            emitter.emit(**fields(finish_reason=PROMPT * 20)),
            emitter.emit(**fields(country=MARKER)),
            emitter.emit(**fields(app=_Unreadable())),
            emitter.emit(**fields(), category_input=PROMPT),  # type: ignore[arg-type]
        ]
        for result in refused:
            assert not result and MARKER not in f"{result} {result!r}"
        with pytest.raises(RuntimeError), emitter.request(request_model="gpt-5", provider="openai") as request:
            request.categorize(messages=[{"role": "user", "content": PROMPT}])
            raise RuntimeError(f"the provider said {MARKER}")

        def broken() -> dict[str, Any]:
            raise ValueError(f"while reading {PROMPT}")

        assert emitter.emit_later(broken)
        assert emitter.emit_later(lambda: {"prompt": PROMPT})
        assert emitter.flush(90) or emitter.stats().spooled
        log.info("%s %s", emitter.stats(), categories.stats())
    return 2


def by_the_clients(servers: str) -> int:
    tools = [tool_call(0)]
    with Upstream() as upstream, Emitter(servers, gateway=GATEWAY) as emitter:
        upstream.replies += [
            whole(completion(message={"tool_calls": tools})),
            events(chunks()),
            whole({"error": {"message": UPSTREAM_MARKER, "code": UPSTREAM_MARKER, "type": UPSTREAM_MARKER}}, 400),
            whole(message()),
            whole({"type": "error", "error": {"type": "overloaded_error", "message": UPSTREAM_MARKER}}, 529),
        ]
        client = openai.OpenAI(base_url=f"{upstream.url}/v1", api_key=MARKER, max_retries=0)
        claude = anthropic.Anthropic(base_url=upstream.url, api_key=MARKER, max_retries=0)
        instrument(client, emitter)
        instrument(claude, emitter)
        chat: Any = client.chat.completions
        asked: Any = {"model": "claude-sonnet-4-0", "max_tokens": 9, "messages": MESSAGES}
        with labels(user=MARKER, session=MARKER, country=MARKER):
            chat.create(model="gpt-4o", messages=MESSAGES, tools=TOOLS)
        list(chat.create(model="gpt-4o", messages=MESSAGES, stream=True))
        with pytest.raises(openai.BadRequestError):
            chat.create(model="gpt-4o", messages=MESSAGES)
        claude.messages.create(**asked)
        with pytest.raises(anthropic.APIStatusError):
            claude.messages.create(**asked)
        assert emitter.flush(90)
    return 5


def by_http(post: httpx.Client) -> int:
    event = {**EVENT, "gateway": GATEWAY, "category_input": {"route": "/v1", "messages": PROMPT}}
    for body in ({**event, "prompt": PROMPT, "messages": [PROMPT]}, {**event, "completion": {"deep": [PROMPT]}}):
        assert post.post(f"/v1/events?q={MARKER}", json=body, headers={"x-prompt": MARKER}).status_code == 200
    refused = [
        post.post("/v1/events", json={**event, MARKER: MARKER}),
        post.post("/v1/events", json={**event, "output_tokens": PROMPT, "event_id": PROMPT}),
        post.post("/v1/events", content=PROMPT, headers={"content-type": f"text/{MARKER}"}),
        post.post("/v1/events", content=PROMPT, headers={"content-type": "application/vnd.apache.arrow.stream"}),
        post.post("/v1/traces", content=PROMPT, headers={"content-type": "application/x-protobuf"}),
        post.get(f"/{MARKER}", headers={"authorization": f"Bearer {MARKER}"}),
    ]
    assert all(400 <= answer.status_code < 500 and MARKER not in answer.text for answer in refused)
    for path in ("/v1/traces", "/v1/openrouter"):
        assert post.post(path, json=marked_spans()).status_code == 200
    rng = random.Random(5)
    for number in range(60):
        path, headers, body = KINDS[number % len(KINDS)](rng)
        assert post.post(path, headers=headers, content=body).status_code < 500
    return 2


def by_opentelemetry(url: str) -> int:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=60)))
    said = {"gen_ai.input.messages": PROMPT, "gen_ai.output.messages": PROMPT, "tokentide.gateway": GATEWAY}
    span = provider.get_tracer(MARKER).start_span(f"chat {MARKER}", attributes={**CALL, **said, "note": PROMPT})
    span.add_event(MARKER, {"gen_ai.prompt": PROMPT})
    span.record_exception(ConnectionResetError(PROMPT))
    span.set_status(Status(StatusCode.ERROR, PROMPT))
    span.end()
    assert provider.force_flush(60_000)
    provider.shutdown()
    return 1


def by_import(stack: Stack, folder: Path) -> int:
    mapping, rows, rejected = folder / "map.toml", folder / "in" / "rows.csv", folder / "said" / "rejected.ndjson"
    mapping.write_text(
        f'namespace = "{GATEWAY}"\nid = "call"\n[columns]\noccurred_at = "at"\nrequest_model = "model"\n'
        'input_total_tokens = "tin"\noutput_total_tokens = "tout"\ncountry = "land"\n[constants]\nprovider = "openai"\n'
    )
    rows.parent.mkdir()
    now = "2026-01-31T12:00:00Z"
    lines = [f"1,{now},gpt-4o,5,6,DE,{MARKER}", f"2,{now},gpt-4o,{MARKER},6,DE,", f"3,{MARKER},gpt-4o,5,6,DE,"]
    lines += [f"4,{now},gpt-4o,5,6,{MARKER},", f"5,{now},{MARKER * 30},5,6,DE,", f"6,{now},{MARKER}"]
    rows.write_text("\n".join(["call,at,model,tin,tout,land,prompt", *lines]) + "\n")
    given = ("import", "mapped", str(rows), "--mapping", str(mapping), "--reject", str(rejected), "--timeout-s", "120")
    for more in (("--dry-run",), ()):
        done = stack.run(*given, *more, check=False)
        assert done.returncode == 3, done.stderr
        (folder / "said" / f"import{len(more)}.txt").write_text(done.stdout + done.stderr)
    return 0  # of January: raw rows may be gone with the next clean-up


def past_all_producers(stack: Stack, folder: Path) -> int:
    """As strangers write: straight into the topic. Dead letters that have to come."""
    before = stack.value("SELECT count() FROM dead_letters FINAL")
    producer = Producer({"bootstrap.servers": stack.kafka})
    event = {**EVENT, "gateway": GATEWAY}
    values = [
        json.dumps({**event, "prompt": FOREIGN}),
        json.dumps({**event, "output_tokens": FOREIGN}),
        json.dumps({**event, FOREIGN: 1, "country": FOREIGN}),
        json.dumps(FOREIGN),
        f'{{"prompt": "{FOREIGN}',
    ]
    headers: list[tuple[str, str | bytes | None]] = [("note", FOREIGN.encode())]
    for value in values:
        producer.produce(USAGE, value.encode(), key=FOREIGN, headers=[("content-type", b"application/json"), *headers])
    producer.produce(USAGE, FOREIGN.encode(), headers=[("content-type", FOREIGN.encode()), *headers])
    arrow = [("content-type", b"application/vnd.apache.arrow.stream"), *headers]
    producer.produce(USAGE, FOREIGN.encode(), headers=arrow)  # type: ignore[arg-type]
    assert producer.flush(60) == 0
    count = len(values) + 2
    wait_until(lambda: stack.value("SELECT count() FROM dead_letters FINAL") >= before + count, "the dead letters", 120)
    for arguments in (("dlq", "list"), ("dlq", "list", "--format", "json"), ("verify", "--wait-s", "60")):
        done = stack.run(*arguments, check=False)
        (folder / f"{'-'.join(arguments[:2])}-{len(arguments)}.txt").write_text(done.stdout + done.stderr)
    return count


def test_no_marker_is_found_anywhere_after_it_was_on_every_path(stack: Stack, tmp_path: Path, debug_log: Path) -> None:
    said, spool = tmp_path / "said", tmp_path / "spool"
    said.mkdir()
    sent = by_the_emitter(stack.kafka, load_builtin_classifier()) + by_the_emitter(stack.kafka, _Quotes())
    spooling = EmitterSettings(spool=SpoolSettings(directory=spool, after_s=0.2), hash_key="a secret")
    by_the_emitter("127.0.0.1:1", _Quotes(), spooling)
    assert list(spool.glob("*.spool"))
    sent += by_the_clients(stack.kafka)
    url = str(stack.ready["collector_url"])
    wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200, "the collector")
    with httpx.Client(base_url=url, timeout=30) as client:
        sent += by_http(client) + by_opentelemetry(url)
    with running_collector(stack.kafka) as client:  # in this process, whose log has everything
        sent += by_http(client)
        (said / "metrics.txt").write_text(client.get("/metrics").text)
    sent += by_import(stack, tmp_path)
    past_all_producers(stack, said)
    counted = f"SELECT count() FROM events WHERE gateway = '{GATEWAY}'"
    wait_until(lambda: stack.value(counted) >= sent, f"{sent} events in the store", 120)
    assert {MARKER, UPSTREAM_MARKER} <= set(MARKERS) and FOREIGN in FOREIGN_MARKERS
    assert debug_log.stat().st_size > 0
    assert places_with_content(stack, debug_log, said, spool) == []


def test_the_search_finds_a_marker_in_each_kind_of_place(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label is stored as it is: a search for one has to find it, or the search above means nothing."""
    planted = "PLANTED-61f7"
    monkeypatch.setattr("end_to_end.content_search.MARKERS", (planted,))
    monkeypatch.setattr("end_to_end.content_search.FOREIGN_MARKERS", ("nothing of this kind",))
    assert places_with_content(stack, tmp_path) == []
    with Emitter(stack.kafka, gateway="planted", resolve_model=str) as emitter:
        assert emitter.emit(**fields(app=planted, model=f"{planted}/model", tenant=planted))
        assert emitter.flush(60)
    keyed = Producer({"bootstrap.servers": stack.kafka})
    keyed.produce(USAGE, json.dumps({**EVENT, "gateway": "planted-key"}), key=planted)
    keyed.flush(30)
    (tmp_path / "a.log").write_bytes(b"\0\xff" + planted.encode())
    kinds = ("table events", "table rollup", f"topic {USAGE}", "topic tokentide.rollups.v1")
    kinds += ("topic tokentide-stream-v1-checkpoints", f"file {tmp_path / 'a.log'}")
    found: list[str] = []

    def all_found() -> bool:
        # Rollups and checkpoints follow the events after a while.
        found[:] = places_with_content(stack, tmp_path)
        return all(any(place.startswith(kind) for place in found) for kind in kinds)

    wait_until(all_found, f"{planted} in each of {kinds}", 120, pause_s=2)
    # The value of one record, the key of the other.
    assert sum(place.startswith(f"topic {USAGE}") for place in found) == 2, found
