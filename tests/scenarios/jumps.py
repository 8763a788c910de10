"""The wall clock jumps, forward and back, and how the tests see what came of it."""

from collections import Counter
from datetime import timedelta

import pytest

from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import DeliveryAttempt, Event

HOURS, DAYS = timedelta(hours=2), timedelta(days=3)

far = pytest.mark.parametrize("jump", [HOURS, DAYS], ids=str)
either_way = pytest.mark.parametrize(
    "jump", [HOURS, -HOURS, DAYS, -DAYS], ids=lambda jump: f"{jump / timedelta(hours=1):+.0f}h"
)


def webhook_at(receiver):
    """Make a webhook whose requests come to a receiver."""
    return subscribed(url=receiver.url)


def brought(receiver):
    """Return how often each event came."""
    return Counter(request.headers["webhook-id"] for request in receiver.received)


def once_each():
    """Return that of a receiver that every event came to once."""
    return Counter(event.public_id for event in Event.objects.all())


def states(webhook):
    """Return how many deliveries of a webhook there are with each status and number of attempts."""
    return Counter(webhook.deliveries.values_list("status", "attempts"))


def late_attempts():
    """Return how many attempts came back after their lease was another's."""
    return DeliveryAttempt.objects.filter(number=None).count()
