"""The delivery log of so many rows, in a process of its own: ``python -m tests.bench.pages NUMBER ROUNDS``.

The deliveries are those of a hundred webhooks; a thousandth failed for good, long ago. The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from time import perf_counter

import django
from django.utils import timezone

from tests.bench import environment

WEBHOOKS = 100
RARE = 1_000
NAMED = 1_000
"""Events that are named together."""
LOG = "/admin/tms_webhooks/delivery/"


def main(number: int, rounds: int) -> dict[str, float]:
    """Fill the log, and open it as an operator does."""
    from django.test import Client

    from example_project.training.factories import UserFactory
    from tests.bench import depth, world
    from tms_webhooks.models import Delivery, Event

    now = timezone.now()
    webhooks = world.make_webhooks(WEBHOOKS, "https://receiver.example.com/")
    depth.write_events(number // WEBHOOKS, now)
    world.write_deliveries("delivered", now, events="> 0")
    oldest = Delivery.objects.order_by("pk").values_list("pk", flat=True)[: number // RARE]
    Delivery.objects.filter(pk__lte=list(oldest)[-1]).update(status="failed", error_class="invalid_url")
    _name_events(now)
    world.analyze()
    client = Client(SERVER_NAME="localhost")
    client.force_login(UserFactory(organization=None, is_staff=True, is_superuser=True))
    pages = {
        "open": {},
        "last_page": {"p": 20},
        "webhook": {"webhook": webhooks[0].public_id},
        "rare_status": {"status__exact": "failed"},
        "no_such_error": {"error_class__exact": "tls_error"},
        "no_such_type": {"type": "voucher.redeemed"},
        "event_id": {"q": Event.objects.earliest("pk").public_id},
        "object": {"q": Event.objects.earliest("pk").subject_id},
        "name": {"q": "Larsen"},
        "rare_name": {"q": "Quilliam"},
        "no_such_name": {"q": "Unheard-of"},
        "code": {"q": "404"},
        "type": {"q": "voucher.*"},
    }
    client.get(LOG)
    return {
        name: environment.middle([_opened(client, query) for _ in range(rounds)], 0) for name, query in pages.items()
    }


def _name_events(now: datetime) -> None:
    """Give the events of thirty days names: a hundredth one, the oldest another, and all others a third one."""
    from tms_webhooks.models import Event

    keys = list(Event.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), NAMED):
        at = now - timedelta(days=29) * (1 - start / len(keys))
        Event.objects.filter(pk__in=keys[start : start + NAMED]).update(
            subject_name="Alice Jones · Azure Administrator", occurred_at=at
        )
    Event.objects.filter(pk__in=keys[::100]).update(subject_name="Anna Larsen · Azure Administrator")
    Event.objects.filter(pk=keys[0]).update(subject_name="Xan Quilliam · Azure Administrator")


def _opened(client: object, query: dict[str, object]) -> float:
    begun = perf_counter()
    response = client.get(LOG, query)  # type: ignore[attr-defined]
    assert response.status_code == 200
    return (perf_counter() - begun) * 1000


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.settings")
    django.setup()
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
