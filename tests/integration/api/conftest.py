"""Alice of Acme and Mallory of another firm, and a name server that knows two receivers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization, User
from tests.integration.api import people


@pytest.fixture(autouse=True)
def policy(settings) -> Iterator[None]:
    """The policy of these tests."""
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ACCESS_POLICY": people.POLICY}
    yield
    people.denied.clear()


@pytest.fixture(autouse=True)
def names(monkeypatch) -> dict[str, str]:
    """The name server: only these names have addresses, and every other lookup fails."""
    known = dict.fromkeys(people.NAMES, people.PUBLIC)
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host in known:
            return real(known[host], port, *args, **kwargs)
        if str(host).endswith((".example.com", ".example", ".invalid")):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture
def acme() -> Organization:
    """Alice's organization."""
    return OrganizationFactory(name="Acme")


@pytest.fixture
def alice(acme) -> User:
    """She may do everything at Acme."""
    return people.member_of(acme)


@pytest.fixture
def client(alice) -> APIClient:
    """Alice's client."""
    return people.client_of(alice)


@pytest.fixture
def restricted(acme) -> Callable[..., APIClient]:
    """Make a client of somebody at Acme who may not do what is named."""
    return lambda *actions: people.client_of(people.member_of(acme, may_not=actions))


@pytest.fixture
def stranger() -> APIClient:
    """Mallory's client: she may do everything, at another organization."""
    return people.client_of(people.member_of(OrganizationFactory(name="Elsewhere")))


@pytest.fixture
def create(client, acme) -> Callable[..., Any]:
    """Create a webhook of Acme with these fields."""
    return lambda **fields: client.post(people.LIST, people.body_of(acme, **fields))


@pytest.fixture
def change(client) -> Callable[..., Any]:
    """Change these fields of a webhook."""
    return lambda webhook, **fields: client.patch(people.at(webhook), fields)


@pytest.fixture
def problem() -> Callable[..., dict[str, Any]]:
    """Return what a response says is wrong, having seen that it is a problem of this kind."""
    return people.problem
