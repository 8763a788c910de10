"""Saving a webhook takes about as long whatever is in it: many values take few queries, and the first problems are enough."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tms_webhooks.api.serializers import webhook_fields
from tms_webhooks.api.serializers.base import MAX_UNKNOWN_FIELDS
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


@pytest.fixture
def counted(monkeypatch):
    """Count the calls of a function."""

    def counted(owner, name):
        calls, original = [], getattr(owner, name)

        def count(*args, **kwargs):
            calls.append(args)
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, count)
        return calls

    return counted


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


@pytest.mark.parametrize("name", ["X-{}", "X {}"])
def test_too_many_headers_are_refused_before_one_is_read(post, counted, name):
    parsed = counted(webhook_fields, "parse_headers")

    response = post(headers={name.format(number): "v" for number in range(5_000)})

    assert [one["detail"] for one in response.json()["errors"]] == [
        "5000 headers are too many; the limit is 50. Remove some."
    ]
    assert parsed == []


def test_of_many_wrong_headers_the_first_are_reported(post):
    response = post(headers={f"X-{number}": webhook_fields.MASK for number in range(50)})

    assert len(response.json()["errors"]) == MAX_UNKNOWN_FIELDS
