"""TLS and SASL against a real broker: every kind of client that the platform has connects by settings alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiokafka
import faust
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from deploy.secure_kafka import PASSWORD, SecureKafka, make_authority, secure_kafka
from tokentide_deploy.doctor import kafka as doctor_kafka
from tokentide_deploy.embedded_kafka import broker_is_ready
from tokentide_deploy.grants.plan import Choice, apply_plan, plan
from tokentide_deploy.grants.users import KAFKA_PASSWORD
from tokentide_deploy.kafka_topics import TopicSetupError, ensure_topics
from tokentide_producers.emitter import Emitter
from tokentide_producers.usage_topic import has_records
from tokentide_schemas import topics
from tokentide_schemas.kafka_settings import kafka_client
from tokentide_sinks.consumer_group import GroupMember
from tokentide_sinks.kafka import GROUP_EVENTS, topic_id
from tokentide_sinks.settings import SinkSettings
from tokentide_stream.faust_options import faust_options
from tokentide_stream.settings import StreamSettings

pytestmark = [pytest.mark.embedded]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder = tmp_path_factory.mktemp("secure")
    authority, ca_file = make_authority(folder)
    with secure_kafka(folder, authority, ca_file) as running:
        yield running


@pytest.fixture(params=["PLAIN", "SCRAM-SHA-512"])
def settings(request: Any, secure: SecureKafka, monkeypatch: pytest.MonkeyPatch) -> SecureKafka:
    for name, value in secure.variables(request.param).items():
        monkeypatch.setenv(name, value)
    return secure


def test_events_go_from_an_emitter_through_tls_to_a_sinks_consumer(settings: SecureKafka) -> None:
    assert broker_is_ready(settings.servers, timeout_s=30)
    ensure_topics(settings.servers, partitions=1)
    with Emitter(settings.servers, gateway="secure") as emitter:
        emitter.emit(
            request_model="m", provider="p", outcome="ok", input_uncached_tokens=1, output_tokens=1, usage_reported=True
        )
        assert emitter.flush(60)
    assert has_records(settings.servers, topics.USAGE)
    assert topic_id(settings.servers, topics.USAGE) == topic_id(settings.servers, topics.USAGE)
    member = GroupMember(
        SinkSettings(kafka_bootstrap_servers=settings.servers),
        "secure-test",
        [topics.USAGE],
        threading.Event(),
        lambda assigned: assigned,
        lambda _revoked: None,
    )
    member.join()
    try:
        read: list[Any] = []
        for _ in range(1200):
            read += member.read(10)
            if read:
                break
        assert read
    finally:
        member.leave()


def test_the_worker_connects_with_the_same_settings(settings: SecureKafka) -> None:
    options = faust_options(StreamSettings(kafka_bootstrap_servers=settings.servers), 1)
    assert PASSWORD not in repr(options)
    app = faust.App("secure-test", **{**options, "broker": f"kafka://{settings.servers}"})
    auth = credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context)

    async def topics_seen() -> set[str]:
        client = aiokafka.AIOKafkaConsumer(bootstrap_servers=settings.servers, **auth)
        await client.start()
        try:
            return set(await client.topics())
        finally:
            await client.stop()

    ensure_topics(settings.servers, partitions=1)
    assert topics.USAGE in asyncio.run(topics_seen())


@pytest.mark.parametrize(
    "wrong",
    [
        {"TOKENTIDE_KAFKA_SASL_PASSWORD": "wrong-pass-w0rd"},
        {"TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "TOKENTIDE_KAFKA_SASL_USERNAME": "",
         "TOKENTIDE_KAFKA_SSL_CA_FILE": ""},
        {"TOKENTIDE_KAFKA_SSL_CA_FILE": ""},
    ],
    ids=["password", "no TLS", "unknown authority"],
)  # fmt: skip
def test_with_wrong_settings_nothing_connects_and_no_password_is_said(
    secure: SecureKafka, wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in secure.variables("PLAIN", **wrong).items():
        monkeypatch.setenv(name, value)
    with pytest.raises((TopicSetupError, KafkaException)) as caught:
        ensure_topics(secure.servers, partitions=1, timeout_s=5)
    said = str(caught.value) + "".join(capfd.readouterr())
    assert PASSWORD not in said and "wrong-pass-w0rd" not in said


@pytest.mark.parametrize(
    ("wrong", "trouble"),
    [
        ({}, ""),
        ({"TOKENTIDE_KAFKA_SASL_PASSWORD": "wrong-pass-w0rd"}, "credentials"),
        ({"TOKENTIDE_KAFKA_SSL_CA_FILE": ""}, "tls"),
        ({"TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "TOKENTIDE_KAFKA_SASL_USERNAME": "",
          "TOKENTIDE_KAFKA_SSL_CA_FILE": ""}, "tls"),
    ],
    ids=["right", "password", "authority", "plaintext"],
)  # fmt: skip
def test_doctor_tells_wrong_credentials_from_wrong_tls(
    secure: SecureKafka, wrong: dict[str, str], trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in secure.variables("PLAIN", **wrong).items():
        monkeypatch.setenv(name, value)
    facts = doctor_kafka.gather(secure.servers, timeout_s=15)
    assert facts.connection.trouble == trouble, facts.connection
    assert "wrong-pass-w0rd" not in facts.connection.detail and PASSWORD not in facts.connection.detail


def test_with_its_grants_a_gateway_sends_and_cannot_read_and_a_sink_reads_and_cannot_send(
    secure: SecureKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in secure.variables("PLAIN", TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS=secure.servers).items():
        monkeypatch.setenv(name, value)
    ensure_topics(secure.servers, partitions=1)
    for _ in range(2):
        said = apply_plan(plan("kafka", Choice(secrets=tmp_path)))
    assert "ACLs and 10 users are in place" in said

    def become(part: str) -> None:
        monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
        monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_USERNAME", f"tokentide-{part}")
        monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_PASSWORD", (tmp_path / part / KAFKA_PASSWORD).read_text())

    def first_record(group: str) -> Any:
        consumer = Consumer({**kafka_client(secure.servers), "group.id": group, "auto.offset.reset": "earliest"})
        try:
            consumer.assign([TopicPartition(topics.USAGE, 0, 0)])
            return consumer.poll(60)
        finally:
            consumer.close()

    become("gateway")
    with Emitter(secure.servers, gateway="granted") as emitter:
        emitter.emit(
            request_model="m", provider="p", outcome="ok", input_uncached_tokens=1, output_tokens=1, usage_reported=True
        )
        assert emitter.flush(60)
    denied = first_record("any-group")
    assert denied is not None and denied.error() is not None
    assert denied.error().code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)

    become("events-sink")
    read = first_record(GROUP_EVENTS)
    assert read is not None and read.error() is None and read.value()
    refusals: list[Any] = []
    producer = Producer(kafka_client(secure.servers))
    producer.produce(topics.USAGE, b"{}", on_delivery=lambda error, _message: refusals.append(error.code()))
    assert producer.flush(60) == 0
    assert refusals == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
