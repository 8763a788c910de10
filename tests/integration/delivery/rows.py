"""Events and deliveries as rows, without the domain change that would have written them."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from tests.factories import STATE_FIELDS, WebhookFactory
from tms_webhooks.choices import DeliveryStatus, DisabledReason
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.models import Delivery, Event, FanOutFailure, Webhook, WebhookState
from tms_webhooks.models.event import searchable
from tms_webhooks.outbox.fanout import fan_out

SAMPLES = Path(__file__).resolve().parents[2] / "golden" / "samples"
OCCURRED_AT = (datetime.now(UTC) - timedelta(days=3)).replace(hour=15, minute=0, second=0, microsecond=0)
"""Always a few days ago: a recovery goes back 14 days at most, and it counts them from the real time."""

_subjects = count(1_000_001)
"""Higher than any number that a test searches for."""


def body_of(event_type):
    """Return a whole event of this type, as the outbox stores one: compact, and not in ASCII alone."""
    sample = json.loads((SAMPLES / f"{event_type}.json").read_text())
    sample["data"]["name"] = "Zoë's class"
    return json.dumps(sample, separators=(",", ":"), ensure_ascii=False)


def new_event(organization, event_type="class.cancelled", *, body=None, subscription=None):
    """Return an event that is not saved yet."""
    return Event(
        type=event_type,
        organization=organization,
        subject_type="class",
        subject_id=str(next(_subjects)),
        sequence=1,
        actor_kind="system",
        occurred_at=OCCURRED_AT,
        body=body_of(event_type) if body is None else body,
        subscription=subscription,
    )


def write_event(organization, event_type="class.cancelled", **values):
    """Write one event into the outbox."""
    event = new_event(organization, event_type, **values)
    event.save()
    return event


def set_aside(organization, *, now, error="IntegrityError"):
    """Write an event that is set aside, because its fan-out failed five times."""
    event = write_event(organization)
    FanOutFailure.objects.create(pk=event.pk, tries=5, retry_at=now, error=error)
    write(event, fanned_out_at=now, occurred_at=now)
    return event


def name_event(event, name, **values):
    """Give an event a name to show and to search by."""
    Event.objects.filter(pk=event.pk).update(subject_name=name, searched_name=searchable(name), **values)
    event.refresh_from_db()


def write_events(organization, number, **values):
    """Write many events into the outbox."""
    Event.objects.bulk_create([new_event(organization, **values) for _ in range(number)], batch_size=500)


def write_delivery(webhook, *, now, **values):
    """Write an event that is fanned out, and its delivery to ``webhook``; by default one that is due."""
    event = new_event(webhook.organization)
    event.fanned_out_at = now
    event.save()
    return Delivery.objects.create(
        **{
            "event": event,
            "webhook": webhook,
            "status": DeliveryStatus.PENDING,
            "due_at": now,
            "created_at": now,
            **values,
        }
    )


def lease(webhook, until, *, worker="a worker"):
    """Have a worker hold a webhook."""
    WebhookState.objects.filter(pk=webhook.pk).update(lease=worker, leased_until=until)


def subscribed(path="/hook", *, happened=0, **values):
    """Make a webhook that wants everything; ``path`` tells its requests from others. So many events of it ``happened``."""
    webhook = WebhookFactory(**{"url": f"https://receiver.example.com{path}", "events": ["*"], **values})
    write_events(webhook.organization, happened)
    return webhook


def disable(webhook, now, reason="admin"):
    """Disable a webhook, by default as a user does."""
    lifecycle.disable(webhook, reason=DisabledReason(reason), now=now)


def fan_out_all(now):
    """Fan out until no event waits for it."""
    while fan_out(now):
        pass


def work_off(job, now):
    """Do all batches of a job."""
    while replay.work_on(job, now=now):
        pass


def write(row, **values):
    """Write values into the table of a row, or of the state of a webhook, and leave the object as it is."""
    rows = (
        WebhookState.objects if values.keys() <= STATE_FIELDS and isinstance(row, Webhook) else type(row)._base_manager
    )
    rows.filter(pk=row.pk).update(**values)


def stored(row, *names):
    """Return values of a row as the database has them: one by itself, several as a tuple."""
    values = type(row)._base_manager.values_list(*names).get(pk=row.pk)
    return values if len(names) > 1 else values[0]


def distinct(rows, *names):
    """Return the different values that rows have. ``rows`` is a model, a manager or a queryset."""
    rows = getattr(rows, "objects", rows)
    return set(rows.values_list(*names, flat=len(names) == 1))
