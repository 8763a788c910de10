"""What waits, and since when: only what may be sent now is late."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import lease, subscribed, write_delivery, write_event
from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.models import Event, Webhook
from tms_webhooks.monitoring.figures import Backlog, backlog, backlog_by_webhook

NOTHING = Backlog(
    deliveries=0,
    leased=0,
    oldest_due_seconds=None,
    oldest_due_webhook=None,
    events=0,
    oldest_event_seconds=None,
)
FINISHED = ("delivered", "exhausted", "failed", "skipped", "cancelled")


def figures(now, **chosen):
    """Return the backlog of the webhooks with these values, or of all."""
    webhooks = Webhook.objects.filter(**chosen) if chosen else None
    return backlog(backlog_by_webhook(now=now, webhooks=webhooks), now=now, webhooks=webhooks)


def due_for(webhook, seconds, *, clock, **values):
    """Write a delivery that has been due for so long."""
    return write_delivery(webhook, now=clock.now, **{"due_at": clock.now - timedelta(seconds=seconds), **values})


BLOCKING = (-3600, {"order_key": 7, "status": DeliveryStatus.WAITING, "attempts": 1})
BLOCKED = (900, {"order_key": 7})


@pytest.mark.parametrize(
    "of_webhook, deliveries, count, oldest",
    [
        # It comes due later.
        ({}, [(-1, {})], 1, None),
        ({"enabled": False}, [(500, {})], 1, None),
        ({"enabled": False}, [(500, {}), (20, {"priority": Priority.MANUAL})], 2, 20.0),
        ({"ordered": True}, [BLOCKING, BLOCKED], 2, None),
        ({"ordered": True}, [BLOCKING, BLOCKED, (40, {"order_key": 8})], 3, 40.0),
        ({"deleted_at": timezone.now()}, [(500, {})], 0, None),
        *(({}, [(500, {"status": status, "due_at": None})], 0, None) for status in FINISHED),
    ],
)
def test_only_what_may_be_sent_now_is_late(clock, of_webhook, deliveries, count, oldest):
    webhook = subscribed(**of_webhook)
    for seconds, values in deliveries:
        due_for(webhook, seconds, clock=clock, **values)

    found = figures(clock.now)

    assert (found.deliveries, found.oldest_due_seconds) == (count, oldest)
    assert found == NOTHING or count


def test_the_open_ones_are_counted_and_the_longest_due_named(clock):
    one, other = subscribed(), subscribed()
    due_for(one, 30, clock=clock)
    due_for(other, 90, clock=clock, status=DeliveryStatus.WAITING)
    due_for(other, -600, clock=clock, status=DeliveryStatus.WAITING)
    due_for(one, 0, clock=clock)
    lease(one, clock.now + timedelta(seconds=20))
    due_for(one, 0, clock=clock, status=DeliveryStatus.DELIVERED, due_at=None)

    found = figures(clock.now)

    # Of a webhook that a worker has leased, all that is due.
    assert (found.deliveries, found.leased) == (4, 2)
    assert (found.oldest_due_seconds, found.oldest_due_webhook) == (90.0, other.pk)
    assert (
        backlog_by_webhook(now=clock.now)[one.pk]
        == backlog_by_webhook(now=clock.now, webhooks=Webhook.objects.filter(pk=one.pk))[one.pk]
    )


@pytest.mark.parametrize("stop", ["paused_until", "held_until"])
def test_what_waits_for_a_paused_webhook_is_not_late_and_is_due_from_the_end_of_the_pause(clock, stop):
    paused = subscribed(**{stop: clock.now + timedelta(minutes=1)})
    due_for(paused, 500, clock=clock)

    found = figures(clock.now)

    assert (found.deliveries, found.oldest_due_seconds) == (1, None)
    assert figures(clock.advance(minutes=1, seconds=7)).oldest_due_seconds == 7.0


def test_new_events_wait_for_their_deliveries(clock):
    organization = OrganizationFactory()
    first = write_event(organization)
    write_event(organization)
    Event.objects.filter(pk=first.pk).update(occurred_at=clock.now - timedelta(seconds=33))
    fanned_out = write_event(organization)
    Event.objects.filter(pk=fanned_out.pk).update(fanned_out_at=clock.now)

    found = figures(clock.now)

    assert (found.events, found.oldest_event_seconds) == (2, 33.0)
