"""Numbers of the newest attempts, by webhook."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.choices import AttemptResult, DeliveryStatus, ErrorClass
from tms_webhooks.delivery import stats as module
from tms_webhooks.delivery.stats import Lag, Window, percentile, stats
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Event
from tms_webhooks.models.total import Counted

pytestmark = pytest.mark.django_db

EMPTY = Window(attempts=0, success_rate=None, p50_ms=None, p95_ms=None, complete=True)


def tried(
    webhook, *, ago: timedelta, clock, ms: int = 100, error: str = "", number: int = 1, **values: Any
) -> Delivery:
    """Write a delivery and one attempt of it, ``ago`` before now, half a second after its event."""
    moment = clock.now - ago
    done = {"status": "exhausted" if error else "delivered", "due_at": None, "finished_at": moment}
    delivery = write_delivery(webhook, now=moment, **{**done, "attempts": 1, "charged": 1, **values})
    Event.objects.filter(pk=delivery.event_id).update(occurred_at=moment - timedelta(seconds=0.5))
    DeliveryAttempt.objects.create(
        delivery=delivery, number=number, started_at=moment, duration_ms=ms, error_class=error, status_code=200
    )
    result = AttemptResult.GIVEN_UP if error else AttemptResult.DELIVERED
    DeliveryTotal.objects.add([Counted(webhook.pk, moment, result, ms)])
    return delivery


def test_attempts_of_a_day_and_of_a_month(clock):
    webhook = subscribed(name="CRM")
    for ms in range(1, 20):
        tried(webhook, ago=timedelta(hours=1), clock=clock, ms=ms)
    tried(webhook, ago=timedelta(hours=2), clock=clock, ms=900, error=ErrorClass.TIMEOUT)
    for _ in range(5):
        tried(webhook, ago=timedelta(days=2), clock=clock, ms=5000, error=ErrorClass.HTTP_STATUS)
    tried(webhook, ago=timedelta(days=31), clock=clock, ms=77)

    (found,) = stats(now=clock.now).webhooks

    assert (found.id, found.name, found.state, found.backlog, found.due_seconds) == (
        webhook.pk,
        "CRM",
        "enabled",
        0,
        None,
    )
    assert found.organization == webhook.organization_id
    assert found.day == Window(attempts=20, success_rate=0.95, p50_ms=10, p95_ms=19, complete=True)
    assert found.month == Window(attempts=25, success_rate=0.76, p50_ms=13, p95_ms=4480, complete=True)
    assert found.statuses == {"delivered": 20, "exhausted": 6}


def test_a_webhook_without_deliveries_has_no_rates(clock):
    subscribed()

    (found,) = stats(now=clock.now).webhooks

    assert (found.day, found.month, found.statuses) == (EMPTY, EMPTY, {})


def test_what_was_not_tried_is_counted_by_its_status_alone(clock):
    webhook = subscribed(enabled=False)
    write_delivery(webhook, now=clock.now, status=DeliveryStatus.SKIPPED, due_at=None, finished_at=clock.now)
    write_delivery(webhook, now=clock.now)

    (found,) = stats(now=clock.now).webhooks

    assert (found.statuses, found.day, found.state) == ({"pending": 1, "skipped": 1}, EMPTY, "disabled")


def test_states_and_what_is_due(clock):
    enabled = subscribed()
    paused = subscribed(paused_until=clock.now + timedelta(minutes=5), failures=4)
    for webhook in (enabled, paused):
        write_delivery(webhook, now=clock.now, due_at=clock.now - timedelta(seconds=9))

    found = {one.id: (one.state, one.failures, one.backlog, one.due_seconds) for one in stats(now=clock.now).webhooks}

    assert found == {enabled.pk: ("enabled", 0, 1, 9.0), paused.pk: ("paused", 4, 1, None)}


# How long the first attempt takes to come


def test_the_lag_is_taken_from_the_last_hour_without_the_delay_that_was_asked_for(clock):
    tried(subscribed(), ago=timedelta(minutes=5), clock=clock)
    tried(subscribed(delay_seconds=60), ago=timedelta(minutes=5), clock=clock)
    tried(subscribed(), ago=timedelta(minutes=61), clock=clock)

    assert stats(now=clock.now).lag == Lag(deliveries=2, p50=0.0, p95=0.5)


def test_retries_and_replays_have_no_lag(clock):
    webhook = subscribed()
    tried(webhook, ago=timedelta(minutes=5), clock=clock, number=2)
    tried(webhook, ago=timedelta(minutes=5), clock=clock, reopened_at=clock.now)

    assert stats(now=clock.now).lag == Lag(deliveries=0, p50=None, p95=None)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 0.5, None),
        ([7], 0.5, 7),
        ([7], 0.95, 7),
        ([1, 2], 0.5, 1),
        ([1, 2, 3], 0.5, 2),
        (list(range(1, 21)), 0.95, 19),
        (list(range(1, 101)), 0.95, 95),
        ([1, 2, 3], 0.0, 1),
        ([1, 2, 3], 1.0, 3),
    ],
)
def test_percentiles_are_values_that_occurred(values, share, expected):
    assert percentile(values, share) == expected


# Samples


@pytest.fixture
def _small_samples(monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 10)
    monkeypatch.setattr(module, "LEAST_SAMPLE", 3)
    monkeypatch.setattr(module, "SAMPLE_OF_ALL", 12)
    monkeypatch.setattr(module, "MOST_WEBHOOKS", 4)


@pytest.mark.usefixtures("_small_samples")
def test_a_sample_that_leaves_some_out_says_so(clock):
    webhook = subscribed()
    for hour in range(40):
        tried(webhook, ago=timedelta(hours=40 - hour), clock=clock, ms=hour)

    (found,) = stats(now=clock.now).webhooks

    assert found.day == Window(attempts=10, success_rate=1.0, p50_ms=34, p95_ms=39, complete=False)
    assert (found.month.attempts, found.month.complete) == (40, True)
    assert found.statuses == {"delivered": 10}


@pytest.mark.usefixtures("_small_samples")
def test_a_sample_that_reaches_back_far_enough_is_complete(clock):
    webhook = subscribed()
    for days in range(12, 0, -1):
        tried(webhook, ago=timedelta(days=days, hours=-1), clock=clock)

    (found,) = stats(now=clock.now).webhooks

    assert (found.day.attempts, found.day.complete) == (1, True)
    assert (found.month.attempts, found.month.complete) == (12, True)


@pytest.mark.usefixtures("_small_samples")
def test_a_backlog_does_not_hide_what_was_tried(clock):
    webhook = subscribed()
    tried(webhook, ago=timedelta(hours=1), clock=clock, ms=42)
    for _ in range(15):
        write_delivery(webhook, now=clock.now)

    (found,) = stats(now=clock.now).webhooks

    assert (found.day.attempts, found.day.p50_ms, found.day.complete) == (1, 42, True)
    assert (found.backlog, found.statuses) == (15, {"pending": 10})


@pytest.mark.usefixtures("_small_samples")
def test_a_delivery_with_many_attempts_fills_the_sample_alone(clock):
    webhook = subscribed()
    old = tried(webhook, ago=timedelta(hours=9), clock=clock)
    deferred = tried(webhook, ago=timedelta(hours=3), clock=clock, attempts=30)
    for number in range(2, 31):
        DeliveryAttempt.objects.create(
            delivery=deferred, number=number, started_at=clock.now, duration_ms=1, error_class="http_status"
        )

    (found,) = stats(now=clock.now).webhooks

    assert (found.day.attempts, found.day.complete) == (30, False)
    assert old.pk != deferred.pk


@pytest.mark.usefixtures("_small_samples")
def test_of_many_webhooks_those_served_last_are_shown_with_smaller_samples(clock):
    webhooks = [subscribed(served_at=clock.now - timedelta(minutes=age)) for age in range(6)]
    for webhook in webhooks:
        for _ in range(5):
            tried(webhook, ago=timedelta(minutes=1), clock=clock)

    found = stats(now=clock.now)

    assert [one.id for one in found.webhooks] == [webhook.pk for webhook in webhooks[:4]]
    assert [one.day.attempts for one in found.webhooks] == [3, 3, 3, 3]
    assert found.left_out == 2


# Whose


def test_one_organization_and_one_webhook_see_their_own(clock):
    one, other = subscribed(), subscribed()
    sibling = subscribed(organization=one.organization)
    subscribed(organization=one.organization, deleted_at=clock.now)
    for webhook in (one, sibling, other):
        tried(webhook, ago=timedelta(minutes=1), clock=clock)

    assert {found.id for found in stats(now=clock.now).webhooks} == {one.pk, sibling.pk, other.pk}
    of_organization = stats(now=clock.now, organization=one.organization)
    assert {found.id for found in of_organization.webhooks} == {one.pk, sibling.pk}
    assert of_organization.lag.deliveries == 2
    assert [found.id for found in stats(now=clock.now, webhook=one).webhooks] == [one.pk]


def test_it_is_plain_data(clock):
    tried(subscribed(), ago=timedelta(minutes=1), clock=clock)

    found = json.loads(json.dumps(dataclasses.asdict(stats(now=clock.now))))

    assert found["backlog"]["deliveries"] == 0
    assert found["webhooks"][0]["day"]["success_rate"] == 1.0


def test_the_number_of_queries_does_not_grow_with_the_webhooks(clock):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            stats(now=clock.now)
        return len(captured)

    for _ in range(2):
        tried(webhook := subscribed(ordered=True), ago=timedelta(minutes=1), clock=clock)
        write_delivery(webhook, now=clock.now)
    few = queries()
    for _ in range(20):
        tried(webhook := subscribed(ordered=True), ago=timedelta(minutes=1), clock=clock)
        write_delivery(webhook, now=clock.now)

    assert few == queries() == 10
