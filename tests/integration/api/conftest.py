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
from tms_webhooks.api.problems import CONTENT_TYPE, PROBLEM_TYPES


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
def problem() -> Callable[..., dict[str, Any]]:
    """Return what a response says is wrong, having seen that it is a problem of this kind."""

    def problem(response: Any, kind: str) -> dict[str, Any]:
        assert response.headers["Content-Type"] == CONTENT_TYPE, response.content
        data = response.json()
        expected = PROBLEM_TYPES[kind]
        assert (data["type"], data["status"], response.status_code) == (
            expected.uri,
            expected.status,
            expected.status,
        ), data
        assert data["title"] == expected.title
        assert data["detail"]
        return data

    return problem
