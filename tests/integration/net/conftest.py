"""Servers on loopback that answer as badly as a receiver can, and a client that may reach them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tms_webhooks.net.client import Client, Request, Response

if TYPE_CHECKING:
    from pytest_django import Settings

Handler = Callable[["Visit"], None]


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    head: bytes
    body: bytes

    @property
    def lines(self) -> list[str]:
        return self.head.decode("latin-1").split("\r\n")

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.split(": ", maxsplit=1) for line in self.lines[1:])


class Visit:
    """One accepted connection, in the hands of its handler."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server
        self.unread = b""

    def read(self) -> Received | None:
        """Read one request; None when the client has closed the connection."""
        while b"\r\n\r\n" not in self.unread:
            if not self._more():
                return None
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        received = Received(head, b"")
        length = int(received.headers.get("content-length", "0"))
        while len(self.unread) < length:
            if not self._more():
                return None
        body, self.unread = self.unread[:length], self.unread[length:]
        received = Received(head, body)
        self.server.requests.append(received)
        return received

    def _more(self) -> bool:
        data = self.sock.recv(65_536)
        self.unread += data
        return bool(data)

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, *, every: float) -> None:
        """Write one byte at a time until the data, the client's patience or the test is over."""
        for byte in data:
            self.write(bytes([byte]))
            if self.server.over.wait(every):
                return

    def hang(self) -> None:
        """Do nothing until the test is over."""
        self.server.over.wait(10.0)

    def reset(self) -> None:
        """Break the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Server:
    """A TCP server on loopback: one thread per connection, each running the handler."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, receive_buffer: int = 0) -> None:
        self.handler = handler
        self.tls = tls
        self.accepted = 0
        self.requests: list[Received] = []
        self.over = threading.Event()
        self.threads: list[threading.Thread] = []
        self.listener = socket.socket()
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port: int = self.listener.getsockname()[1]
        self._start(self._accept)

    def url(self, target: str = "/hook", *, host: str = "127.0.0.1") -> str:
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{target}"

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5.0)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            sock.settimeout(5.0)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            self.handler(Visit(sock, self))
        sock.close()


def reply(body: bytes = b"ok", *, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> bytes:
    """Return an answer with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(*answers: bytes) -> Handler:
    """Make a handler that gives these answers in turn, then the last one for ever; it keeps the connection."""

    def handle(visit: Visit) -> None:
        number = 0
        while visit.read() is not None:
            visit.write(answers[min(number, len(answers) - 1)])
            number += 1

    return handle


def once(answer: bytes) -> Handler:
    """Make a handler that reads one request, writes these bytes and closes the connection."""

    def handle(visit: Visit) -> None:
        visit.read()
        visit.write(answer)

    return handle


Serve = Callable[..., Server]
Send = Callable[..., Response]


@pytest.fixture
def serve(settings: Settings) -> Iterator[Serve]:
    """Start servers; the settings let webhooks reach them, and nothing else on loopback's ports."""
    servers: list[Server] = []

    def start(handler: Handler, **options: Any) -> Server:
        server = Server(handler, **options)
        servers.append(server)
        settings.TMS_WEBHOOKS = {
            **settings.TMS_WEBHOOKS,
            "ALLOWED_PORTS": [server.port for server in servers],
        }
        return server

    settings.TMS_WEBHOOKS = {"ALLOWED_SCHEMES": ["http", "https"], "ALLOWED_CIDRS": ["127.0.0.0/8"]}
    yield start
    for server in servers:
        server.close()


@pytest.fixture
def clients() -> Iterator[Callable[..., Client]]:
    """Make clients that are closed after the test."""
    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(**options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(clients: Callable[..., Client]) -> Client:
    """One client as the engine makes it."""
    return clients()


@pytest.fixture
def send(client: Client) -> Send:
    """Send a small request to a URL with one client."""

    def send(
        url: str,
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"{}",
        deadline: float = 5.0,
        by: Client = client,
    ) -> Response:
        return by.send(Request(method, url, headers or {}, body, deadline))

    return send


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for the tests."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Tests' authority")
        certificate = (
            _certificate(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    def server_context(self, directory: Path, *names: str, days: int = 1) -> ssl.SSLContext:
        """Return the context of a server whose certificate is for these names and ends in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(_name(names[0]), self.certificate.subject, key, days=days)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = directory / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority and no other."""
        return ssl.create_default_context(
            cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(**usage: bool) -> x509.KeyUsage:
    everything = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: usage.get(name, False) for name in everything.split()})


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int = 1
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority that nobody but the test's client trusts."""
    return Authority.new()


@pytest.fixture
def encrypted(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """The context of a server that is ``hooks.example.test``."""
    return authority.server_context(tmp_path, "hooks.example.test")


@pytest.fixture
def trusting(clients: Callable[..., Client], authority: Authority) -> Client:
    """A client that trusts the tests' authority and finds every name on loopback."""
    return clients(resolve=lambda host, port: ["127.0.0.1"], ssl_context=authority.client_context())
