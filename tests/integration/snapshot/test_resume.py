"""A snapshot is cut short and goes on, and waits for a slow receiver."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory, UserFactory
from tests.factories import WebhookFactory
from tests.integration.snapshot.conftest import sent
from tms_webhooks import snapshot, tasks
from tms_webhooks.choices import DisabledReason, JobKind, JobStatus
from tms_webhooks.delivery import lifecycle, replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, DrainSlot, Event, Job, PeriodicRun


class Killed(BaseException):
    """As a worker that is killed in the middle of a batch."""


@pytest.fixture
def webhook():
    return WebhookFactory(events=["class.*", "enrollment.*"])


@pytest.fixture
def objects(webhook, monkeypatch):
    """Five classes and three enrollments, of which two are read at a time."""
    monkeypatch.setattr(snapshot, "PAGE", 2)
    classes = TrainingClassFactory.create_batch(5, organization=webhook.organization)
    enrollments = ClassEnrollmentFactory.create_batch(3, training_class=classes[0])
    # Their creation is of no interest here.
    Event.objects.all().delete()
    return [
        *(("class.snapshot", one.pk) for one in classes),
        *(("enrollment.snapshot", one.pk) for one in enrollments),
    ]


def finish(job, deliver, clock):
    while job.finished_at is None:
        while snapshot.work_on(job, now=clock.now):
            pass
        deliver(job.webhook)


@pytest.mark.parametrize("batches", range(1, 6))
def test_a_job_that_was_killed_in_a_batch_repeats_that_batch_alone(
    webhook, objects, clock, deliver, monkeypatch, batches
):
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class", "enrollment"], now=clock.now)
    original, calls = snapshot._create_deliveries, []

    def create(*args, **kwargs):
        original(*args, **kwargs)
        calls.append(args)
        if len(calls) == batches:
            raise Killed

    monkeypatch.setattr(snapshot, "_create_deliveries", create)
    with pytest.raises(Killed):
        finish(job, deliver, clock)
    cut_short = Job.objects.get()
    assert Event.objects.count() == cut_short.done == Delivery.objects.count()
    monkeypatch.setattr(snapshot, "_create_deliveries", original)

    finish(cut_short, deliver, clock)

    assert sent(webhook)[:-1] == objects
    assert (cut_short.done, cut_short.total, cut_short.status) == (8, 8, JobStatus.FINISHED)


def test_a_job_without_any_object_ends_with_the_last_event(webhook, take):
    job = take(webhook, "class")

    assert (job.status, job.done) == (JobStatus.FINISHED, 0)
    assert sent(webhook) == [("webhook.snapshot_completed", webhook.public_id)]


def test_a_job_waits_while_too_many_of_its_deliveries_are_unfinished(webhook, objects, clock, monkeypatch, deliver):
    monkeypatch.setattr("tms_webhooks.snapshot.SNAPSHOT_BACKLOG", 3)
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)

    assert [snapshot.work_on(job, now=clock.now) for _ in range(4)] == [True, True, False, False]
    assert Delivery.objects.open().count() == 4
    assert job.status == JobStatus.RUNNING

    deliver(webhook)
    assert snapshot.work_on(job, now=clock.now)
    assert Delivery.objects.open().count() == 1


def test_the_last_event_waits_for_all_others(webhook, objects, clock, deliver):
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    while snapshot.work_on(job, now=clock.now):
        pass
    assert ("webhook.snapshot_completed", webhook.public_id) not in sent(webhook)
    assert job.status == JobStatus.RUNNING

    deliver(webhook)
    assert not snapshot.work_on(job, now=clock.now)

    assert sent(webhook)[-1] == ("webhook.snapshot_completed", webhook.public_id)
    assert Job.objects.get().status == JobStatus.FINISHED


def test_the_task_continues_a_job_that_waits_after_some_seconds(
    webhook, objects, settings, clock, deliver, monkeypatch
):
    monkeypatch.setattr("tms_webhooks.snapshot.SNAPSHOT_BACKLOG", 2)
    start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)

    tasks.work_on_jobs()
    assert Delivery.objects.open().count() == 2

    # Another worker's turn: one of them is enough.
    PeriodicRun.objects.filter(function=snapshot.CONTINUATION).delete()
    assert snapshot.next_run(clock.now) == clock.now + snapshot.CONTINUED_AFTER
    assert snapshot.next_run(clock.now) is None
    clock.advance(seconds=2)
    assert snapshot.next_run(clock.now) == clock.now + snapshot.CONTINUED_AFTER


def test_while_a_drain_runs_a_task_waits_for_the_deliveries_and_ends_the_job(
    webhook, objects, clock, deliver, monkeypatch
):
    monkeypatch.setattr("tms_webhooks.snapshot.SNAPSHOT_BACKLOG", 2)
    now = timezone.now()
    DrainSlot.objects.take(1, owner="a drain", now=now, until=now + timedelta(seconds=30))
    waits = []
    monkeypatch.setattr("tms_webhooks.snapshot.sleep", lambda seconds: seconds and waits.append(deliver(webhook)))
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class", "enrollment"], now=clock.now)

    tasks.work_on_jobs()

    job.refresh_from_db()
    assert (job.status, job.done) == (JobStatus.FINISHED, len(objects))
    assert sum(waits) == len(objects)
    assert sent(webhook)[-1] == ("webhook.snapshot_completed", webhook.public_id)


def test_without_a_drain_a_task_does_not_wait(webhook, objects, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.snapshot.SNAPSHOT_BACKLOG", 2)
    monkeypatch.setattr("tms_webhooks.snapshot.sleep", lambda seconds: seconds and pytest.fail("It waits."))
    start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)

    tasks.work_on_jobs()

    assert Delivery.objects.open().count() == 2


def test_a_job_whose_receiver_is_down_is_left_to_the_regular_runs(webhook, objects, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.snapshot.SNAPSHOT_BACKLOG", 2)
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    snapshot.work_on(job, now=clock.now)
    assert snapshot.next_run(clock.now) is not None
    clock.advance(seconds=10)

    webhook.state.write(paused_until=clock.now + timedelta(days=365))
    assert snapshot.next_run(clock.now) is None

    webhook.state.write(paused_until=None)
    Delivery.objects.update(status="waiting", attempts=1)
    assert snapshot.next_run(clock.now) is None


def test_a_job_ends_where_its_webhook_is_disabled(webhook, objects, clock):
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    snapshot.work_on(job, now=clock.now)
    lifecycle.disable(webhook, reason=DisabledReason.ADMIN, now=clock.now)

    assert not snapshot.work_on(job, now=clock.now)

    job.refresh_from_db()
    assert (job.status, job.done) == (JobStatus.FAILED, 2)
    assert "is disabled" in job.error


def test_a_job_whose_queued_deliveries_are_cancelled_continues_with_the_other_objects(webhook, objects, clock):
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    assert snapshot.work_on(job, now=clock.now)
    clock.advance(minutes=1)
    cancelling = start_job(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    while replay.work_on(cancelling, now=clock.now):
        pass
    assert list(Delivery.objects.values_list("status", flat=True)) == ["cancelled"] * 2

    while snapshot.work_on(job, now=clock.now):
        pass

    assert (job.status, job.done, Delivery.objects.open().count()) == (JobStatus.RUNNING, 5, 3)


def test_an_object_that_can_not_be_built_is_counted_and_left_out(
    webhook, clock, take, settings_of_app, monkeypatch, caplog
):
    settings_of_app(STRICT_PAYLOADS=False)
    first, second = TrainingClassFactory.create_batch(2, organization=webhook.organization)
    type(first).objects.filter(pk=first.pk).update(confirmation_status_id=99)

    job = take(webhook, "class")

    assert (job.status, job.done, job.skipped) == (JobStatus.FINISHED, 1, 1)
    assert sent(webhook)[0] == ("class.snapshot", second.pk)
    assert f"A snapshot leaves out training.TrainingClass {first.pk}." in caplog.text


def test_a_page_takes_the_same_few_queries_however_many_objects_it_has(
    webhook, django_assert_max_num_queries, objects, clock
):
    UserFactory.create_batch(3, organization=webhook.organization)
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)

    # However many objects a page has.
    with django_assert_max_num_queries(20):
        snapshot.work_on(job, now=clock.now)
