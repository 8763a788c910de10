"""Recent attempts are returned once each, although keys are assigned before the commit."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.models import DeliveryAttempt
from tms_webhooks.monitoring import recent_attempts
from tms_webhooks.monitoring.recent_attempts import RecentAttempts


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


@pytest.mark.parametrize("chosen", [lambda _webhook: {}, lambda webhook: {"webhook": webhook.pk}])
def test_in_an_outage_the_attempts_of_older_deliveries_are_the_newest(chosen):
    webhook = subscribed()
    made = [attempt(webhook).pk for _ in range(3)]
    for _ in range(5):
        write_delivery(webhook, now=timezone.now())

    attempts = RecentAttempts(**chosen(webhook))

    assert [row.pk for row in attempts.latest(2)] == made[1:]


def test_a_retry_is_newer_than_the_first_attempt_of_a_newer_delivery():
    webhook = subscribed()
    old, new = attempt(webhook), attempt(webhook)
    again = attempt(webhook)
    DeliveryAttempt.objects.filter(pk=again.pk).update(delivery=old.delivery, number=2)

    for attempts in (RecentAttempts(), RecentAttempts(webhook=webhook.pk)):
        assert [row.pk for row in attempts.latest(2)] == [new.pk, again.pk]


def test_attempts_older_than_many_of_other_webhooks_are_found_behind_a_queue(monkeypatch):
    monkeypatch.setattr(recent_attempts, "BATCH", 2)
    monkeypatch.setattr(recent_attempts, "MOST_READ", 4)
    webhook, other = subscribed(), subscribed()
    delivered, retried = attempt(webhook), attempt(webhook)
    for _ in range(20):
        write_delivery(webhook, now=timezone.now())
    newest = [attempt(other).pk for _ in range(7)]
    attempts = RecentAttempts(webhook=webhook.pk)

    assert [row.pk for row in attempts.latest(10)] == [delivered.pk, retried.pk]
    of_own = RecentAttempts(organization=webhook.organization_id)
    assert [row.pk for row in of_own.latest(1)] == [retried.pk]
    of_other = RecentAttempts(organization=other.organization_id)
    assert [row.pk for row in of_other.latest(6)] == newest[1:]
    assert [row.pk for row in of_other.latest(3)] == newest[-3:]
