"""A job that was cut short goes on, and several workers at once count right."""

from __future__ import annotations

import pytest

from tests.integration.delivery.jobs import EVERYTHING, HOUR, statuses
from tests.integration.delivery.rows import subscribed
from tests.threads import at_once, several
from tms_webhooks import tasks
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Job


def test_a_job_that_can_change_nothing_comes_to_its_end(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 2)
    monkeypatch.setattr(replay, "_change", lambda *args, **kwargs: None)
    webhook = subscribed()
    finished(webhook, "exhausted", 5)
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    assert [replay.work_on(job, now=clock.now) for _ in range(4)] == [True, True, True, False]

    assert (Job.objects.get().status, Job.objects.get().done) == ("finished", 5)


class Killed(BaseException):
    """As a worker that is killed in the middle of a batch."""


def test_a_job_that_was_cut_short_goes_on_where_it_was(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhook = subscribed()
    finished(webhook, "exhausted", 7)
    start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    original, calls = replay._change, []

    def change(*args, **kwargs):
        original(*args, **kwargs)
        calls.append(args[2])
        if len(calls) == 2:
            raise Killed

    monkeypatch.setattr(replay, "_change", change)
    with pytest.raises(Killed):
        tasks.work_on_jobs()
    # The batch that it was in is undone, and its count with it.
    job = Job.objects.get()
    assert (job.status, job.done, webhook.deliveries.open().count()) == ("running", 2, 2)

    tasks.work_on_jobs()

    job.refresh_from_db()
    assert (job.status, job.done, job.total, webhook.deliveries.open().count()) == ("finished", 7, 7, 7)


def test_a_worker_that_is_behind_changes_nothing(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhook = subscribed()
    finished(webhook, "exhausted", 6)
    ahead = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    behind = Job.objects.get()
    assert replay.work_on(ahead, now=clock.now)

    assert not replay.work_on(behind, now=clock.now)
    assert (Job.objects.get().status, Job.objects.get().done) == ("running", 2)

    while replay.work_on(ahead, now=clock.now):
        pass
    assert not replay.work_on(behind, now=clock.now)
    assert (Job.objects.get().status, Job.objects.get().done) == ("finished", 6)


def test_a_job_that_has_ended_stays_as_it_ended(clock, finished):
    webhook = subscribed()
    finished(webhook, "exhausted")
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    stale = Job.objects.get()
    job.finish(now=clock.now, error="a reason")

    replay.work_on(stale, now=clock.advance(hours=1))
    stale.finish(now=clock.now)

    row = Job.objects.get()
    assert (row.status, row.error, row.finished_at, row.done) == ("failed", "a reason", clock.now - HOUR, 0)
    assert statuses(webhook) == ["exhausted"]


@several
@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_moment_count_right(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 5)
    webhooks = [subscribed(), subscribed()]
    for webhook in webhooks:
        finished(webhook, "exhausted", 48)
        finished(webhook, "skipped", 27)
        for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED):
            start_job(kind, webhook, now=clock.now, **EVERYTHING)

    assert at_once(*[tasks.work_on_jobs] * 4) == []
    tasks.work_on_jobs()

    assert sorted(Job.objects.values_list("status", "done", "total")) == [
        ("finished", 27, 27),
        ("finished", 27, 27),
        ("finished", 48, 48),
        ("finished", 48, 48),
    ]
    assert Delivery.objects.open().count() == 150
