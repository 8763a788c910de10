"""Notifications are kept as long as attempts."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.delivery.rows import subscribed
from tests.integration.prune.rows import NOTHING, NOW
from tms_webhooks.models import Notification
from tms_webhooks.outbox.prune import prunable, prune


def test_notifications_of_91_days_ago_go_and_younger_ones_stay():
    webhook = subscribed()
    old, young = (
        Notification.objects.create(
            webhook=webhook,
            kind="failing",
            channel="email",
            since=NOW,
            created_at=NOW - timedelta(days=days),
        )
        for days in (91, 89)
    )

    assert prunable(NOW)["notifications"] == 1
    assert prune(NOW)["notifications"] == 1

    assert list(Notification.objects.all()) == [young]
    assert prune(NOW) == NOTHING
    assert old.pk != young.pk
