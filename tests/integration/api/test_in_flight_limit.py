"""A webhook's own limit of concurrent requests can only lower that of the operator."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tests.integration.api.people import error_of
from tms_webhooks.models import Webhook

TOO_LARGE = (
    "#/max_in_flight",
    "max_value",
    "Too large; the operator allows at most 5 concurrent requests per webhook. Lower the number, or leave it empty.",
)


@pytest.fixture(autouse=True)
def limit(settings):
    """The operator allows 5."""
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "MAX_IN_FLIGHT": 5}


def test_a_new_webhook_with_more_than_the_operator_allows_is_refused(create):
    assert error_of(create(max_in_flight=6)) == TOO_LARGE
    assert not Webhook.objects.exists()
    assert create(max_in_flight=5).status_code == 201


def test_a_stored_number_above_a_limit_that_was_lowered_later_stays_until_it_is_changed(change, acme):
    webhook = WebhookFactory(organization=acme, max_in_flight=20)

    assert change(webhook, name="HR").status_code == 200
    assert change(webhook, name="CRM", max_in_flight=20).status_code == 200
    assert error_of(change(webhook, max_in_flight=19)) == TOO_LARGE
    webhook.refresh_from_db()
    assert webhook.max_in_flight == 20
