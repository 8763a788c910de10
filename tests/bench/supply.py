"""Webhooks and their events, in a process of its own: `fill` runs it from outside.

Run as ``python -m tests.bench.supply GROUPS FAN_OUT``: it clears the database of events and of their deliveries, deletes the
webhooks, and makes those of GROUPS, a JSON list.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

import django
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


def fill(url: str, *groups: Group, fan_out: bool = False) -> None:
    """Leave nothing in the database but these groups, in this order; with ``fan_out``, their deliveries are due."""
    described = json.dumps([asdict(group) for group in groups])
    environment.figures("supply", described, int(fan_out), url=url, port=groups[0].port)


def main(groups: list[Group], *, fan_out: bool) -> None:
    """Clear, and make the groups."""
    from example_project.training.factories import OrganizationFactory

    clear()
    organizations = {group.organization: OrganizationFactory.create() for group in groups if group.organization}
    for group in groups:
        make(group, organizations.get(group.organization))
    if fan_out:
        fan_out_all()


def clear() -> None:
    """Remove every event with its deliveries, and delete every webhook."""
    from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook

    for model in (DeliveryAttempt, Delivery, Event):
        model.objects.all()._raw_delete(using="default")
    Webhook.objects.existing().update(deleted_at=timezone.now())


def make(group: Group, organization: Any) -> None:
    """Make the webhooks and the events of a group."""
    from tests.bench import world

    url = f"http://127.0.0.1:{group.port}/hook"
    webhooks = world.make_webhooks(group.webhooks, url, organization=organization, **group.fields)
    world.write_events(webhooks, group.events)


def fan_out_all() -> None:
    """Make the deliveries of all events."""
    from tms_webhooks.outbox.fanout import fan_out

    while fan_out(timezone.now()):
        pass


if __name__ == "__main__":
    django.setup()
    main([Group(**group) for group in json.loads(sys.argv[1])], fan_out=bool(int(sys.argv[2])))
    print(json.dumps(None))
