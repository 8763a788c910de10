"""Recover, replay what was missed, cancel what waits: many deliveries at once, with a count before and progress after."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import OCCURRED_AT, new_event, subscribed, write_event, write_events
from tests.integration.delivery.wire import answer
from tests.integration.engine.threads import at_once, several
from tms_webhooks import tasks
from tms_webhooks.choices import DeliveryStatus, DisabledReason, JobKind, JobStatus, Lane
from tms_webhooks.delivery import health, replay
from tms_webhooks.models import Delivery, Event, Job, Webhook
from tms_webhooks.outbox.fanout import fan_out

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EVERYTHING = {"since": OCCURRED_AT - DAY}


@pytest.fixture
def finished(clock):
    """Make deliveries in this state, whose events happened so long before `OCCURRED_AT`."""

    def finished(webhook: Webhook, status: str, number: int = 1, *, age: timedelta = timedelta(), **values):
        made = []
        for _ in range(number):
            event = new_event(webhook.organization)
            event.occurred_at, event.fanned_out_at = OCCURRED_AT - age, clock.now
            event.save()
            state = {"status": status, "due_at": None, "created_at": clock.now, "finished_at": clock.now, **values}
            made.append(Delivery.objects.create(event=event, webhook=webhook, **state))
        return made

    return finished


@pytest.fixture
def do(clock):
    """Start a job and do it to its end."""

    def do(kind: JobKind, webhook: Webhook, **range_) -> Job:
        job = replay.start(kind, webhook, now=clock.now, **range_)
        while replay.work_on(job, now=clock.now):
            pass
        job.refresh_from_db()
        return job

    return do


def count(kind: JobKind, webhook: Webhook, *, since=None, until=None) -> int:
    return replay.affected(kind, webhook, since=since, until=until).count()


def statuses(webhook: Webhook) -> list[str]:
    return list(webhook.deliveries.order_by("pk").values_list("status", flat=True))


# Recover


def test_a_recovery_sends_again_what_failed_and_nothing_else(do, finished, run, wire, clock):
    webhook = subscribed()
    wanted = finished(webhook, "exhausted", 2, attempts=11, charged=11) + finished(
        webhook, "failed", attempts=1, charged=1
    )
    for status in ("delivered", "skipped", "cancelled"):
        finished(webhook, status)
    finished(subscribed("/other", organization=webhook.organization), "exhausted")
    assert count(JobKind.RECOVER, webhook, **EVERYTHING) == 3

    job = do(JobKind.RECOVER, webhook, **EVERYTHING)

    assert (job.status, job.total, job.done, job.finished_at, job.error) == (JobStatus.FINISHED, 3, 3, clock.now, "")
    due = set(webhook.deliveries.open().values_list("pk", "status", "lane", "charged", "due_at", "reopened_at"))
    assert due == {(one.pk, "pending", Lane.REPLAY, 0, clock.now, clock.now) for one in wanted}
    run()
    assert sorted(int(request.headers["tms-delivery-id"]) for request in wire.requests) == [one.pk for one in wanted]
    assert sorted(request.headers["tms-attempt"] for request in wire.requests) == ["12", "12", "2"]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
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


def test_what_has_no_payload_any_more_is_left_out(do, finished):
    webhook = subscribed()
    kept, pruned = finished(webhook, "exhausted", 2)
    Event.objects.filter(pk=pruned.event_id).update(body="")
    assert count(JobKind.RECOVER, webhook, **EVERYTHING) == 1

    assert do(JobKind.RECOVER, webhook, **EVERYTHING).total == 1

    assert list(webhook.deliveries.open()) == [kept]


def test_what_a_person_has_resent_meanwhile_is_not_sent_twice(finished, clock, monkeypatch):
    webhook = subscribed()
    (delivery,) = finished(webhook, "exhausted")
    job = replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    original = Job.advance

    def advance(self, **values):
        Delivery.objects.filter(pk=delivery.pk).update(status="delivered")
        return original(self, **values)

    monkeypatch.setattr(Job, "advance", advance)
    assert replay.work_on(job, now=clock.now)

    delivery.refresh_from_db()
    assert (delivery.status, delivery.due_at) == (DeliveryStatus.DELIVERED, None)


# Replay what was missed


def test_what_was_skipped_is_sent_and_nothing_else(do, finished, run, wire):
    webhook = subscribed()
    wanted = finished(webhook, "skipped", 2) + finished(webhook, "skipped", attempts=2, charged=2)
    for status in ("delivered", "exhausted", "failed", "cancelled"):
        finished(webhook, status)
    finished(subscribed("/other", organization=webhook.organization, events=["user.*"]), "skipped")
    assert count(JobKind.REPLAY_MISSED, webhook) == 3

    job = do(JobKind.REPLAY_MISSED, webhook)
    run()

    assert (job.total, job.done, job.status) == (3, 3, JobStatus.FINISHED)
    assert sorted(int(request.headers["tms-delivery-id"]) for request in wire.requests) == [one.pk for one in wanted]


def test_a_new_webhook_gets_what_happened_before_it_was_made(do, run, wire, clock):
    organization = OrganizationFactory()
    events = [
        write_event(organization),
        write_event(organization, "class.completed"),
        write_event(organization, "user.updated"),
    ]
    write_event(OrganizationFactory())
    fan_out(clock.now)
    webhook = subscribed(organization=organization, events=["class.*"])
    Webhook.objects.filter(pk=webhook.pk).update(created_at=OCCURRED_AT + HOUR)
    webhook.refresh_from_db()
    # Not without being asked: it may be much.
    assert count(JobKind.REPLAY_MISSED, webhook) == 0
    assert count(JobKind.REPLAY_MISSED, webhook, **EVERYTHING) == 2

    job = do(JobKind.REPLAY_MISSED, webhook, **EVERYTHING)
    run()

    assert (job.total, job.done) == (2, 2)
    assert {request.headers["webhook-id"] for request in wire.requests} == {event.public_id for event in events[:2]}
    delivery = webhook.deliveries.first()
    assert (delivery.lane, delivery.created_at, delivery.status) == (Lane.REPLAY, clock.now, DeliveryStatus.DELIVERED)


def test_a_changed_subscription_gets_what_it_did_not_ask_for_before(do, run, wire, clock):
    webhook = subscribed(events=["user.*"])
    Webhook.objects.filter(pk=webhook.pk).update(created_at=OCCURRED_AT - DAY)
    webhook.refresh_from_db()
    event = write_event(webhook.organization)
    run()
    assert count(JobKind.REPLAY_MISSED, webhook) == 0
    webhook.subscriptions.create(event_type="class.cancelled")

    assert count(JobKind.REPLAY_MISSED, webhook) == 1
    do(JobKind.REPLAY_MISSED, webhook)
    run()

    assert [request.headers["webhook-id"] for request in wire.requests] == [event.public_id]


def test_what_is_for_another_subscription_alone_or_about_itself_was_not_missed(clock):
    webhook, other = subscribed(), subscribed()
    other.organization = webhook.organization
    other.save()
    webhook.subscriptions.create(event_type="webhook.*")
    write_event(webhook.organization, subscription=other.subscriptions.get())
    about_itself = write_event(webhook.organization, "webhook.test")
    Event.objects.filter(pk=about_itself.pk).update(subject_type="webhook", subject_id=str(webhook.pk))
    about_another = write_event(webhook.organization, "webhook.test")
    Event.objects.update(fanned_out_at=clock.now)

    missed = replay.affected(JobKind.REPLAY_MISSED, webhook, **EVERYTHING, until=None)

    assert list(missed) == [about_another]


def test_what_is_not_fanned_out_yet_was_not_missed(do, clock, run, wire):
    webhook = subscribed()
    write_event(webhook.organization)

    assert do(JobKind.REPLAY_MISSED, webhook, **EVERYTHING).total == 0
    run()

    assert len(wire.requests) == 1


def test_for_an_ordered_webhook_new_deliveries_have_their_place_in_the_order(do, clock):
    organization = OrganizationFactory()
    event = write_event(organization)
    fan_out(clock.now)
    webhook = subscribed(organization=organization, ordered=True)

    do(JobKind.REPLAY_MISSED, webhook, **EVERYTHING)

    assert webhook.deliveries.get().order_key == event.subject_key


def test_replaying_twice_finds_nothing_more(do, finished, run):
    webhook = subscribed()
    finished(webhook, "skipped", 3)
    do(JobKind.REPLAY_MISSED, webhook)
    run()

    assert do(JobKind.REPLAY_MISSED, webhook).total == 0
    assert statuses(webhook) == [DeliveryStatus.DELIVERED] * 3


# Cancel what waits


def test_cancelling_calls_off_what_waits_and_leaves_what_is_under_way(do, finished, worker, backlog, clock):
    webhook = subscribed(max_in_flight=1)
    backlog(webhook, 1)
    alice = worker("alice")
    (parcel,) = alice.claim()
    backlog(webhook, 2)
    backlog(webhook, 1, status="waiting", attempts=3, charged=3, due_at=clock.now + HOUR)
    finished(webhook, "exhausted")
    other = subscribed("/other")
    backlog(other, 1)
    assert count(JobKind.CANCEL_PENDING, webhook) == 3

    job = do(JobKind.CANCEL_PENDING, webhook)

    assert (job.total, job.done, job.status) == (3, 3, JobStatus.FINISHED)
    assert statuses(webhook) == ["in_flight", *["cancelled"] * 3, "exhausted"]
    assert statuses(other) == ["pending"]
    alice.write(alice.send(parcel))
    assert statuses(webhook)[0] == "delivered"


def test_what_is_under_way_and_fails_is_tried_again_all_the_same(do, worker, wire, backlog):
    webhook = subscribed()
    backlog(webhook, 1)
    alice = worker("alice")
    (parcel,) = alice.claim()
    do(JobKind.CANCEL_PENDING, webhook)
    wire.answers = [answer(500)]

    alice.write(alice.send(parcel))

    assert statuses(webhook) == ["waiting"]


def test_events_that_happen_after_it_was_asked_for_are_not_cancelled(clock, backlog):
    webhook = subscribed()
    backlog(webhook, 2)
    job = replay.start(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    later = new_event(webhook.organization)
    later.occurred_at = clock.now + timedelta(seconds=1)
    later.save()
    fan_out(clock.advance(minutes=1))

    while replay.work_on(job, now=clock.now):
        pass

    assert statuses(webhook) == ["cancelled", "cancelled", "pending"]
    assert (job.done, job.total) == (2, 2)


def test_a_range_cancels_a_part(do, backlog, clock):
    webhook = subscribed()
    first, second = backlog(webhook, 2)
    Event.objects.filter(pk=first.event_id).update(occurred_at=OCCURRED_AT - 2 * HOUR)

    do(JobKind.CANCEL_PENDING, webhook, since=OCCURRED_AT - 3 * HOUR, until=OCCURRED_AT - HOUR)

    assert statuses(webhook) == ["cancelled", "pending"]
    assert second.status == "pending"


def test_what_waits_for_a_disabled_webhook_can_be_cancelled(do, run, finished, clock):
    webhook = subscribed()
    (delivery,) = finished(webhook, "exhausted")
    health.disable(webhook, reason=DisabledReason.ADMIN, now=clock.now)
    replay.resend(delivery, now=clock.now)

    assert do(JobKind.CANCEL_PENDING, webhook).done == 1

    assert statuses(webhook) == ["cancelled"]


# Progress


def test_a_job_is_done_in_batches_and_tells_how_far_it_is(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 3)
    webhook = subscribed()
    finished(webhook, "exhausted", 8)
    job = replay.start(JobKind.RECOVER, webhook, now=clock.now, requested_by="ann", **EVERYTHING)
    assert (job.status, job.total, job.done, job.requested_by, job.created_at) == ("pending", 8, 0, "ann", clock.now)

    seen = []
    while replay.work_on(job, now=clock.now):
        row = Job.objects.get()
        seen.append((row.status, row.done, webhook.deliveries.open().count(), row.finished_at))

    assert seen == [("running", 3, 3, None), ("running", 6, 6, None), ("running", 8, 8, None)]
    row = Job.objects.get()
    assert (row.status, row.done, row.total, row.finished_at) == ("finished", 8, 8, clock.now)
    assert str(row) == "Recover 8 of 8"


def test_a_job_with_nothing_to_do_is_finished(do):
    job = do(JobKind.RECOVER, subscribed(), **EVERYTHING)

    assert (job.status, job.total, job.done) == (JobStatus.FINISHED, 0, 0)


def test_starting_a_job_changes_no_delivery(finished, clock):
    webhook = subscribed()
    finished(webhook, "exhausted", 3)

    replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    assert statuses(webhook) == ["exhausted"] * 3


def test_a_job_rings_for_a_worker_once_it_is_committed(
    finished, clock, monkeypatch, django_capture_on_commit_callbacks
):
    rung = []
    monkeypatch.setattr(replay, "get_queue", lambda: type("Bell", (), {"enqueue": staticmethod(rung.append)}))
    webhook = subscribed()

    with django_capture_on_commit_callbacks() as callbacks:
        replay.start(JobKind.CANCEL_PENDING, webhook, now=clock.now)
    assert rung == []
    for call in callbacks:
        call()

    assert rung == ["tms_webhooks.tasks.work_on_jobs"]


def test_the_task_does_every_job_to_its_end(monkeypatch, finished, clock, run, wire):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhooks = [subscribed(f"/{number}") for number in range(3)]
    for webhook in webhooks:
        finished(webhook, "exhausted", 5)
        replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

    tasks.work_on_jobs()

    assert set(Job.objects.values_list("status", "done", "total")) == {("finished", 5, 5)}
    clock.advance(hours=1)
    run()
    assert len(wire.requests) == 15


def test_the_task_leaves_the_rest_to_another_when_its_time_is_over(monkeypatch, finished, clock):
    enqueued = []
    monkeypatch.setattr(tasks, "get_queue", lambda: type("Bell", (), {"enqueue": staticmethod(enqueued.append)}))
    monkeypatch.setattr(tasks, "JOBS_SECONDS", 0.0)
    webhook = subscribed()
    finished(webhook, "exhausted", 5)
    replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)

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
        replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    worked = []
    original = replay.work_on
    monkeypatch.setattr(replay, "work_on", lambda job, now: worked.append(job.webhook_id) or original(job, now=now))

    tasks.work_on_jobs()

    assert worked[:4] == [long.pk, short.pk, long.pk, short.pk]
    assert set(Job.objects.values_list("status", flat=True)) == {"finished"}


# Cut short, and by several at once


class Killed(BaseException):
    """As a worker that is killed in the middle of a batch."""


def test_a_job_that_was_cut_short_goes_on_where_it_was(monkeypatch, finished, clock):
    monkeypatch.setattr(replay, "BATCH", 2)
    webhook = subscribed()
    finished(webhook, "exhausted", 7)
    replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
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
    ahead = replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
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
    job = replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
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
            replay.start(kind, webhook, now=clock.now, **EVERYTHING)

    assert at_once(*[tasks.work_on_jobs] * 4) == []
    tasks.work_on_jobs()

    assert sorted(Job.objects.values_list("status", "done", "total")) == [
        ("finished", 27, 27),
        ("finished", 27, 27),
        ("finished", 48, 48),
        ("finished", 48, 48),
    ]
    assert Delivery.objects.open().count() == 150


# What goes wrong


def test_a_job_that_breaks_says_so_and_the_others_go_on(monkeypatch, finished, clock, caplog):
    broken, sound = subscribed(), subscribed()
    for webhook in (broken, sound):
        finished(webhook, "exhausted", 2)
        replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    original = replay._change

    def change(kind, webhook, *args, **kwargs):
        if webhook == broken:
            raise ValueError("a value that is nobody's business")
        original(kind, webhook, *args, **kwargs)

    monkeypatch.setattr(replay, "_change", change)

    tasks.work_on_jobs()

    job = broken.jobs.get()
    assert (job.status, job.done, statuses(broken)) == ("failed", 0, ["exhausted"] * 2)
    assert job.error == "It broke with an unexpected ValueError; the log tells more."
    assert job.finished_at is not None
    assert (sound.jobs.get().status, sound.jobs.get().done) == ("finished", 2)
    assert f"job={job.pk} failed" in caplog.text


def test_a_database_that_refuses_a_batch_for_once_ends_no_job(monkeypatch, finished, clock, caplog):
    webhook = subscribed()
    finished(webhook, "exhausted", 2)
    replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
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
    job = replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    replay.work_on(job, now=clock.now)
    health.disable(webhook, reason=DisabledReason.ADMIN, now=clock.now)

    assert not replay.work_on(job, now=clock.now)

    job.refresh_from_db()
    assert (job.status, job.done, job.total) == ("failed", 2, 6)
    assert job.error == f"Webhook {webhook.pk} is disabled; enable it first, or resend single deliveries."
    assert sorted(statuses(webhook)) == ["exhausted"] * 4 + ["skipped"] * 2


def test_a_job_ends_where_its_webhook_is_deleted_meanwhile(finished, clock):
    webhook = subscribed()
    finished(webhook, "exhausted", 2)
    job = replay.start(JobKind.RECOVER, webhook, now=clock.now, **EVERYTHING)
    health.delete(webhook, now=clock.now)

    assert not replay.work_on(job, now=clock.now)

    job.refresh_from_db()
    assert (job.status, job.error) == ("failed", f"Webhook {webhook.pk} was deleted; nothing more is sent to it.")
    assert statuses(webhook) == ["exhausted"] * 2


def test_many_live_events_do_not_wait_for_a_recovery(finished, run, wire, clock, do):
    webhook = subscribed(max_in_flight=1)
    finished(webhook, "exhausted", 20)
    do(JobKind.RECOVER, webhook, **EVERYTHING)
    write_events(webhook.organization, 5)
    fan_out(clock.now)
    live = set(map(str, webhook.deliveries.filter(lane=Lane.LIVE).values_list("pk", flat=True)))

    run()

    assert {request.headers["tms-delivery-id"] for request in wire.requests[:5]} == live
    assert len(wire.requests) == 25
