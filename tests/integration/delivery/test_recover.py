"""Recover: what failed in a time range is sent again."""

import pytest

from tests.integration.delivery.jobs import EVERYTHING, HOUR, count
from tests.integration.delivery.rows import OCCURRED_AT, distinct, stored, subscribed, write
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.delivery import replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Event, Job


@pytest.mark.parametrize(
    "kind, wanted, attempts",
    [
        (JobKind.RECOVER, {"exhausted", "failed"}, ["12", "12", "2"]),
        (JobKind.RESEND_CANCELLED, {"cancelled"}, ["1"]),
    ],
)
def test_failed_and_cancelled_deliveries_are_sent_again_by_jobs_of_their_own(
    do, finished, run, wire, clock, kind, wanted, attempts
):
    webhook = subscribed()
    found = finished(webhook, "exhausted", 2, attempts=11, charged=11)
    found += finished(webhook, "failed", attempts=1, charged=1)
    for status in ("cancelled", "delivered", "skipped"):
        found += finished(webhook, status)
    finished(subscribed("/other", organization=webhook.organization), next(iter(wanted)))
    wanted = [one for one in found if one.status in wanted]
    number = len(wanted)
    assert count(kind, webhook, **EVERYTHING) == number

    job = do(kind, webhook, **EVERYTHING)

    assert (job.status, job.total, job.done, job.finished_at, job.error) == ("finished", number, number, clock.now, "")
    due = distinct(webhook.deliveries.open(), "pk", "status", "priority", "charged", "due_at", "reopened_at")
    assert due == {(one.pk, "pending", Priority.REPLAY, 0, clock.now, clock.now) for one in wanted}
    run()
    assert {request.headers["tms-delivery-id"] for request in wire.requests} == {one.public_id for one in wanted}
    assert len(wire.requests) == len(wanted)
    assert sorted(request.headers["tms-attempt"] for request in wire.requests) == attempts


@pytest.mark.parametrize(
    "since, until, expected",
    [(4, 0, [3, 2, 1]), (3, 1, [3, 2]), (2.5, 1.5, [2]), (3, 2.9, [3]), (2.99, 2.01, []), (30, 20, [])],
)
def test_a_range_is_about_the_time_of_the_event_and_leaves_its_end_out(do, finished, since, until, expected):
    webhook = subscribed()
    by_hours = {hours: finished(webhook, "exhausted", age=hours * HOUR)[0] for hours in (3, 2, 1)}
    range_ = {"since": OCCURRED_AT - since * HOUR, "until": OCCURRED_AT - until * HOUR}
    assert count(JobKind.RECOVER, webhook, **range_) == len(expected)

    job = do(JobKind.RECOVER, webhook, **range_)

    assert (job.total, job.since, job.until) == (len(expected), range_["since"], range_["until"])
    assert set(webhook.deliveries.open()) == {by_hours[hours] for hours in expected}


def test_deliveries_without_a_payload_are_left_out(do, finished):
    webhook = subscribed()
    kept, pruned = finished(webhook, "exhausted", 2)
    Event.objects.filter(pk=pruned.event_id).update(body="")
    assert count(JobKind.RECOVER, webhook, **EVERYTHING) == 1

    assert do(JobKind.RECOVER, webhook, **EVERYTHING).total == 1

    assert list(webhook.deliveries.open()) == [kept]


def test_a_delivery_that_a_user_resends_during_the_job_is_not_sent_twice(finished, clock, monkeypatch):
    webhook = subscribed()
    (delivery,) = finished(webhook, "exhausted")
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    original = Job.advance

    def advance(self, **values):
        write(delivery, status="delivered")
        return original(self, **values)

    monkeypatch.setattr(Job, "advance", advance)
    assert replay.work_on(job, now=clock.now)

    assert stored(delivery, "status", "due_at") == ("delivered", None)
