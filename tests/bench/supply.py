"""Webhooks and their events, which `fill` has made in a process of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from django.utils import timezone

from tests.bench import environment


@dataclass(frozen=True)
class Group:
    """Webhooks of one receiver, and their events.

    Attributes:
        port: The receiver's.
        webhooks: Their number.
        events: The number of events, shared evenly between the webhooks' organizations.
        organization: A name. Groups of one name have one organization in common; without a name, each webhook has its own.
        fields: Fields of each webhook.
    """

    port: int
    webhooks: int = 1
    events: int = 0
    organization: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def fill(*groups, fan_out=False):
    """Leave nothing in the database but these groups, in this order; with ``fan_out``, their deliveries are due."""
    described = [asdict(group) for group in groups]
    environment.figures("supply", "make", described, fan_out)


def make(groups, fan_out_all):
    """Clear the database of webhooks and events, and make the groups."""
    from example_project.training.factories import OrganizationFactory
    from tests.bench import world
    from tms_webhooks.outbox.fanout import fan_out

    clear()
    organizations = {name: name and OrganizationFactory.create() for name in {one["organization"] for one in groups}}
    for group in groups:
        url, owner = f"http://127.0.0.1:{group['port']}/hook", organizations[group["organization"]] or None
        webhooks = world.make_webhooks(group["webhooks"], url, organization=owner, **group["fields"])
        world.write_events(webhooks, group["events"])
    while fan_out_all and fan_out(timezone.now()):
        pass


def clear():
    """Remove every event with its deliveries, and delete every webhook."""
    from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook

    for model in (DeliveryAttempt, Delivery, Event):
        model.objects.all()._raw_delete(using="default")
    Webhook.objects.existing().update(deleted_at=timezone.now())
