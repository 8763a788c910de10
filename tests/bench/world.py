"""What the measurements fill a database with. Import it after `django.setup`."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import connection
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tms_webhooks import catalogue
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook
from tms_webhooks.payloads.envelope import to_text

EXAMPLE = {key: value for key, value in catalogue.get("class.cancelled").example().items() if key != "digest"}
BODY = to_text({**EXAMPLE, "padding": "x" * 700})
"""About two kilobytes, as a real event is stored: a worker adds the digest."""

DELIVERIES = """
INSERT INTO {delivery} (event_id, webhook_id, status, due_at, priority, attempts, charged, error_class, created_at,
    finished_at)
SELECT e.id, w.id, %s, {due_at}, 1, {attempts}, {attempts}, '', %s, {finished_at}
FROM {event} e CROSS JOIN {webhook} w WHERE e.id {events} ORDER BY e.id, w.id"""
ATTEMPTS = """
INSERT INTO {attempt} (delivery_id, number, charged, started_at, duration_ms, status_code, error_class, message,
    response_headers, response_body, delay_reason, timing, request)
SELECT d.id, 1, %s, d.created_at, 5, 200, '', '', '', '', '', '', '' FROM {delivery} d WHERE d.finished_at IS NOT NULL"""


def make_webhooks(count, url, *, organization=None, **fields):
    """Make webhooks that want everything, each in an organization of its own where none is given."""
    webhooks = []
    for number in range(count):
        owner = organization or OrganizationFactory.create()
        webhook = Webhook.objects.create(organization=owner, name=f"Bench {number}", url=url, **fields)
        webhook.subscriptions.create(event_type="*")
        webhooks.append(webhook)
    return webhooks


def write_events(webhooks, count):
    """Write ``count`` events, shared evenly between the organizations of these webhooks, and return them."""
    now = timezone.now()
    return Event.objects.bulk_create(
        [
            Event(
                type="class.cancelled",
                organization_id=webhooks[number % len(webhooks)].organization_id,
                subject_type="class",
                subject_id=str(uuid.uuid4()),
                sequence=1,
                actor_kind="system",
                occurred_at=now,
                body=BODY,
            )
            for number in range(count)
        ],
        batch_size=500,
    )


def write_fanned_out(count, now):
    """Write ``count`` events of the first webhook's organization whose deliveries are written next; return their keys."""
    events = write_events(Webhook.objects.order_by("pk")[:1], count)
    Event.objects.update(fanned_out_at=now)
    return [event.pk for event in events]


def write_deliveries(status, now, *, events, due_at=None):
    """Write a delivery to every webhook of the events whose key is as ``events`` says (``> 7``), attempts and all.

    Those without a ``due_at`` are finished.
    """
    attempts = "0" if status == "pending" else "1"
    if due_at is None:
        parts = {"due_at": "NULL", "finished_at": "%s"}
        _execute(DELIVERIES, [status, now, now], events=events, attempts=attempts, **parts)
        _execute(ATTEMPTS, [True])
    else:
        parts = {"due_at": "%s", "finished_at": "NULL"}
        _execute(DELIVERIES, [status, due_at, now], events=events, attempts=attempts, **parts)


def analyze():
    """Let the database learn what is in it; on PostgreSQL also tidy up, as autovacuum would have by now."""
    with connection.cursor() as cursor:
        statements = {
            "postgresql": "VACUUM ANALYZE",
            "mysql": f"ANALYZE TABLE {', '.join(connection.introspection.table_names())}",
        }
        cursor.execute(statements.get(connection.vendor, "ANALYZE"))
        cursor.fetchall() if connection.vendor == "mysql" else None


def _execute(sql, params, **parts):
    models = {"delivery": Delivery, "event": Event, "webhook": Webhook, "attempt": DeliveryAttempt}
    tables = {name: connection.ops.quote_name(model._meta.db_table) for name, model in models.items()}
    adapt = connection.ops.adapt_datetimefield_value
    values = [adapt(value) if isinstance(value, datetime) else value for value in params]
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**tables, **parts), values)
