"""A webhook is healthy again when what was given up is delivered: by a job, or sent again by a user."""

from datetime import timedelta

import pytest

from tests.integration.delivery.jobs import EVERYTHING
from tests.integration.delivery.rows import stored, subscribed
from tms_webhooks.choices import Health, JobKind
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Delivery
from tms_webhooks.monitoring.figures import health_by_webhook, needing_attention
from tms_webhooks.monitoring.words import health_figures


@pytest.fixture
def given_up(run, wire):
    """Make a webhook of which three deliveries were given up."""
    webhook = subscribed(max_retries=0, happened=3)
    wire.answers = [500] * 3
    run()
    assert set(webhook.deliveries.values_list("status", flat=True)) == {"exhausted"}
    return webhook


@pytest.fixture
def looked(clock):
    """Return the health of a webhook: the word, what was lost and recovered, and the figures in words."""

    def looked(webhook):
        webhook = type(webhook).objects.select_related("state").get(pk=webhook.pk)
        found = health_by_webhook([webhook], now=clock.now)[webhook.pk]
        ill = [one.pk for one, _health in needing_attention(type(webhook).objects.all(), now=clock.now, most=5)]
        assert ill == ([webhook.pk] if found.word == Health.DEGRADED else [])
        return found.word, found.lost, found.recovered, health_figures(found)

    return looked


NONE = "In this hour and the one before 0 % of the attempts were delivered."
LOST = "In the last 24 hours 3 deliveries were given up and not delivered since."
RECOVERED = "In the last 24 hours 3 deliveries were given up and delivered since."


def test_a_job_that_delivers_them_ends_it_an_hour_after_the_last_failure(given_up, do, run, clock, looked):
    clock.advance(minutes=30)
    do(JobKind.RECOVER, given_up, **EVERYTHING)
    # Those that wait for the job are not delivered yet.
    assert looked(given_up) == (Health.DEGRADED, 3, 0, f"{NONE} {LOST}")

    run()

    rate = "In this hour and the one before 50 % of the attempts were delivered."
    assert looked(given_up) == (Health.DEGRADED, 0, 3, f"{rate} {RECOVERED}")
    clock.advance(minutes=30)
    assert looked(given_up) == (Health.HEALTHY, 0, 3, RECOVERED)
    clock.advance(hours=23)
    # Idle or healthy: attempts are counted by the hour.
    assert looked(given_up)[1:3] == (0, 0)


def test_a_job_that_fails_leaves_it_degraded_for_24_hours(do, run, wire, clock, looked):
    webhook = subscribed(max_retries=0, happened=1)
    wire.otherwise = 500
    run()
    clock.advance(hours=23)
    do(JobKind.RECOVER, webhook, **EVERYTHING)
    run()
    clock.advance(hours=23)

    assert looked(webhook)[:3] == (Health.DEGRADED, 1, 0)
    clock.advance(hours=1)
    assert looked(webhook)[:3] == (Health.IDLE, 0, 0)


def test_a_failed_delivery_that_waits_for_its_retry_makes_it_degraded(run, wire, clock, looked):
    webhook = subscribed(schedule="2h", happened=1)
    wire.answers = [500]
    run()
    clock.advance(minutes=119)
    assert looked(webhook)[:3] == (Health.DEGRADED, 0, 0)
    clock.advance(minutes=1)

    run()

    assert looked(webhook)[:3] == (Health.HEALTHY, 0, 0)


def test_each_that_a_user_sends_again_counts_once_it_is_delivered(given_up, run, wire, clock, looked):
    clock.advance(hours=2)
    first, second, third = given_up.deliveries.order_by("pk")
    wire.answers = [200, 200, 500]
    for delivery in (first, second, third):
        resend(delivery, now=clock.now)
        run()

    text = (
        "In the last 24 hours 1 delivery was given up and not delivered since. "
        "In the last 24 hours 2 deliveries were given up and delivered since."
    )
    assert looked(given_up) == (Health.DEGRADED, 1, 2, text)


def test_an_attempt_of_a_user_that_fails_is_nothing_for_the_health(given_up, run, wire, clock, looked):
    resent = given_up.deliveries.order_by("pk")[:2]
    for delivery in given_up.deliveries.all():
        resend(delivery, now=clock.now)
    run()
    clock.advance(hours=2)
    assert looked(given_up)[:3] == (Health.HEALTHY, 0, 3)
    wire.otherwise = 500
    Delivery.objects.filter(pk=resent[1].pk).update(given_up_at=clock.now - timedelta(days=9), status="exhausted")

    for delivery in resent:
        delivery.refresh_from_db()
        resend(delivery, now=clock.now)
    run()

    assert {stored(delivery, "status") for delivery in resent} == {"exhausted"}
    assert looked(given_up)[:3] == (Health.HEALTHY, 0, 1)
