"""Payloads are blanked after thirty days, with the bodies that were rendered of them; what still has to be sent is not."""

from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write
from tests.integration.prune.rows import DAY, INSTANT, NOTHING, NOW, bodies, delivery, event
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryBody, Event
from tms_webhooks.outbox.prune import prune


def test_payloads_are_blanked_when_they_are_older_than_thirty_days(webhook):
    for age in (30 * DAY + INSTANT, 30 * DAY, DAY):
        delivery(webhook, age)

    assert prune(NOW) == Counter(payloads=1)
    assert bodies() == ["", '{"id":"evt_1"}', '{"id":"evt_1"}']
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count()) == (3, 3)


def test_the_setting_says_how_long_a_payload_is_kept(webhook, settings_of_app):
    settings_of_app(KEEP_PAYLOADS_DAYS=7)
    delivery(webhook, 8 * DAY)
    delivery(webhook, 6 * DAY)

    assert prune(NOW)["payloads"] == 1
    assert bodies() == ["", '{"id":"evt_1"}']


def test_a_payload_stays_as_long_as_one_of_its_deliveries_is_open(webhook):
    made = delivery(webhook, 31 * DAY, still_open=True)
    Delivery.objects.create(
        event=made.event,
        webhook=WebhookFactory(organization=webhook.organization),
        status="delivered",
        created_at=NOW,
    )
    assert prune(NOW) == NOTHING

    write(made, status="exhausted", due_at=None)

    assert prune(NOW)["payloads"] == 1
    assert bodies() == [""]


@pytest.mark.parametrize("status", ["pending", "waiting"])
def test_every_open_state_keeps_all_that_belongs_to_it(webhook, status):
    made = delivery(webhook, 400 * DAY, still_open=True)
    write(made, status=status)

    assert prune(NOW) == NOTHING
    assert bodies() == ['{"id":"evt_1"}']
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count()) == (1, 1)


def test_an_event_that_waits_for_its_fan_out_is_left_alone_however_old(webhook):
    event(webhook, 400 * DAY, fanned_out_at=None)

    assert prune(NOW) == NOTHING
    assert bodies() == ['{"id":"evt_1"}']


def test_an_event_that_nobody_got_is_forgotten_like_others(webhook):
    event(webhook, 31 * DAY)
    event(webhook, 91 * DAY)
    event(webhook, 91 * DAY, body="", error="no payload")

    assert prune(NOW) == Counter(payloads=2, events=2)
    assert bodies() == [""]


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
