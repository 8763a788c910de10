"""A database of a given size, and pages of the API over it: ``python -m tests.bench.lists fill|ask NUMBER``.

``fill`` makes NUMBER deliveries to a hundred webhooks of as many organizations, and one organization with a tenth
as many events and deliveries of its own; ``ask`` asks for each kind of page NUMBER times, through all of Django, and prints
the milliseconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from time import perf_counter
from typing import Any

import django
from django.db.models import F
from django.utils import timezone

WEBHOOKS = 100
URL = "https://receiver.example.com/"
LARGE = "Large"
RARE = 3
"""Deliveries of each webhook that failed."""
PAGE = 5
"""Rows of a page: each organization has as many, whatever the size."""


def fill(number: str) -> dict[str, int]:
    """Write events and deliveries; all are finished, one in a hundred in vain, and few failed."""
    from tests.bench import world
    from tms_webhooks.models import Delivery, Event, Webhook

    now = timezone.now()
    webhooks = world.make_webhooks(WEBHOOKS, URL)
    world.write_events(webhooks, int(number) // WEBHOOKS)
    world.write_deliveries("delivered", now, events="> 0", tried=False)
    (large,) = world.make_webhooks(1, URL)
    Webhook.objects.filter(pk=large.pk).update(name=LARGE)
    world.write_events([large], int(number) // 10)
    keys = Event.objects.filter(organization=large.organization).values_list("pk", flat=True)
    Delivery.objects.bulk_create(
        [
            Delivery(event_id=key, webhook=large, created_at=now, finished_at=now, status="delivered")
            for key in keys.iterator()
        ],
        batch_size=1_000,
    )
    Delivery.objects.alias(rest=F("id") % 97).filter(rest=0).update(status="exhausted")
    for webhook in Webhook.objects.all():
        keys = webhook.deliveries.order_by("pk").values_list("pk", flat=True)[:RARE]
        Delivery.objects.filter(pk__in=list(keys)).update(status="failed")
    Event.objects.update(fanned_out_at=now, occurred_at=now - timedelta(hours=1))
    publish()
    world.analyze()
    return {"deliveries": Delivery.objects.count(), "events": Event.objects.count()}


def publish() -> None:
    """Give all events their places in the feed."""
    from tms_webhooks.outbox import feed

    while feed.publish(timezone.now()):
        pass


def ask(number: str) -> dict[str, list[float]]:
    """Ask for pages of five, as a small organization, a large one, and an operator who sees everything."""
    from example_project.training.models import ApiKey, User
    from tms_webhooks.models import Webhook

    large = Webhook.objects.get(name=LARGE)
    small = Webhook.objects.exclude(pk=large.pk).order_by("pk")[50]
    operator, _made = User.objects.get_or_create(
        username="operator", defaults={"email": "operator@example.com", "is_staff": True, "is_superuser": True}
    )
    found: dict[str, list[float]] = {}
    for name, webhook in (("small", small), ("large", large), ("all", large)):
        client = _client()
        if name == "all":
            client.force_login(operator)
        else:
            _key, clear = ApiKey.objects.create_key(name="bench", organization_id=webhook.organization_id)
            client.defaults["HTTP_AUTHORIZATION"] = f"Api-Key {clear}"
        for kind, address in _addresses(client, webhook):
            found[f"{kind}_{name}_ms"] = _time(client, address, int(number))
    return found


def _addresses(client: Any, webhook: Any) -> Iterator[tuple[str, str]]:
    """Yield the first page of each list, and the second of those that go on."""
    for kind, first in (
        ("deliveries", f"/api/deliveries/?page_size={PAGE}"),
        ("failed", f"/api/deliveries/?page_size={PAGE}&status=failed"),
        ("of_webhook", f"/api/deliveries/?page_size={PAGE}&webhook={webhook.public_id}"),
    ):
        yield kind, first
        if kind == "deliveries":
            yield "deliveries_next", client.get(first).json()["next"]
    yield "feed", f"/api/events/?page_size={PAGE}"
    middle = client.get(f"/api/events/?page_size={PAGE}").json()["cursor"]
    yield "feed_next", f"/api/events/?page_size={PAGE}&after={middle}"
    yield "undelivered", f"/api/events/?page_size={PAGE}&undelivered_to={webhook.public_id}"


def _time(client: Any, address: str, number: int) -> list[float]:
    times = []
    for _ in range(number):
        start = perf_counter()
        answer = client.get(address)
        times.append((perf_counter() - start) * 1000)
        assert answer.status_code == 200, answer.content
    return times


def _client() -> Any:
    from django.test import Client

    return Client(SERVER_NAME="localhost")


if __name__ == "__main__":
    django.setup()
    print(json.dumps({"fill": fill, "ask": ask}[sys.argv[1]](sys.argv[2])))
