"""Pinned jars: verified, all or nothing, clear when they cannot be had. A small server stands for the registry."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tokentide_deploy.embedded_kafka.install import install_kafka
from tokentide_deploy.embedded_kafka.pins import JarPin, PinnedJars, load_pins
from tokentide_deploy.errors import KafkaInstallError
from tokentide_deploy.ports import free_ports

CONTENT = {name: name.encode() * 5000 for name in ("alpha", "beta", "gamma")}
PINS = PinnedJars(
    kafka_version="9.9.9",
    jars=tuple(
        JarPin(
            group="org.example",
            artifact=name,
            version="1.0",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        for name, data in CONTENT.items()
    ),
)


class Registry:
    """An HTTP Maven repository with the three jars; counts requests, can tamper and stall."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.content = dict(CONTENT)
        self.stalled: set[str] = set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.split("/")[3] if self.path.count("/") == 5 else ""
                if name not in registry.content or not self.path.endswith(".jar"):
                    self.send_error(404)
                    return
                registry.requests.append(name)
                data = registry.content[name]
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                while name in registry.stalled:
                    time.sleep(0.02)
                self.wfile.write(data[len(data) // 2 :])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.stalled.clear()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    one = Registry()
    monkeypatch.setenv("TOKENTIDE_MAVEN_MIRROR", one.url)
    monkeypatch.delenv("TOKENTIDE_KAFKA_DIR", raising=False)
    yield one
    one.close()


def installed_folder(cache: Path) -> Path:
    return cache / f"kafka-{PINS.kafka_version}-{PINS.digest}"


def test_jars_are_fetched_once_and_the_second_start_asks_nobody(registry: Registry, tmp_path: Path) -> None:
    output = io.StringIO()
    jars = install_kafka(tmp_path, PINS, output)
    assert [path.read_bytes() for path in jars.paths] == list(CONTENT.values())
    assert sorted(registry.requests) == ["alpha", "beta", "gamma"]
    assert "fetched and verified" in output.getvalue()
    registry.requests.clear()
    second = io.StringIO()
    assert install_kafka(tmp_path, PINS, second) == jars
    assert registry.requests == []
    assert second.getvalue() == ""


def test_a_tampered_jar_is_a_loud_error_and_nothing_is_installed(registry: Registry, tmp_path: Path) -> None:
    registry.content["beta"] = b"B" + CONTENT["beta"][1:]
    with pytest.raises(KafkaInstallError) as caught:
        install_kafka(tmp_path, PINS, io.StringIO())
    message = str(caught.value)
    assert "beta-1.0.jar" in message
    assert PINS.jars[1].sha256 in message
    assert hashlib.sha256(registry.content["beta"]).hexdigest() in message
    assert "TOKENTIDE_MAVEN_MIRROR" in message
    assert not installed_folder(tmp_path).exists()
    registry.content["beta"] = CONTENT["beta"]
    assert len(install_kafka(tmp_path, PINS, io.StringIO()).paths) == 3


def test_a_jar_that_was_changed_in_the_cache_is_fetched_again(registry: Registry, tmp_path: Path) -> None:
    victim = install_kafka(tmp_path, PINS, io.StringIO()).paths[0]
    registry.requests.clear()
    changed = b"X" + CONTENT["alpha"][1:]
    victim.write_bytes(changed)
    output = io.StringIO()
    install_kafka(tmp_path, PINS, output)
    assert victim.read_bytes() == CONTENT["alpha"]
    assert registry.requests == ["alpha"]
    assert "was changed" in output.getvalue()


def test_an_unreachable_mirror_is_reported_within_seconds_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [port] = free_ports(1)
    monkeypatch.setenv("TOKENTIDE_MAVEN_MIRROR", f"http://127.0.0.1:{port}/repository")
    monkeypatch.delenv("TOKENTIDE_KAFKA_DIR", raising=False)
    begin_s = time.monotonic()
    with pytest.raises(KafkaInstallError) as caught:
        install_kafka(tmp_path, PINS, io.StringIO())
    assert time.monotonic() - begin_s < 10
    message = str(caught.value)
    assert f"127.0.0.1:{port}" in message
    assert "org.example:" in message
    for setting in ("TOKENTIDE_MAVEN_MIRROR", "TOKENTIDE_KAFKA_DIR", "--kafka"):
        assert setting in message


def test_a_mirror_without_the_jar_names_the_jar(registry: Registry, tmp_path: Path) -> None:
    del registry.content["gamma"]
    with pytest.raises(KafkaInstallError, match=r"org\.example:gamma:1\.0 does not exist in"):
        install_kafka(tmp_path, PINS, io.StringIO())


def test_an_install_that_is_killed_leaves_nothing_that_looks_finished(registry: Registry, tmp_path: Path) -> None:
    registry.stalled.add("gamma")
    pins_file = tmp_path / "pins.json"
    pins_file.write_text(PINS.model_dump_json())
    cache = tmp_path / "cache"
    program = (
        "import sys; from pathlib import Path\n"
        "from tokentide_deploy.embedded_kafka.install import install_kafka\n"
        "from tokentide_deploy.embedded_kafka.pins import load_pins\n"
        "install_kafka(Path(sys.argv[1]), load_pins(Path(sys.argv[2])))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(cache), str(pins_file)], env=dict(os.environ), stderr=subprocess.DEVNULL
    ) as process:
        staging = installed_folder(cache).with_name(installed_folder(cache).name + ".partial")
        deadline_s = time.monotonic() + 20
        while not ((staging / "alpha-1.0.jar").exists() and (staging / "beta-1.0.jar").exists()):
            assert time.monotonic() < deadline_s, "the two other jars did not arrive"
            time.sleep(0.02)
        process.kill()
    assert not installed_folder(cache).exists()
    registry.stalled.clear()
    registry.requests.clear()
    jars = install_kafka(cache, PINS, io.StringIO())
    assert [path.read_bytes() for path in jars.paths] == list(CONTENT.values())
    assert registry.requests == ["gamma"]
    assert {path.name for path in cache.iterdir()} == {installed_folder(cache).name, "install.lock"}


def test_a_folder_can_be_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in CONTENT.items():
        folder = tmp_path / "mirror" / "org" / "example" / name / "1.0"
        folder.mkdir(parents=True)
        (folder / f"{name}-1.0.jar").write_bytes(data)
    monkeypatch.setenv("TOKENTIDE_MAVEN_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.delenv("TOKENTIDE_KAFKA_DIR", raising=False)
    assert len(install_kafka(tmp_path / "cache", PINS, io.StringIO()).paths) == 3


def test_an_unpacked_kafka_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libs = tmp_path / "kafka" / "libs"
    libs.mkdir(parents=True)
    (libs / "kafka_2.13-4.0.0.jar").touch()
    monkeypatch.setenv("TOKENTIDE_KAFKA_DIR", str(tmp_path / "kafka"))
    assert install_kafka(tmp_path / "cache", PINS).paths == (libs / "kafka_2.13-4.0.0.jar",)
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_kafka_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_KAFKA_DIR", str(tmp_path))
    with pytest.raises(KafkaInstallError, match=r"TOKENTIDE_KAFKA_DIR=.* holds no Apache Kafka"):
        install_kafka(tmp_path / "cache", PINS)


def test_the_committed_pins_are_one_kafka_version_with_its_logging_binding() -> None:
    pins = load_pins()
    kafka = {jar.version for jar in pins.jars if jar.group == "org.apache.kafka"}
    log4j = {jar.version for jar in pins.jars if jar.group == "org.apache.logging.log4j"}
    names = [jar.artifact for jar in pins.jars]
    assert kafka == {pins.kafka_version}
    assert len(log4j) == 1
    assert {"kafka_2.13", "kafka-clients", "log4j-core", "log4j-slf4j-impl"} <= set(names)
    assert len(names) == len(set(names))
