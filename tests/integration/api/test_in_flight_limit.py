"""A webhook's own limit of concurrent requests can only lower that of the operator."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tests.integration.api.test_webhooks import body_of
from tms_webhooks.models import Webhook

TOO_LARGE = (
    "Too large; the operator allows at most 5 concurrent requests per webhook. Lower the number, or leave it empty."
)


@pytest.fixture(autouse=True)
def limit(settings):
    """The operator allows 5."""
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "MAX_IN_FLIGHT": 5}


def error_of(problem, response):
    (error,) = problem(response, "invalid-request")["errors"]
    return error["pointer"], error["code"], error["detail"]


def test_a_new_webhook_with_more_than_the_operator_allows_is_refused(client, acme, problem):
    response = client.post("/api/webhooks/", body_of(acme, max_in_flight=6))

    assert error_of(problem, response) == ("#/max_in_flight", "max_value", TOO_LARGE)
    assert not Webhook.objects.exists()


def test_as_many_as_the_operator_allows_are_accepted(client, acme):
    assert client.post("/api/webhooks/", body_of(acme, max_in_flight=5)).status_code == 201


def test_a_stored_number_above_a_limit_that_was_lowered_later_stays_until_it_is_changed(client, acme, problem):
    webhook = WebhookFactory(organization=acme, max_in_flight=20)
    address = f"/api/webhooks/{webhook.public_id}/"

    for kept in ({"name": "HR"}, {"name": "CRM", "max_in_flight": 20}):
        assert client.patch(address, kept).status_code == 200
    response = client.patch(address, {"max_in_flight": 19})

    assert error_of(problem, response) == ("#/max_in_flight", "max_value", TOO_LARGE)
    webhook.refresh_from_db()
    assert webhook.max_in_flight == 20
