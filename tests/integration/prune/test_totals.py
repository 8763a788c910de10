"""Totals of hours are forgotten after eight days, those of days never, whatever else goes."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.prune.rows import DAY, NOTHING, NOW, delivery
from tms_webhooks.choices import AttemptResult, TotalSpan
from tms_webhooks.models import DeliveryTotal
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.outbox.prune import prune


def starts(span):
    return [NOW - moment for moment in DeliveryTotal.objects.filter(span=span).values_list("starts_at", flat=True)]


def count(webhook, age):
    DeliveryTotal.objects.add([CountedAttempt(webhook.pk, NOW - age, AttemptResult.DELIVERED, 5)])


def test_hours_go_and_days_stay(webhook):
    for age in (DAY, 8 * DAY - timedelta(hours=1), 8 * DAY + timedelta(hours=1), 4_000 * DAY):
        count(webhook, age)

    assert prune(NOW)["hours"] == 2

    assert max(starts(TotalSpan.HOUR)) < 8 * DAY
    assert len(starts(TotalSpan.HOUR)) == 2
    assert max(starts(TotalSpan.DAY)) >= 4_000 * DAY
    assert prune(NOW) == NOTHING


def test_totals_stay_when_all_that_they_were_made_of_is_gone(webhook):
    delivery(webhook, 91 * DAY, attempts=2)
    count(webhook, 91 * DAY)

    prune(NOW)

    assert DeliveryTotal.objects.get(span=TotalSpan.DAY).delivered == 1
    assert not webhook.deliveries.exists()
