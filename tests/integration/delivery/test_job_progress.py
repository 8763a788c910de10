"""A job is done in batches by whoever has time, and tells how far it is."""

from __future__ import annotations

from tests.integration.delivery.jobs import EVERYTHING, statuses
from tests.integration.delivery.rows import subscribed
from tms_webhooks import tasks
from tms_webhooks.choices import JobKind, JobStatus
from tms_webhooks.delivery import replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Job


def test_a_job_is_done_in_batches_and_counts_them(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 3)
    webhook = subscribed()
    finished(webhook, "exhausted", 8)
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, requested_by="ann", **EVERYTHING)
    assert (job.status, job.total, job.done, job.requested_by, job.created_at) == ("pending", 8, 0, "ann", clock.now)

    seen = []
    while replay.work_on(job, now=clock.now):
        row = Job.objects.get()
        seen.append((row.status, row.done, webhook.deliveries.open().count(), row.finished_at))

    assert seen == [("running", 3, 3, None), ("running", 6, 6, None), ("running", 8, 8, None)]
    row = Job.objects.get()
    assert (row.status, row.done, row.total, row.finished_at) == ("finished", 8, 8, clock.now)
    assert str(row) == "Resend failed deliveries 8 of 8"


def test_a_job_that_finds_more_than_were_counted_has_done_all_of_it(finished, clock):
    webhook = subscribed()
    finished(webhook, "exhausted")
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    finished(webhook, "exhausted", 2)

    while replay.work_on(job, now=clock.now):
        pass

    assert (job.done, job.total) == (3, 3)
    job.refresh_from_db()
    assert (job.done, job.total) == (3, 3)


def test_a_job_with_nothing_to_do_is_finished(do):
    job = do(JobKind.RECOVER, subscribed(), **EVERYTHING)

    assert (job.status, job.total, job.done) == (JobStatus.FINISHED, 0, 0)


def test_starting_a_job_changes_no_delivery(finished, clock):
    webhook = subscribed()
    finished(webhook, "exhausted", 3)

    start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    assert statuses(webhook) == ["exhausted"] * 3


def test_a_job_rings_for_a_worker_once_it_is_committed(
    finished, clock, monkeypatch, django_capture_on_commit_callbacks
):
    enqueued = []
    monkeypatch.setattr("tms_webhooks.manage.jobs.enqueue", enqueued.append)
    webhook = subscribed()

    with django_capture_on_commit_callbacks() as callbacks:
        start_job(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    assert enqueued == []
    for call in callbacks:
        call()

    assert enqueued == ["tms_webhooks.tasks.work_on_jobs"]


def test_the_task_does_every_job_to_its_end(monkeypatch, finished, clock, run, wire):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhooks = [subscribed(f"/{number}") for number in range(3)]
    for webhook in webhooks:
        finished(webhook, "exhausted", 5)
        start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    tasks.work_on_jobs()

    assert set(Job.objects.values_list("status", "done", "total")) == {("finished", 5, 5)}
    clock.advance(hours=1)
    run()
    assert len(wire.requests) == 15


def test_the_task_leaves_the_rest_to_another_when_its_time_is_over(monkeypatch, finished, clock):
    enqueued = []
    monkeypatch.setattr(tasks, "enqueue", enqueued.append)
    monkeypatch.setattr(tasks, "JOBS_SECONDS", 0.0)
    webhook = subscribed()
    finished(webhook, "exhausted", 5)
    start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    tasks.work_on_jobs()
    assert (Job.objects.get().status, enqueued) == ("pending", [replay.WORK])

    monkeypatch.setattr(tasks, "JOBS_SECONDS", 20.0)
    tasks.work_on_jobs()
    assert (Job.objects.get().status, enqueued) == ("finished", [replay.WORK])


def test_a_long_job_does_not_hold_up_a_short_one(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 1)
    long, short = subscribed(), subscribed()
    finished(long, "exhausted", 10)
    finished(short, "exhausted", 1)
    for webhook in (long, short):
        start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    worked = []
    original = replay.work_on
    monkeypatch.setattr(replay, "work_on", lambda job, now: worked.append(job.webhook_id) or original(job, now=now))

    tasks.work_on_jobs()

    assert worked[:4] == [long.pk, short.pk, long.pk, short.pk]
    assert set(Job.objects.values_list("status", flat=True)) == {"finished"}
