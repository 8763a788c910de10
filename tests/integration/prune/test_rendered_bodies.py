"""A body in a webhook's own format is forgotten with the payload that it was made of."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.prune.rows import DAY, NOW, delivery
from tms_webhooks.models import Delivery, DeliveryBody, Event
from tms_webhooks.outbox.prune import prune


def rendered(webhook, age, **values):
    made = delivery(webhook, age, **values)
    DeliveryBody.objects.create(delivery=made, content_type="text/plain", body="Alice")
    return made


def test_it_goes_when_the_payload_is_blanked(webhook):
    rendered(webhook, 31 * DAY)
    young = rendered(webhook, 29 * DAY)

    assert prune(NOW)["payloads"] == 1

    assert list(DeliveryBody.objects.values_list("delivery", flat=True)) == [young.pk]


def test_it_stays_as_long_as_a_delivery_of_the_event_is_open(webhook):
    rendered(webhook, 400 * DAY, still_open=True)

    prune(NOW)

    assert DeliveryBody.objects.count() == 1


def test_it_goes_with_the_delivery(webhook):
    made = rendered(webhook, 91 * DAY)
    Event.objects.update(body="")

    prune(NOW)

    assert not Delivery.objects.filter(pk=made.pk).exists()
    assert not DeliveryBody.objects.exists()


def test_no_statement_takes_more_than_a_batch(webhook, monkeypatch):
    monkeypatch.setattr("tms_webhooks.outbox.prune.PRUNE_BATCH", 2)
    for _ in range(5):
        rendered(webhook, 31 * DAY)

    with CaptureQueriesContext(connection) as queries:
        prune(NOW)

    deletions = [query["sql"] for query in queries if query["sql"].startswith("DELETE")]
    assert len(deletions) == 3
    assert all(sql.rpartition(" IN ")[2].count(",") <= 1 for sql in deletions)
