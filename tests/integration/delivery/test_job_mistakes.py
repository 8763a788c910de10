"""A job that can't be done is refused with what can be, and none is left half begun."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.integration.delivery.jobs import WITH_A_RANGE
from tests.integration.delivery.rows import subscribed, write_delivery
from tests.threads import at_once, several
from tms_webhooks.choices import DisabledReason, JobKind
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Job

DAY = timedelta(days=1)
SENDING = [JobKind.RECOVER, JobKind.REPLAY_MISSED]


def refusal(kind: JobKind, webhook, *, now: datetime, **range_) -> str:
    """Return why a job is refused, having seen that nothing is left of it."""
    before = list(Delivery.objects.order_by("pk").values())
    jobs = Job.objects.count()
    with pytest.raises(ReplayError) as refused:
        start_job(kind, webhook, now=now, **range_)
    assert Job.objects.count() == jobs
    assert list(Delivery.objects.order_by("pk").values()) == before
    return str(refused.value)


def test_a_recovery_needs_a_beginning(clock):
    assert refusal(JobKind.RECOVER, subscribed(), now=clock.now) == (
        "since is missing; a recovery takes a time range of at most 14 days."
    )


@pytest.mark.parametrize("days", [14.1, 15, 400])
def test_a_recovery_reaches_no_further_than_14_days(clock, days):
    message = refusal(JobKind.RECOVER, subscribed(), now=clock.now, since=clock.now - days * DAY)

    assert message == f"since is {days:.1f} days before the end of the range; the longest range is 14 days."


def test_a_recovery_of_just_14_days_is_done(clock):
    job = start_job(JobKind.RECOVER, subscribed(), now=clock.now, since=clock.now - 14 * DAY)

    assert job.until - job.since == 14 * DAY


def test_14_days_that_ended_long_ago_are_as_good(clock):
    since = clock.now - 100 * DAY

    job = start_job(JobKind.RECOVER, subscribed(), now=clock.now, since=since, until=since + 14 * DAY)

    assert (job.since, job.until) == (since, since + 14 * DAY)


def test_the_setting_says_how_far(settings_of_app, clock):
    settings_of_app(RECOVER_DAYS=2)

    message = refusal(JobKind.RECOVER, subscribed(), now=clock.now, since=clock.now - 3 * DAY)

    assert message == "since is 3.0 days before the end of the range; the longest range is 2 days."


def test_a_replay_of_missed_events_may_have_a_longer_range(clock):
    since = clock.now - 30 * DAY

    assert start_job(JobKind.REPLAY_MISSED, subscribed(), now=clock.now, since=since).since == since


@pytest.mark.parametrize("kind", WITH_A_RANGE)
@pytest.mark.parametrize("since", [timedelta(), DAY])
def test_a_range_that_ends_before_it_begins_is_refused(clock, kind, since):
    now = clock.now.replace(year=2026, month=11, day=24, hour=15, minute=0, second=0)

    message = refusal(kind, subscribed(), now=now, since=now - DAY + since, until=now - DAY)

    day = 23 if not since else 24
    assert message == f"since is 2026-11-{day} 15:00, not before until, 2026-11-23 15:00; give an earlier one."


@pytest.mark.parametrize("kind", WITH_A_RANGE)
def test_a_range_that_begins_in_the_future_is_refused(clock, kind):
    message = refusal(kind, subscribed(), now=clock.now, since=clock.now + DAY, until=clock.now + 2 * DAY)

    assert "not before until" in message


def test_a_range_ends_now_at_the_latest(clock):
    job = start_job(JobKind.RECOVER, subscribed(), now=clock.now, since=clock.now - DAY, until=clock.now + 30 * DAY)

    assert job.until == clock.now


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("kind", WITH_A_RANGE)
def test_a_moment_without_a_time_zone_is_refused(clock, kind, name):
    moments = {"since": clock.now - 2 * DAY, "until": clock.now - DAY}
    moments[name] = moments[name].replace(tzinfo=None)

    message = refusal(kind, subscribed(), now=clock.now, **moments)

    assert message == f"{name} has no time zone; give one, as in 2026-11-24T15:00:00Z."


@pytest.mark.parametrize("kind", SENDING)
def test_nothing_is_sent_to_a_disabled_webhook(clock, kind):
    webhook = subscribed()
    write_delivery(webhook, now=clock.now, status="exhausted", due_at=None)
    lifecycle.disable(webhook, reason=DisabledReason.GONE, now=clock.now)

    message = refusal(kind, webhook, now=clock.now, since=clock.now - DAY)

    assert message == f"Webhook {webhook.public_id} is disabled; enable it first, or resend single deliveries."


def test_that_it_was_enabled_when_it_was_read_is_not_enough(clock):
    webhook = subscribed()
    stale = type(webhook).objects.get(pk=webhook.pk)
    lifecycle.disable(webhook, reason=DisabledReason.ADMIN, now=clock.now)

    assert "is disabled" in refusal(JobKind.RECOVER, stale, now=clock.now, since=clock.now - DAY)


@pytest.mark.parametrize("kind", WITH_A_RANGE)
def test_the_same_is_not_begun_twice(clock, kind):
    webhook = subscribed()
    job = start_job(kind, webhook, now=clock.now, since=clock.now - DAY)

    message = refusal(kind, webhook, now=clock.now, since=clock.now - DAY)

    assert message == f"{job.public_id}, a job of the same kind, is still running for this webhook. Wait for it to end."
    while replay.work_on(job, now=clock.now):
        pass
    assert start_job(kind, webhook, now=clock.now, since=clock.now - DAY).pk != job.pk


def test_other_kinds_and_other_webhooks_need_not_wait(clock):
    first, second = subscribed(), subscribed()
    for webhook in (first, second):
        for kind in set(JobKind) - {JobKind.SNAPSHOT}:
            start_job(kind, webhook, now=clock.now, since=clock.now - DAY)

    assert Job.objects.count() == 8


@several
@pytest.mark.django_db(transaction=True)
def test_of_two_people_at_the_same_moment_one_is_refused(clock):
    webhook = subscribed()

    errors = at_once(
        *[lambda: start_job(JobKind.RECOVER, webhook, now=clock.now, since=clock.now - DAY) for _ in range(4)]
    )

    assert [type(error) for error in errors] == [ReplayError] * 3
    assert Job.objects.count() == 1
