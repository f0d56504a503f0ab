"""The real broker: starts, keeps what it acknowledged through kill -9, and stops cleanly."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tokentide_deploy.embedded_kafka import EmbeddedKafka, broker_is_ready
from tokentide_deploy.embedded_kafka.server_config import MAX_MESSAGE_BYTES, ServerConfig
from tokentide_deploy.errors import StartError

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    # A folder name with a space and an umlaut: people have those.
    with EmbeddedKafka(tmp_path_factory.mktemp("embedded") / "käfka data", heap_mib=384) as broker:
        yield broker


def create_topic(kafka: EmbeddedKafka, name: str, partitions: int = 2) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(20)


def produce(kafka: EmbeddedKafka, topic: str, values: list[bytes]) -> None:
    failed: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "enable.idempotence": True,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "log_level": 0,
        }
    )
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _message: failed.append(error) if error else None)
    assert producer.flush(30) == 0
    assert failed == []


def consume(kafka: EmbeddedKafka, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10000,
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    deadline_s = time.monotonic() + 30
    try:
        while len(values) < count:
            assert time.monotonic() < deadline_s, f"{len(values)} of {count} messages came"
            for message in consumer.consume(1000, 0.2):
                assert message.error() is None
                values.append(message.value() or b"")
    finally:
        consumer.close()
    return values


def test_acknowledged_messages_survive_a_kill_and_a_clean_restart(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "events")
    sent = [f"event {number}".encode() for number in range(2000)]
    produce(kafka, "events", sent[:1000])
    kafka.kill()
    assert not broker_is_ready(kafka.bootstrap_servers, timeout_s=0.5)
    kafka.start()
    produce(kafka, "events", sent[1000:])
    assert sorted(consume(kafka, "events", 2000)) == sorted(sent)
    kafka.stop()
    # Kafka leaves this mark only after a shutdown that flushed everything.
    assert (kafka.settings.data_dir / "log" / ".kafka_cleanshutdown").exists()
    assert "Terminating process due to signal SIGTERM" in kafka.log_file.read_text()
    kafka.start()
    assert sorted(consume(kafka, "events", 2000)) == sorted(sent)


def test_a_large_envelope_passes(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "large", partitions=1)
    large = b"\xa5" * (MAX_MESSAGE_BYTES - 4096)
    produce(kafka, "large", [large])
    assert consume(kafka, "large", 1) == [large]


def test_an_unknown_topic_is_not_created_by_asking_for_it(kafka: EmbeddedKafka) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.timeout.ms": 2000, "log_level": 0})
    failed: list[object] = []
    producer.produce("a-typing-error", b"x", on_delivery=lambda error, _message: failed.append(error))
    producer.flush(20)
    assert failed[0] is not None
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assert "a-typing-error" not in admin.list_topics(timeout=10).topics


def test_an_aborted_transaction_is_not_read(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "out", partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "t", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("out", b"kept")
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce("out", b"dropped")
    producer.abort_transaction(30)
    producer.begin_transaction()
    producer.produce("out", b"last")
    producer.commit_transaction(30)
    assert consume(kafka, "out", 2) == [b"kept", b"last"]


def test_a_folder_that_is_not_kafkas_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "precious").write_text("mine")
    with pytest.raises(StartError, match=r"holds no meta\.properties"):
        EmbeddedKafka(tmp_path).start()
    assert (tmp_path / "log" / "precious").read_text() == "mine"


def test_a_broker_that_cannot_start_is_reported_with_the_end_of_its_log(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    # The probe must not take the other broker's answer for the rival's.
    rival = EmbeddedKafka(tmp_path / "rival", port=kafka.settings.port)
    with pytest.raises(StartError) as caught:
        rival.start()
    message = str(caught.value)
    assert "was not ready" in message
    assert "exit status 1" in message
    assert "Address already in use" in message


def test_paths_are_written_as_java_properties_need_them() -> None:
    text = ServerConfig(Path("/data/ä\\b"), 1, 2).text()
    assert "log.dirs=/data/\\u00e4\\\\b\n" in text


def test_the_broker_listens_on_loopback_only() -> None:
    assert (
        ServerConfig(Path("/d"), 1, 2).properties()["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    )


def test_asking_a_port_where_nobody_listens_is_quick_and_no_error() -> None:
    begin_s = time.monotonic()
    assert not broker_is_ready("127.0.0.1:1")
    assert time.monotonic() - begin_s < 3
