"""Recent attempts are returned once each, although keys are assigned before the commit."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.models import DeliveryAttempt
from tms_webhooks.monitoring.recent_attempts import RecentAttempts

pytestmark = pytest.mark.django_db


def attempt(webhook) -> DeliveryAttempt:
    now = timezone.now()
    delivery = write_delivery(webhook, now=now, attempts=1, charged=1, status="waiting")
    return DeliveryAttempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=42)


def test_a_later_attempt_is_returned_once_even_if_its_key_is_lower():
    webhook = subscribed()
    late, first = attempt(webhook), attempt(webhook)
    late.delete()  # its transaction is not committed yet
    attempts = RecentAttempts(webhook=webhook.pk)

    assert [row.pk for row in attempts.latest(10)] == [first.pk]
    assert attempts.new() == []
    late.pk = first.pk - 1
    late.save(force_insert=True)
    second = attempt(webhook)
    assert [row.pk for row in attempts.new()] == [late.pk, second.pk]
    assert attempts.new() == []


def test_an_older_attempt_is_not_returned_as_new():
    webhook = subscribed()
    for _ in range(3):
        attempt(webhook)
    attempts = RecentAttempts()

    assert len(attempts.latest(1)) == 1
    assert attempts.new() == []
