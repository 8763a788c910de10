"""Figures of all webhooks, of an organization's and of one: from the totals, and so of every attempt."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import DeliveryTotal, Webhook
from tms_webhooks.models.total import DURATION_LIMITS_MS, DURATIONS, LAG_LIMITS_MS, CountedAttempt
from tms_webhooks.monitoring import figures as module
from tms_webhooks.monitoring.figures import (
    MAX_DURATION_MS,
    AttemptStats,
    FirstAttemptLag,
    first_attempt_lag,
    history,
    percentile,
    stats,
)

DELIVERED, RETRIED, GIVEN_UP = AttemptResult.DELIVERED, AttemptResult.RETRIED, AttemptResult.GIVEN_UP


def count(webhook, result=DELIVERED, *, at, number=1, ms=100, lag=None):
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, at, result, ms, lag)] * number)()


def hour_of(clock):
    return clock.now.replace(minute=0, second=0, microsecond=0)


def test_attempts_of_a_day_and_of_a_month(clock):
    webhook = subscribed(name="CRM")
    count(webhook, at=clock.now, number=18, ms=10)
    count(webhook, RETRIED, at=clock.now - timedelta(hours=23), ms=900)
    count(webhook, GIVEN_UP, at=clock.now - timedelta(hours=23), ms=900)
    count(webhook, RETRIED, at=clock.now - timedelta(hours=24), number=5, ms=5000)
    count(webhook, GIVEN_UP, at=clock.now - timedelta(days=30), ms=77)

    (found,) = stats(now=clock.now).webhooks

    assert (found.id, found.name, found.organization) == (webhook.pk, "CRM", webhook.organization_id)
    assert (found.state, found.backlog, found.due_seconds) == ("enabled", 0, None)
    assert found.day == AttemptStats(
        starts_at=hour_of(clock) - timedelta(hours=23),
        attempts=20,
        delivered=18,
        retried=1,
        given_up=1,
        success_rate=0.9,
        p50_ms=6,
        p95_ms=960,
    )
    assert found.month == AttemptStats(
        starts_at=hour_of(clock).replace(hour=0) - timedelta(days=29),
        attempts=25,
        delivered=18,
        retried=6,
        given_up=1,
        success_rate=0.72,
        p50_ms=7,
        p95_ms=4480,
    )


# Lag


def test_the_lag_is_that_of_this_hour_and_the_one_before(clock):
    webhook, other = subscribed(), subscribed()
    count(webhook, at=hour_of(clock), number=18, lag=100)
    count(other, at=hour_of(clock) - timedelta(hours=1), number=2, lag=2_000)
    count(webhook, at=hour_of(clock) - timedelta(hours=1, seconds=1), number=100, lag=60_000)
    count(webhook, at=hour_of(clock), number=50, lag=None)

    assert first_attempt_lag(now=clock.now) == FirstAttemptLag(
        starts_at=hour_of(clock) - timedelta(hours=1), deliveries=20, p50=0.069, p95=2.0
    )


@pytest.mark.parametrize(
    "lags, expected",
    [
        ({100: 18, 30_300: 6}, (24, 0.077, 42.0)),
        ({None: 1}, (0, None, None)),
        ({LAG_LIMITS_MS[-1] * 5: 1}, (1, 3600.0, 3600.0)),
    ],
)
def test_the_lag_is_estimated_and_is_an_hour_at_most(clock, lags, expected):
    webhook = subscribed()
    for lag, number in lags.items():
        count(webhook, at=clock.now, number=number, lag=lag)

    found = stats(now=clock.now).lag

    assert (found.deliveries, found.p50, found.p95) == expected


# Scope


def test_of_many_webhooks_those_served_last_are_returned(clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_WEBHOOKS", 4)
    webhooks = [subscribed(served_at=clock.now - timedelta(minutes=age)) for age in range(6)]
    for webhook in webhooks:
        count(webhook, at=clock.now, lag=5)

    found = stats(now=clock.now)

    assert [one.id for one in found.webhooks] == [webhook.pk for webhook in webhooks[:4]]
    assert found.left_out == 2
    assert found.lag.deliveries == 6


def test_one_organization_and_one_webhook_see_their_own(clock):
    one, other = subscribed(), subscribed()
    sibling = subscribed(organization=one.organization)
    deleted = subscribed(organization=one.organization, deleted_at=clock.now)
    for webhook in (one, sibling, other, deleted):
        count(webhook, at=clock.now, lag=5)

    everything = stats(now=clock.now)
    of_organization = stats(now=clock.now, webhooks=Webhook.objects.filter(organization=one.organization))
    of_webhook = stats(now=clock.now, webhooks=Webhook.objects.filter(pk=one.pk))

    assert {found.id for found in everything.webhooks} == {one.pk, sibling.pk, other.pk}
    assert {found.id for found in of_organization.webhooks} == {one.pk, sibling.pk}
    assert [found.id for found in of_webhook.webhooks] == [one.pk]
    assert [found.lag.deliveries for found in (everything, of_organization, of_webhook)] == [3, 2, 1]


def test_the_number_of_queries_does_not_grow_with_the_webhooks(clock):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            stats(now=clock.now)
        return len(captured)

    def add_webhook():
        webhook = subscribed(ordered=True, failures=1, failed_at=clock.now - timedelta(hours=2))
        count(webhook, at=clock.now, lag=5)
        write_delivery(webhook, now=clock.now)
        return webhook

    for _ in range(2):
        add_webhook()
    few = queries()
    for _ in range(20):
        add_webhook()

    assert few == queries() == 14


# History and percentiles


def test_a_history_has_every_hour_and_every_day(clock):
    webhook, other = subscribed(), subscribed()
    for hours in (0, 1, 23, 24, 24 * 29 + 23, 24 * 31):
        count(webhook, at=clock.now - timedelta(hours=hours))
    count(other, GIVEN_UP, at=clock.now)

    with CaptureQueriesContext(connection) as queries:
        found = history(webhook, now=clock.now)

    assert len(queries) == 2
    assert (len(found.hours), len(found.days)) == (24, 30)
    assert [hour.delivered for hour in found.hours] == [1, *[0] * 21, 1, 1]
    assert found.hours[-1].starts_at == clock.now.replace(minute=0, second=0)
    assert found.day.attempts == 3
    assert found.month.attempts in (4, 5)  # the 30th day ends at midnight
    assert found.month.given_up == 0


@pytest.mark.parametrize(
    "counted, share, expected",
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
