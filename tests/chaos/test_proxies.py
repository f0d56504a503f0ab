"""The proxies do to a connection what they say, and nothing to any other."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from chaos.kafka_proxy import KafkaProxy
from chaos.proxy import HOST
from chaos.store_proxy import StoreFault, StoreProxy
from end_to_end.harness import wait_until

INSERT = "/?query=INSERT+INTO+%60tokentide%60.%60events%60+FORMAT+Arrow"


class Upstream:
    """A server that remembers the bodies it got whole."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) == length:
                    upstream.bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[StoreProxy]:
    running = StoreProxy(upstream.port, seed=3).start()
    yield running
    running.stop()


def post(proxy: StoreProxy, path: str = INSERT, body: bytes = b"x" * 50_000) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, proxy.port, timeout=10)
    try:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


BROKEN = (OSError, http.client.HTTPException)


def test_without_a_fault_requests_pass(proxy: StoreProxy, upstream: Upstream) -> None:
    assert post(proxy) == (200, b"ok")
    assert upstream.bodies == [b"x" * 50_000]


def test_a_500_comes_after_the_insert_has_happened(proxy: StoreProxy, upstream: Upstream) -> None:
    proxy.arm(StoreFault.LATE_500)
    assert post(proxy)[0] == 500
    assert len(upstream.bodies) == 1
    assert post(proxy) == (200, b"ok")


def test_a_cut_request_does_not_arrive_whole(proxy: StoreProxy, upstream: Upstream) -> None:
    proxy.arm(StoreFault.CUT_REQUEST)
    with pytest.raises(BROKEN):
        post(proxy)
    assert upstream.bodies == []
    assert post(proxy) == (200, b"ok")


@pytest.mark.parametrize("fault", [StoreFault.CUT_RESPONSE, StoreFault.SLOW_ANSWER])
def test_a_cut_answer_leaves_the_insert_done(proxy: StoreProxy, upstream: Upstream, fault: StoreFault) -> None:
    proxy.arm(fault, seconds=0.1)
    # Python's client takes an answer that was cut within its head for one without a body.
    with contextlib.suppress(*BROKEN):
        assert post(proxy) != (200, b"ok")
    assert len(upstream.bodies) == 1


def test_a_fault_for_one_table_spares_the_others_and_what_is_no_insert(proxy: StoreProxy, upstream: Upstream) -> None:
    armed = proxy.arm(StoreFault.LATE_500, table="events")
    assert post(proxy, "/?query=INSERT+INTO+ingest_ledger+FORMAT+Arrow") == (200, b"ok")
    assert post(proxy, "/", b"SELECT 1") == (200, b"ok")
    assert proxy.is_armed(armed)
    assert post(proxy, "/", b"INSERT INTO events FORMAT Arrow\n...")[0] == 500
    assert not proxy.is_armed(armed)


def test_while_it_refuses_nothing_gets_through(proxy: StoreProxy, upstream: Upstream) -> None:
    proxy.refuse()
    with pytest.raises(BROKEN):
        post(proxy)
    assert upstream.bodies == []
    proxy.accept()
    assert post(proxy) == (200, b"ok")


@pytest.fixture
def echo() -> Iterator[int]:
    server = socket.create_server((HOST, 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def kafka_proxy(echo: int) -> Iterator[KafkaProxy]:
    running = KafkaProxy(echo, seed=3).start()
    yield running
    running.stop()


def ask(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    found = b""
    while len(found) < len(data):
        part = connection.recv(65536)
        if not part:
            break
        found += part
    return found


def is_cut(connection: socket.socket) -> bool:
    try:
        return ask(connection, b"x") == b""
    except ConnectionError:
        return True


def test_bytes_pass_and_a_cut_ends_the_connection(kafka_proxy: KafkaProxy) -> None:
    with socket.create_connection((HOST, kafka_proxy.port), 10) as connection:
        assert ask(connection, b"a" * 1000) == b"a" * 1000
        kafka_proxy.cut_all()
        wait_until(lambda: is_cut(connection), "the cut", 10)


def test_a_cut_in_the_middle_lets_only_a_part_through(kafka_proxy: KafkaProxy) -> None:
    with socket.create_connection((HOST, kafka_proxy.port), 10) as connection:
        kafka_proxy.cut_in_the_middle(1)
        with contextlib.suppress(ConnectionError):
            assert len(ask(connection, b"a" * 1000)) < 1000
        with socket.create_connection((HOST, kafka_proxy.port), 10) as next_one:
            assert ask(next_one, b"b" * 1000) == b"b" * 1000


def test_a_stalled_proxy_holds_bytes_back_and_then_delivers_them(kafka_proxy: KafkaProxy) -> None:
    with socket.create_connection((HOST, kafka_proxy.port), 10) as connection:
        assert ask(connection, b"first") == b"first"
        kafka_proxy.stall()
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ask(connection, b"second")
        kafka_proxy.resume()
        connection.settimeout(10)
        assert connection.recv(100) == b"second"


def test_an_isolated_process_is_cut_off_until_the_end(kafka_proxy: KafkaProxy) -> None:
    with socket.create_connection((HOST, kafka_proxy.port), 10) as connection:
        assert ask(connection, b"a") == b"a"
        kafka_proxy.isolate(os.getpid())
        wait_until(lambda: is_cut(connection), "the cut", 10)
    with socket.create_connection((HOST, kafka_proxy.port), 10) as connection:
        assert is_cut(connection)
    kafka_proxy.release(os.getpid())
    with socket.create_connection((HOST, kafka_proxy.port), 10) as connection:
        assert ask(connection, b"a") == b"a"
