"""What the measurements fill a database with. Import it after `place.prepare`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tms_webhooks import catalogue
from tms_webhooks.models import Event, Webhook
from tms_webhooks.payloads.envelope import to_text

BODY = to_text({**catalogue.get("class.cancelled").example(), "padding": "x" * 700})
"""About two kilobytes, as a real event has."""


def make_webhooks(count: int, url: str, **fields: object) -> list[Webhook]:
    """Make webhooks that want everything, each in an organization of its own."""
    webhooks = []
    for number in range(count):
        organization = OrganizationFactory.create()
        webhook = Webhook.objects.create(organization=organization, name=f"Bench {number}", url=url, **fields)
        webhook.subscriptions.create(event_type="*")
        webhooks.append(webhook)
    return webhooks


def write_events(webhooks: Sequence[Webhook], count: int) -> None:
    """Write ``count`` events, shared evenly between the organizations of these webhooks."""
    now = timezone.now()
    Event.objects.bulk_create(
        [
            Event(
                type="class.cancelled",
                organization_id=webhooks[number % len(webhooks)].organization_id,
                subject_type="class",
                subject_id=uuid.uuid4().hex,
                sequence=1,
                actor_kind="system",
                occurred_at=now,
                body=BODY,
            )
            for number in range(count)
        ],
        batch_size=500,
    )
