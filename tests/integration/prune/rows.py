"""Events, deliveries and attempts of a certain age."""

from collections import Counter
from datetime import timedelta
from itertools import count

from tests.conftest import NOW
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Occurrence

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
NOTHING = Counter()

_subjects = count(1_000_001)
"""Higher than any number that a test searches for."""


def event(webhook, age, **values):
    """Write an event of this age that has its deliveries."""
    occurred_at = NOW - age
    return Event.objects.create(
        **{
            "type": "class.cancelled",
            "organization": webhook.organization,
            "subject_type": "class",
            "subject_id": str(next(_subjects)),
            "sequence": 1,
            "actor_kind": "system",
            "occurred_at": occurred_at,
            "fanned_out_at": occurred_at,
            "body": '{"id":"evt_1"}',
            **values,
        }
    )


def delivery(webhook, age, *, attempts=1, still_open=False, **values):
    """Write an event of this age, its delivery, and attempts at it, the last at the age of the event."""
    occurred_at = NOW - age
    status = DeliveryStatus.WAITING if still_open else DeliveryStatus.DELIVERED
    made = Delivery.objects.create(
        event=event(webhook, age, **values),
        webhook=webhook,
        status=status,
        due_at=NOW if still_open else None,
        attempts=attempts,
        created_at=occurred_at,
        finished_at=None if still_open else occurred_at,
    )
    for number in range(1, attempts + 1):
        started_at = occurred_at - (attempts - number) * timedelta(hours=1)
        DeliveryAttempt.objects.create(delivery=made, number=number, started_at=started_at, duration_ms=5)
    return made


def bodies():
    return list(Event.objects.order_by("pk").values_list("body", flat=True))


def mark(key, *, deadline):
    """Write the mark of an event that was recorded a year ago."""
    Occurrence.objects.create(key=key, recorded_at=NOW - 365 * DAY, deadline=deadline)
