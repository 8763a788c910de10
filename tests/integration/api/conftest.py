"""Alice of Acme and Mallory of another firm, and a name server that knows two receivers."""

import socket

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.api import people


@pytest.fixture(autouse=True)
def policy(settings):
    """The policy of these tests."""
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ACCESS_POLICY": people.POLICY}
    yield
    people.denied.clear()


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """The name server: only these names have addresses, and every other lookup fails."""
    known = dict.fromkeys(people.NAMES, people.PUBLIC)
    real = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host in known:
            return real(known[host], port, *args, **kwargs)
        if str(host).endswith((".example.com", ".example", ".invalid")):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def acme():
    """Alice's organization."""
    return OrganizationFactory(name="Acme")


@pytest.fixture
def alice(acme):
    """She may do everything at Acme."""
    return people.member_of(acme)


@pytest.fixture
def client(alice):
    """Alice's client."""
    return people.client_of(alice)


@pytest.fixture
def restricted(acme):
    """Make a client of somebody at Acme who may not do what is named."""
    return lambda *actions: people.client_of(people.member_of(acme, may_not=actions))


@pytest.fixture
def stranger():
    """Mallory's client: she may do everything, at another organization."""
    return people.client_of(people.member_of(OrganizationFactory(name="Elsewhere")))


@pytest.fixture
def create(client, acme):
    """Create a webhook of Acme with these fields."""
    return lambda **fields: client.post(people.LIST, people.body_of(acme, **fields))


@pytest.fixture
def change(client):
    """Change these fields of a webhook."""
    return lambda webhook, **fields: client.patch(people.at(webhook), fields)


@pytest.fixture
def problem():
    """Return what a response says is wrong, having seen that it is a problem of this kind."""
    return people.problem
