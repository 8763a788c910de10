"""A response that is repeated for an ``Idempotency-Key`` is for callers who still have its rights, and has no secret."""

import uuid

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.api import people
from tests.integration.api.conftest import client
from tests.integration.api.test_scope import ROUTES, call
from tests.security.test_rights import API
from tms_webhooks.choices import Action
from tms_webhooks.models import IdempotentRequest, Webhook

__all__ = ["client"]

POSTS = sorted(route for route, method in ROUTES if method == "post")


@pytest.fixture
def repeat(client, world):
    """Send a POST with the same key as before."""
    key, bodies = str(uuid.uuid4()), {}

    class Repeating:
        """A client that sends each route's first body again, with one idempotency key."""

        session = client.session

        def post(self, address, data, **options):
            return client.post(address, bodies.setdefault(address, data), headers={"Idempotency-Key": key}, **options)

    return lambda route: call(Repeating(), world, route, "post")


@pytest.mark.parametrize("route, right", [(route, right) for route, method, right in API if method == "POST"])
def test_without_the_right_a_repeated_request_gets_no_stored_response(
    repeat, alice, problem, receiver, world, route, right
):
    Webhook.objects.filter(pk=world.webhook.pk).update(url=receiver.url)
    first = repeat(route)
    people.denied[alice.pk] = {right}

    assert first.status_code < 300
    details = problem(repeat(route), "forbidden")

    assert right in details["detail"]
    people.denied[alice.pk] = set()
    assert repeat(route)["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("route", POSTS)
def test_outside_the_organization_a_repeated_request_gets_no_stored_response(
    repeat, alice, problem, receiver, world, route
):
    Webhook.objects.filter(pk=world.webhook.pk).update(url=receiver.url)
    assert repeat(route).status_code < 300
    alice.organization = OrganizationFactory(name="Elsewhere")
    alice.save()

    assert problem(repeat(route), "not-found")


@pytest.mark.parametrize("route", ["webhook-test", "delivery-resend"])
def test_without_the_right_to_payloads_a_repeated_request_shows_none(repeat, alice, problem, receiver, world, route):
    Webhook.objects.filter(pk=world.webhook.pk).update(url=receiver.url)
    assert '"body"' in repeat(route).content.decode()
    people.denied[alice.pk] = {Action.VIEW_PAYLOAD}

    problem(repeat(route), "forbidden")


@pytest.mark.parametrize("route", ["webhook-list", "webhook-rotate-secret"])
def test_a_secret_is_in_the_first_response_only(repeat, world, route):
    first, second = repeat(route).json(), repeat(route).json()

    assert first["secret"].startswith("whsec_")
    assert second == {**first, "secret": None}
    assert "whsec_" not in repr(list(IdempotentRequest.objects.values()))
