"""Costly conditions in a process of their own: ``python -m tests.bench.conditions ROUNDS``.

The last line is JSON: what each round took.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter

import django

SUBSCRIPTIONS, PARTS, IDS = 200, 45, 100
EVENTS = 40


def main(rounds: int) -> dict[str, list[float]]:
    """Fan out in each round, after one that prepares the statements; the first has new conditions."""
    from tests.bench import world
    from tms_webhooks.models import Subscription

    costly, other = world.make_webhooks(2, "http://127.0.0.1:1/hook")
    figures: dict[str, list[float]] = {"alone": [], "waits": [], "costly": []}
    for number in range(rounds + 1):
        figures["alone"].append(_wait(other.pk))
        if not number:
            costly.subscriptions.all().delete()
            Subscription.objects.bulk_create(
                [
                    Subscription(webhook=costly, event_type="class.*", condition=_condition(n))
                    for n in range(SUBSCRIPTIONS)
                ]
            )
        world.write_events([costly], EVENTS)
        figures["waits"].append(_wait(other.pk))
        figures["costly"].append(_rest())
    return figures


def _condition(number: int) -> dict[str, object]:
    """Return a condition of the largest size, none of whose parts holds for the events."""
    parts = [{"data.course.id": [f"{number}-{part}-{key}" for key in range(IDS)]} for part in range(PARTS)]
    return {"any": parts}


def _wait(webhook_id: int) -> float:
    """Write an event for a webhook, and return the milliseconds until its delivery is there."""
    from django.utils import timezone

    from tests.bench import world
    from tms_webhooks.models import Delivery, Webhook
    from tms_webhooks.outbox.fanout import fan_out

    (event,) = world.write_events([Webhook.objects.get(pk=webhook_id)], 1)
    start = perf_counter()
    while not Delivery.objects.filter(event__uid=event.uid).exists():
        fan_out(timezone.now())
    return (perf_counter() - start) * 1000


def _rest() -> float:
    from django.utils import timezone

    from tms_webhooks.outbox.fanout import fan_out

    start = perf_counter()
    while fan_out(timezone.now()):
        pass
    return perf_counter() - start


if __name__ == "__main__":
    django.setup()
    print(json.dumps(main(int(sys.argv[1]))))
