"""The history of a webhook has every hour and every day, with rates and durations from the totals."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import DeliveryTotal
from tms_webhooks.models.total import DURATION_LIMITS_MS, DURATIONS, CountedAttempt
from tms_webhooks.monitoring.figures import MAX_DURATION_MS, history, percentile

pytestmark = pytest.mark.django_db


def test_a_history_has_every_hour_and_every_day(clock):
    webhook, other = subscribed(), subscribed()
    for hours in (0, 1, 23, 24, 24 * 29 + 23, 24 * 31):
        DeliveryTotal.objects.add(
            [CountedAttempt(webhook.pk, clock.now - timedelta(hours=hours), AttemptResult.DELIVERED, 100)]
        )
    DeliveryTotal.objects.add([CountedAttempt(other.pk, clock.now, AttemptResult.GIVEN_UP, 100)])

    with CaptureQueriesContext(connection) as queries:
        found = history(webhook, now=clock.now)

    assert len(queries) == 2
    assert (len(found.hours), len(found.days)) == (24, 30)
    assert [hour.delivered for hour in found.hours] == [1, *[0] * 21, 1, 1]
    assert found.hours[-1].starts_at == clock.now.replace(minute=0, second=0)
    assert found.day.attempts == 3
    assert found.month.attempts in (4, 5)  # the 30th day ends at midnight
    assert found.month.given_up == 0


def test_a_webhook_that_was_never_tried_has_no_rates(clock):
    found = history(subscribed(), now=clock.now)

    assert (found.day.success_rate, found.month.success_rate, found.day.p95_ms) == (None, None, None)


@pytest.mark.parametrize(
    ("counted", "share", "expected"),
    [
        ({}, 0.5, None),
        ({"took_10": 1}, 1.0, 10),
        ({"took_10": 10}, 0.5, 5),
        ({"took_10": 50, "took_20": 50}, 0.5, 10),
        ({"took_10": 50, "took_20": 50}, 0.95, 19),
        ({"took_10": 94, "took_640": 6}, 0.95, 373),
        ({"took_longer": 2}, 0.5, 20_120),
    ],
)
def test_a_percentile_is_estimated_within_its_bucket(counted, share, expected):
    limits = (*DURATION_LIMITS_MS, MAX_DURATION_MS)

    assert percentile([counted.get(name, 0) for name in DURATIONS], share, limits=limits) == expected
