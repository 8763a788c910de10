"""Saving a webhook takes about as long whatever is in it: many values take few queries, and the first problems are enough."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tms_webhooks.models import Subscription

URL = "https://receiver.example.com/hook"


@pytest.fixture
def post(client, acme):
    """Post a webhook with these fields, whose subscriptions all have one event; return the answer."""

    def post(*subscriptions, **fields):
        listed = [{"event_type": "class.cancelled", **one} for one in subscriptions]
        body = {"organization": acme.pk, "name": "CRM", "url": URL, "subscriptions": listed, **fields}
        return client.post("/api/webhooks/", body)

    return post


def test_many_subscriptions_with_many_ids_take_few_queries(post):
    post({})
    with CaptureQueriesContext(connection) as queries:
        many = [{"filters": {"course": list(range(1_000 * number, 1_000 * number + 200))}} for number in range(180)]
        response = post(*many)

    assert response.status_code == 201
    assert Subscription.objects.count() == 181
    assert len(queries) <= 40
    assert response.json()["warnings"] == [
        "The filter course has ids that no object of the organization has: 0, 1, 2, 3, 4. Check them."
    ]


def test_too_many_headers_are_refused(post):
    response = post(headers={f"X-{number}": "v" for number in range(5_000)})

    assert [one["detail"] for one in response.json()["errors"]] == [
        "5000 headers are too many; the limit is 50. Remove some."
    ]
