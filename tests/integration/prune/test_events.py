"""Attempts, and events with their deliveries, are deleted after ninety days; the numbers of events go on."""

from collections import Counter

import pytest

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write
from tests.integration.prune.rows import DAY, INSTANT, NOTHING, NOW, bodies, delivery, event
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, EventSequence
from tms_webhooks.outbox.prune import prune


def test_attempts_and_events_are_deleted_when_they_are_older_than_ninety_days(webhook):
    old = delivery(webhook, 90 * DAY + INSTANT, attempts=3)
    kept = delivery(webhook, 90 * DAY, attempts=3)

    pruned = prune(NOW)

    # Two attempts at the younger one are over the limit, too.
    assert pruned == Counter(payloads=2, attempts=5, events=1)
    assert list(Event.objects.values_list("pk", flat=True)) == [kept.event_id]
    assert list(Delivery.objects.values_list("pk", flat=True)) == [kept.pk]
    assert list(DeliveryAttempt.objects.values_list("delivery", "number")) == [(kept.pk, 3)]
    assert not Delivery.objects.filter(event_id=old.event_id).exists()


def test_attempts_made_after_the_event_go_with_it(webhook):
    made = delivery(webhook, 91 * DAY)
    DeliveryAttempt.objects.create(delivery=made, number=2, started_at=NOW - DAY, duration_ms=5)

    prune(NOW)

    assert not DeliveryAttempt.objects.exists()


@pytest.mark.parametrize("attempts_days", [5, 30])
def test_an_event_stays_as_long_as_its_payload_has_to(webhook, settings_of_app, attempts_days):
    settings_of_app(KEEP_PAYLOADS_DAYS=30, KEEP_ATTEMPTS_DAYS=attempts_days)
    delivery(webhook, 29 * DAY)
    delivery(webhook, 31 * DAY)

    pruned = prune(NOW)

    assert pruned["events"] == 1
    assert bodies() == ['{"id":"evt_1"}']
    assert DeliveryAttempt.objects.count() == (0 if attempts_days == 5 else 1)


def test_an_old_delivery_that_was_sent_again_keeps_its_event(webhook):
    made = delivery(webhook, 100 * DAY, attempts=2)
    finished = Delivery.objects.create(
        event=made.event,
        webhook=WebhookFactory(organization=webhook.organization),
        status="delivered",
        created_at=NOW,
    )
    write(made, status="pending", due_at=NOW)

    assert prune(NOW) == NOTHING
    assert DeliveryAttempt.objects.filter(delivery=made).count() == 2
    assert Delivery.objects.filter(pk=finished.pk).exists()


def test_the_numbers_of_events_go_on_after_them(webhook):
    old = event(webhook, 91 * DAY)
    EventSequence.objects.create(subject_type="class", subject_id=old.subject_id, last=1)

    prune(NOW)

    assert not Event.objects.exists()
    assert EventSequence.objects.get().last == 1
