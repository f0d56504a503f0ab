"""An embedded Kafka with a SASL_SSL listener, and a TLS front for the store; certificates are made here."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported at run time
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tokentide_deploy.embedded_kafka import EmbeddedKafka
from tokentide_deploy.ports import free_ports

PASSWORD = "kafka-pass-w0rd-of-the-test"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class SecureKafka:
    """servers: of the listener with TLS and SASL. plain: of the one without, for comparison. Users `plain` and `scram`
    have the password PASSWORD."""

    servers: str
    plain: str
    ca_file: Path
    broker: EmbeddedKafka

    def variables(self, mechanism: str = "PLAIN", **more: str) -> dict[str, str]:
        """The settings with which a process connects."""
        user = "plain" if mechanism == "PLAIN" else "scram"
        return {
            "TOKENTIDE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "TOKENTIDE_KAFKA_SASL_MECHANISM": mechanism,
            "TOKENTIDE_KAFKA_SASL_USERNAME": user,
            "TOKENTIDE_KAFKA_SASL_PASSWORD": PASSWORD,
            "TOKENTIDE_KAFKA_SSL_CA_FILE": str(self.ca_file),
            **more,
        }


def make_authority(folder: Path) -> tuple[trustme.CA, Path]:
    """A certificate authority and its certificate's file."""
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    return authority, ca_file


def _kafka_pem(authority: trustme.CA, path: Path) -> None:
    issued = authority.issue_cert(HOST, "localhost")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    # Kafka reads keys in PKCS #8 only.
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(text + b"".join(one.bytes() for one in issued.cert_chain_pems))


@contextmanager
def secure_kafka(folder: Path, authority: trustme.CA, ca_file: Path) -> Iterator[SecureKafka]:
    """Run such a broker while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    keystore = folder / "broker.pem"
    _kafka_pem(authority, keystore)
    (port,) = free_ports(1)
    listener = "listener.name.secure"
    modules = "org.apache.kafka.common.security"
    properties = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        f"{listener}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{listener}.plain.sasl.jaas.config": f'{modules}.plain.PlainLoginModule required user_plain="{PASSWORD}";',
        f"{listener}.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
        f"{listener}.ssl.keystore.type": "PEM",
        f"{listener}.ssl.keystore.location": str(keystore),
        # Who is not named may do nothing but what ACLs allow. ANONYMOUS: the broker itself, on its plain listener.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:plain;User:scram",
    }
    address = f"{HOST}:{port}"
    with EmbeddedKafka(
        folder / "kafka", heap_mib=384, more_listeners={"SECURE": address}, more_properties=properties
    ) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        upsertion = UserScramCredentialUpsertion("scram", info, PASSWORD.encode())
        for future in admin.alter_user_scram_credentials([upsertion]).values():
            future.result(30)
        yield SecureKafka(address, broker.bootstrap_servers, ca_file, broker)


@contextmanager
def tls_front(authority: trustme.CA, port: int) -> Iterator[int]:
    """The port of a TLS front for a plain HTTP server on `port` of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    started = threading.Event()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    async def start() -> asyncio.Server:
        server = await asyncio.start_server(serve, HOST, 0, ssl=context)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        return server

    def run() -> None:
        server = loop.run_until_complete(start())
        loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
