"""Servers on loopback, and both transports, which may reach them: every test of a request runs on each."""

import selectors
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.net.certificates import Authority
from tests.integration.net.servers import Server, answering, reply
from tests.patience import PATIENCE
from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net import urls
from tms_webhooks.net.transports import client, curl
from tms_webhooks.net.transports.base import Request

if TYPE_CHECKING:
    pass

ONLY_THREADS = pytest.mark.parametrize("kind", ["threads"], indirect=True)
ONLY_CURL = pytest.mark.parametrize("kind", ["curl"], indirect=True)
"""For what only one of the transports has; everything else runs on both."""


@contextmanager
def fails(error_class, text="", *, permanent=False):
    """Expect an error of this class, with this text if it is given."""
    with pytest.raises(DeliveryError) as caught:
        yield caught
    assert (caught.value.error_class, caught.value.permanent) == (error_class, permanent)
    assert text in ("", str(caught.value))


@contextmanager
def times_out(*, after):
    """Expect a timeout, not before its time, and long before a server or another limit would have ended the request."""
    started_at = time.monotonic()
    with fails(ErrorClass.TIMEOUT):
        yield
    elapsed = time.monotonic() - started_at
    assert after - 0.01 <= elapsed < after + PATIENCE


@pytest.fixture
def serve(settings):
    """Start servers; the settings let webhooks reach them, and nothing else on loopback's ports."""
    servers = []

    def start(handler=None, **options):
        server = Server(handler or answering(reply()), **options)
        servers.append(server)
        settings.TMS_WEBHOOKS = {
            **settings.TMS_WEBHOOKS,
            "ALLOWED_PORTS": [server.port for server in servers],
        }
        return server

    settings.TMS_WEBHOOKS = {
        "ALLOWED_SCHEMES": ["http", "https"],
        "UNCHECKED_CIDRS": ["127.0.0.0/8"],
        # A request ends by what its test sets, and never because the machine is slow.
        "CONNECT_TIMEOUT_SECONDS": 2 * PATIENCE,
        "READ_TIMEOUT_SECONDS": 2 * PATIENCE,
    }
    yield start
    # A proxy ends where the server behind it does.
    for server in servers:
        server.stop()
    for server in servers:
        server.close()


class Sender:
    """A transport in a loop of its own, as the worker has it, which waits for the answers."""

    def __init__(self, transport):
        self.transport = transport
        self.selector = selectors.DefaultSelector()
        self.selector.register(transport.fileno(), selectors.EVENT_READ)

    def send(self, request):
        """Return the response, or raise the error."""
        (answer,) = self.send_all([request])
        if isinstance(answer.result, DeliveryError):
            raise answer.result
        return answer.result

    def send_all(self, requests):
        """Send requests at the same time; return their answers in the order of the requests."""
        for number, request in enumerate(requests):
            self.transport.start(request, number)
        answers = []
        give_up_at = time.monotonic() + max(request.deadline for request in requests) + PATIENCE
        while len(answers) < len(requests):
            assert time.monotonic() < give_up_at, "no answer long after the deadline"
            self.selector.select(min(self.transport.timeout(), 1.0))
            answers += self.transport.collect()
        return sorted(answers, key=lambda answer: answer.key)

    def close(self):
        self.selector.close()
        self.transport.close()


@pytest.fixture(params=["threads", "curl"])
def kind(request):
    """The name of a transport."""
    return request.param


@pytest.fixture
def clients(kind, authority, tmp_path, monkeypatch):
    """Make senders of this kind, which are closed after the test.

    ``resolve`` is the name server from then on, and ``trusting`` ones trust the tests' authority only, which is in the ``folder``.
    """
    made = []

    def make(*, resolve=None, trusting=False, folder=tmp_path):
        if resolve is not None:
            monkeypatch.setattr(urls, "system_resolver", resolve)
        if trusting:
            for module in (client, curl):
                monkeypatch.setattr(module, "DEFAULT_CA_BUNDLE_PATH", str(authority.write(folder)))
        made.append(Sender(curl.CurlTransport() if kind == "curl" else client.ThreadTransport()))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


@pytest.fixture(name="client")
def client_fixture(clients):
    """One sender as the engine makes it."""
    return clients()


@pytest.fixture
def send(client):
    """Send a small request to a URL with one transport."""

    def send(url, *, method="POST", headers=None, body=b"{}", deadline=PATIENCE, by=client):
        return by.send(Request(method, url, headers or {}, body, deadline))

    return send


@pytest.fixture(scope="session")
def authority():
    """A certificate authority that only the test's client trusts."""
    return Authority.new()


@pytest.fixture
def encrypted(authority, tmp_path):
    """The context of a server that is ``hooks.example.test``."""
    return authority.server_context(tmp_path, "hooks.example.test")


@pytest.fixture
def trusting(clients):
    """A sender that trusts the tests' authority and finds every name on loopback."""
    return clients(resolve=lambda host, port: ["127.0.0.1"], trusting=True)
