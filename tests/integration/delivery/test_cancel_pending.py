"""Cancel what waits: a backlog is called off, and what is under way is left alone."""

from datetime import timedelta

import pytest

from tests.integration.delivery.jobs import EVERYTHING, HOUR, count, statuses
from tests.integration.delivery.rows import OCCURRED_AT, disable, new_event, stored, subscribed, work_off
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Event, Job
from tms_webhooks.outbox.fanout import fan_out


def test_cancelling_calls_off_what_waits_and_what_is_under_way_is_delivered_if_it_is_accepted(
    do, finished, alice, wire, due, clock
):
    webhook = subscribed(max_in_flight=2)
    due(webhook, 2)
    accepted, refused = alice.claim()
    due(webhook, 2)
    due(webhook, 1, status="waiting", attempts=3, charged=3, due_at=clock.now + HOUR)
    finished(webhook, "exhausted")
    other = subscribed("/other")
    due(other, 1)
    assert count(JobKind.CANCEL_PENDING, webhook) == 5

    job = do(JobKind.CANCEL_PENDING, webhook)

    assert (job.total, job.done, job.status) == (5, 5, "finished")
    assert statuses(webhook) == [*["cancelled"] * 5, "exhausted"]
    assert statuses(other) == ["pending"]
    wire.answers = [200, 500]
    alice.write(alice.send(accepted), alice.send(refused))
    assert statuses(webhook)[:2] == ["delivered", "cancelled"]


def test_what_a_user_resends_to_a_disabled_webhook_can_be_cancelled(do, finished, clock):
    webhook = subscribed()
    (delivery,) = finished(webhook, "exhausted")
    disable(webhook, clock.now)
    resend(delivery, now=clock.now)

    assert do(JobKind.CANCEL_PENDING, webhook).done == 1

    assert statuses(webhook) == ["cancelled"]


def test_events_that_happen_after_it_was_asked_for_are_not_cancelled(clock, due):
    webhook = subscribed()
    due(webhook, 2)
    job = start_job(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    later = new_event(webhook.organization)
    later.occurred_at = clock.now + timedelta(seconds=1)
    later.save()
    fan_out(clock.advance(minutes=1))

    work_off(job, clock.now)

    assert statuses(webhook) == ["cancelled", "cancelled", "pending"]
    assert (job.done, job.total) == (2, 2)


def test_a_range_cancels_a_part(do, due, clock):
    webhook = subscribed()
    first, second = due(webhook, 2)
    Event.objects.filter(pk=first.event_id).update(occurred_at=OCCURRED_AT - 2 * HOUR)

    do(JobKind.CANCEL_PENDING, webhook, since=OCCURRED_AT - 3 * HOUR, until=OCCURRED_AT - HOUR)

    assert statuses(webhook) == ["cancelled", "pending"]
    assert second.status == "pending"


@pytest.mark.parametrize("kind, status", [(JobKind.RECOVER, "exhausted"), (JobKind.REPLAY_MISSED, "skipped")])
def test_cancelling_ends_a_resend_that_would_queue_more(monkeypatch, do, finished, clock, kind, status):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhook = subscribed()
    finished(webhook, status, 5)
    resend = start_job(kind, webhook, now=clock.now, **EVERYTHING)
    assert replay.work_on(resend, now=clock.now)

    do(JobKind.CANCEL_PENDING, webhook)

    # A worker with the job in hand, too.
    assert not replay.work_on(resend, now=clock.now)
    assert stored(resend, "status", "error") == ("failed", "“Cancel queued deliveries” ended this job.")
    assert stored(resend, "finished_at") == clock.now
    assert statuses(webhook) == ["cancelled", "cancelled", *[status] * 3]


def test_cancelling_leaves_the_jobs_of_others_and_of_other_ranges(do, due, finished, clock):
    webhook, other = subscribed(), subscribed("/other")
    for each in (webhook, other):
        finished(each, "exhausted")
    before = start_job(JobKind.RECOVER, webhook, now=clock.now, since=OCCURRED_AT - HOUR, until=OCCURRED_AT)
    elsewhere = start_job(JobKind.RECOVER, other, now=clock.now, **EVERYTHING)

    do(JobKind.CANCEL_PENDING, webhook, since=OCCURRED_AT)
    do(JobKind.CANCEL_PENDING, webhook, until=OCCURRED_AT - HOUR)

    assert set(Job.objects.unfinished()) == {before, elsewhere}


def test_a_cancellation_that_is_refused_ends_no_job(clock, finished):
    webhook = subscribed()
    finished(webhook, "exhausted")
    start_job(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    resend = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    with pytest.raises(ReplayError):
        start_job(JobKind.CANCEL_PENDING, webhook, now=clock.now)

    assert stored(resend, "status") == "pending"
