"""A job that breaks says so, and the others go on."""

from __future__ import annotations

from django.db import OperationalError

from tests import sweeps
from tests.integration.delivery.jobs import EVERYTHING, statuses
from tests.integration.delivery.rows import subscribed, write_events
from tms_webhooks import tasks
from tms_webhooks.choices import DisabledReason, JobKind, Priority
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Job
from tms_webhooks.outbox.fanout import fan_out


def test_a_job_that_breaks_says_so_and_the_others_go_on(monkeypatch, finished, clock, caplog):
    broken, sound = subscribed(), subscribed()
    for webhook in (broken, sound):
        finished(webhook, "exhausted", 2)
        start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    original = replay._change

    def change(kind, webhook, *args, **kwargs):
        if webhook == broken:
            raise ValueError("a value that is nobody's business")
        original(kind, webhook, *args, **kwargs)

    monkeypatch.setattr(replay, "_change", change)

    tasks.work_on_jobs()

    job = broken.jobs.get()
    assert (job.status, job.done, statuses(broken)) == ("failed", 0, ["exhausted"] * 2)
    assert job.error == "Unexpected ValueError; see the log."
    assert job.finished_at is not None
    assert (sound.jobs.get().status, sound.jobs.get().done) == ("finished", 2)
    assert f"job={job.pk} failed" in caplog.text


def test_a_database_that_refuses_a_batch_for_once_ends_no_job(monkeypatch, finished, clock, caplog):
    webhook = subscribed()
    finished(webhook, "exhausted", 2)
    start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    original = replay._change

    def change(*args, **kwargs):
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(replay, "_change", change)
    tasks.work_on_jobs()
    assert Job.objects.get().status == "pending"

    monkeypatch.setattr(replay, "_change", original)
    tasks.work_on_jobs()
    assert (Job.objects.get().status, Job.objects.get().done) == ("finished", 2)


def test_a_job_ends_where_its_webhook_is_disabled_meanwhile(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhook = subscribed()
    finished(webhook, "exhausted", 6)
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    replay.work_on(job, now=clock.now)
    lifecycle.disable(webhook, reason=DisabledReason.ADMIN, now=clock.now)
    sweeps.settle(clock.now)

    assert not replay.work_on(job, now=clock.now)

    job.refresh_from_db()
    assert (job.status, job.done, job.total) == ("failed", 2, 6)
    assert job.error == f"Webhook {webhook.public_id} is disabled; enable it first, or resend single deliveries."
    assert sorted(statuses(webhook)) == ["exhausted"] * 4 + ["skipped"] * 2


def test_a_job_ends_where_its_webhook_is_deleted_meanwhile(finished, clock):
    webhook = subscribed()
    finished(webhook, "exhausted", 2)
    job = start_job(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    webhooks.delete(webhook, now=clock.now)

    assert not replay.work_on(job, now=clock.now)

    job.refresh_from_db()
    assert (job.status, job.error) == (
        "failed",
        f"Webhook {webhook.public_id} was deleted; nothing more is sent to it.",
    )
    assert statuses(webhook) == ["exhausted"] * 2


def test_many_live_events_wait_for_every_fourth_request_of_a_recovery_only(finished, run, wire, clock, do):
    webhook = subscribed(max_in_flight=1)
    finished(webhook, "exhausted", 20)
    do(JobKind.RECOVER, webhook, **EVERYTHING)
    write_events(webhook.organization, 5)
    fan_out(clock.now)
    live = {one.public_id for one in webhook.deliveries.filter(priority=Priority.LIVE)}

    run()

    assert [request.headers["tms-delivery-id"] in live for request in wire.requests[:6]] == [True] * 3 + [False] + [
        True
    ] * 2
    assert len(wire.requests) == 25
