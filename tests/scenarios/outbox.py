"""``python -m tests.scenarios.outbox``: fill the outbox of a scenario, or show what has become of it, as JSON."""

import json
import sys

import django


def fill(url, events):
    """Write events for two webhooks of one organization, at ``/first`` and ``/second`` of the URL."""
    from tests.integration.delivery.rows import subscribed, write_events

    first = subscribed(url=f"{url}/first")
    subscribed(url=f"{url}/second", organization=first.organization)
    write_events(first.organization, events)


def show(using="default"):
    """Return the deliveries (webhook's URL, event, status, attempts), and the attempts (delivery, number, status)."""
    from tms_webhooks.models import Delivery, DeliveryAttempt

    deliveries = Delivery.objects.using(using).select_related("webhook", "event").order_by("pk")
    attempts = DeliveryAttempt.objects.using(using).select_related("delivery__event", "delivery__webhook")
    attempts = attempts.order_by("delivery_id", "pk")
    return {
        "deliveries": [(one.webhook.url, one.event.public_id, one.status, one.attempts) for one in deliveries],
        "attempts": [(one.delivery.public_id, one.number, one.status_code) for one in attempts],
    }


if __name__ == "__main__":
    django.setup()
    if sys.argv[1] == "fill":
        fill(sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps(show()))  # noqa: T201
