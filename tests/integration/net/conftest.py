"""Servers on loopback, and clients that may reach them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.net.certificates import Authority
from tests.integration.net.servers import Handler, Server
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.transports.base import Request, Response
from tms_webhooks.net.transports.client import Client

if TYPE_CHECKING:
    from pytest_django import Settings

Serve = Callable[..., Server]
Send = Callable[..., Response]


@contextmanager
def times_out(*, after: float) -> Iterator[None]:
    """Expect a timeout, not before its time and not long after it."""
    started_at = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        yield
    elapsed = time.monotonic() - started_at
    assert caught.value.error_class == ErrorClass.TIMEOUT
    assert caught.value.permanent is False
    assert after - 0.01 <= elapsed < after + 1.0


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


@pytest.fixture(scope="session")
def authority() -> Authority:
    """A certificate authority that only the test's client trusts."""
    return Authority.new()


@pytest.fixture
def encrypted(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    """The context of a server that is ``hooks.example.test``."""
    return authority.server_context(tmp_path, "hooks.example.test")


@pytest.fixture
def trusting(clients: Callable[..., Client], authority: Authority) -> Client:
    """A client that trusts the tests' authority and finds every name on loopback."""
    return clients(resolve=lambda host, port: ["127.0.0.1"], ssl_context=authority.client_context())
