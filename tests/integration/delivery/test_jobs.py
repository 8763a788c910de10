"""A job is refused with the reason, or done in batches by whoever has time, and shows how far it is and what became of it."""

from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.db import OperationalError

from tests import sweeps
from tests.integration.delivery.jobs import DAY, EVERYTHING, HOUR, WITH_A_RANGE, count, statuses
from tests.integration.delivery.rows import disable, subscribed, work_off, write, write_delivery, write_event
from tests.threads import at_once, several
from tms_webhooks import tasks
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.delivery.replay import progress_by_job
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Event, Job, Webhook

RECOVER, REPLAY_MISSED = JobKind.RECOVER, JobKind.REPLAY_MISSED
RANGE = "not before until"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(replay, "BATCH", 2)


@pytest.fixture
def job_of(finished, clock):
    """Start a recovery of so many deliveries, for a new webhook or this one."""

    def job_of(number, webhook=None):
        webhook = webhook or subscribed()
        finished(webhook, "exhausted", number)
        return start_job(RECOVER, webhook, now=clock.now, requested_by="ann", **EVERYTHING)

    return job_of


def state(job):
    """Return what is stored of a job: status, done and total."""
    return Job.objects.values_list("status", "done", "total").get(pk=job.pk)


# What can't be done


def refusal(kind, webhook, *, now, **range_):
    """Return why a job is refused, having seen that nothing is left of it."""
    before, jobs = list(Delivery.objects.order_by("pk").values()), Job.objects.count()
    with pytest.raises(ReplayError) as refused:
        start_job(kind, webhook, now=now, **range_)
    assert (Job.objects.count(), list(Delivery.objects.order_by("pk").values())) == (jobs, before)
    return str(refused.value)


@pytest.mark.parametrize(
    "kinds, days_ago, message",
    [
        ([RECOVER], {}, "since is missing; a recovery takes a time range of at most 14 days."),
        ([RECOVER], {"since": 14.1}, "since is 14.1 days before the end of the range; the longest range is 14 days."),
        ([RECOVER], {"since": 400}, "since is 400.0 days before the end of the range; the longest range is 14 days."),
        (WITH_A_RANGE, {"since": 1, "until": 1}, RANGE),
        (WITH_A_RANGE, {"since": 1, "until": 2}, RANGE),
        (WITH_A_RANGE, {"since": -1, "until": -2}, RANGE),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_with_the_reason(clock, kinds, days_ago, message):
    times = {name: clock.now - days * DAY for name, days in days_ago.items()}
    if message == RANGE:
        since, until = times["since"], min(times["until"], clock.now)
        message = f"since is {since:%Y-%m-%d %H:%M}, {RANGE}, {until:%Y-%m-%d %H:%M}; give an earlier one."

    for kind in kinds:
        assert refusal(kind, subscribed(), now=clock.now, **times) == message


@pytest.mark.parametrize(
    "kind, since, until, end",
    [(RECOVER, 14, None, 0), (RECOVER, 100, 86, 86), (REPLAY_MISSED, 30, None, 0), (RECOVER, 1, -30, 0)],
)
def test_a_recovery_reaches_14_days_back_from_its_end_which_is_now_at_the_latest(clock, kind, since, until, end):
    until = None if until is None else clock.now - until * DAY

    job = start_job(kind, subscribed(), now=clock.now, since=clock.now - since * DAY, until=until)

    assert (job.since, job.until) == (clock.now - since * DAY, clock.now - end * DAY)


def test_the_setting_says_how_far(settings_of_app, clock):
    settings_of_app(RECOVER_DAYS=2)

    assert "the longest range is 2 days" in refusal(RECOVER, subscribed(), now=clock.now, since=clock.now - 3 * DAY)


GONE = {
    "disable": "is disabled; enable it first.",
    "delete": "was deleted; nothing more is sent to it.",
}


def end(webhook, verb, now):
    """Disable or delete a webhook, of which others may hold an object that does not know it."""
    webhook = Webhook.objects.get(pk=webhook.pk)
    if verb == "disable":
        disable(webhook, now)
    else:
        webhooks.delete(webhook, now=now)


@pytest.mark.parametrize(
    "kind, verb", [(RECOVER, "disable"), (REPLAY_MISSED, "disable"), *((kind, "delete") for kind in JobKind)]
)
def test_nothing_is_sent_to_a_disabled_or_deleted_webhook(clock, kind, verb):
    webhook = subscribed()
    write_delivery(webhook, now=clock.now, status="exhausted", due_at=None)
    end(webhook, verb, clock.now)

    message = refusal(kind, webhook, now=clock.now, since=clock.now - DAY, nouns=["class"])

    assert message == f"Webhook {webhook.public_id} {GONE[verb]}"


@pytest.mark.parametrize("kind", WITH_A_RANGE)
def test_the_same_is_not_begun_twice_and_other_kinds_and_webhooks_need_not_wait(clock, kind):
    webhook, since = subscribed(), clock.now - DAY
    job = start_job(kind, webhook, now=clock.now, since=since)
    message = refusal(kind, webhook, now=clock.now, since=since)

    assert message == f"{job.public_id}, a job of the same kind, is still running for this webhook. Wait for it to end."
    work_off(job, clock.now)
    for other, one in ((subscribed(), kind), *((webhook, one) for one in WITH_A_RANGE)):
        assert start_job(one, other, now=clock.now, since=since).pk != job.pk


@several
@pytest.mark.django_db(transaction=True)
def test_of_people_at_the_same_moment_all_but_one_are_refused(clock):
    webhook = subscribed()

    errors = at_once(*[lambda: start_job(RECOVER, webhook, now=clock.now, since=clock.now - DAY) for _ in range(4)])

    assert [type(error) for error in errors] == [ReplayError] * 3
    assert Job.objects.count() == 1


# Batches


def test_a_job_is_done_in_batches_and_counts_them(job_of, finished, clock):
    job = job_of(3)
    webhook = job.webhook
    assert (job.status, job.total, job.done, job.requested_by, job.created_at) == ("pending", 3, 0, "ann", clock.now)
    assert statuses(webhook) == ["exhausted"] * 3
    # More than were counted.
    finished(webhook, "exhausted", 2)

    seen = []
    while replay.work_on(job, now=clock.now):
        seen.append((*state(job), webhook.deliveries.open().count()))

    assert seen == [("running", 2, 3, 2), ("running", 4, 4, 4), ("running", 5, 5, 5)]
    assert (*state(job), job.finished_at) == ("finished", 5, 5, clock.now)
    assert str(job) == "Resend failed deliveries"


def test_a_job_wakes_a_worker_once_it_is_committed(clock, monkeypatch, django_capture_on_commit_callbacks):
    enqueued = []
    monkeypatch.setattr("tms_webhooks.manage.jobs.enqueue", enqueued.append)

    with django_capture_on_commit_callbacks(execute=True):
        start_job(JobKind.CANCEL_PENDING, subscribed(), now=clock.now)
        assert enqueued == []

    assert enqueued == ["tms_webhooks.tasks.work_on_jobs"]


def test_the_task_does_every_job_to_its_end_and_a_long_one_does_not_hold_up_a_short_one(monkeypatch, job_of):
    long, short = job_of(10), job_of(2)
    worked, original = [], replay.work_on
    monkeypatch.setattr(replay, "work_on", lambda job, now: worked.append(job.pk) or original(job, now=now))

    tasks.work_on_jobs()

    assert worked[:4] == [long.pk, short.pk, long.pk, short.pk]
    assert [state(job) for job in (long, short)] == [("finished", 10, 10), ("finished", 2, 2)]
    assert Delivery.objects.open().count() == 12


# Trouble


@pytest.fixture
def broken_change(monkeypatch):
    """Have the batches of a webhook raise this, or those of all after some; return a function that repairs them."""

    def broken_change(error, webhook=None, *, after=0):
        original, calls = replay._change, []

        def change(kind, of, *args, **kwargs):
            if webhook in (None, of):
                calls.append(None)
                if len(calls) > after:
                    raise error
            original(kind, of, *args, **kwargs)

        monkeypatch.setattr(replay, "_change", change)
        return lambda: monkeypatch.setattr(replay, "_change", original)

    return broken_change


def test_a_job_that_breaks_says_so_and_the_others_go_on(broken_change, job_of, caplog):
    broken, sound = job_of(2), job_of(2)
    broken_change(ValueError("a value that is nobody's business"), broken.webhook)

    tasks.work_on_jobs()

    assert (*state(broken), statuses(broken.webhook)) == ("failed", 0, 2, ["exhausted"] * 2)
    broken.refresh_from_db()
    assert (broken.error, broken.finished_at is None) == ("Unexpected ValueError; see the log.", False)
    assert state(sound) == ("finished", 2, 2)
    assert f"job={broken.pk} failed" in caplog.text


class Killed(BaseException):
    """As a worker that is killed in the middle of a batch."""


@pytest.mark.parametrize("error", [OperationalError("deadlock detected"), Killed()], ids=["refused", "killed"])
def test_a_job_that_was_cut_short_goes_on_where_it_was(broken_change, job_of, error):
    job = job_of(7)
    repair = broken_change(error, after=1)

    with pytest.raises(Killed) if isinstance(error, Killed) else nullcontext():
        tasks.work_on_jobs()
    # The batch that it was in is undone, and its count with it.
    assert (*state(job), job.webhook.deliveries.open().count()) == ("running", 2, 7, 2)
    repair()
    tasks.work_on_jobs()

    assert (*state(job), job.webhook.deliveries.open().count()) == ("finished", 7, 7, 7)


@pytest.mark.parametrize("verb, reason", GONE.items())
def test_a_job_ends_where_its_webhook_is_disabled_or_deleted_in_the_meantime(job_of, clock, verb, reason):
    job = job_of(6)
    assert replay.work_on(job, now=clock.now)
    end(job.webhook, verb, clock.now)
    sweeps.settle(clock.now)

    assert not replay.work_on(job, now=clock.now)

    assert state(job) == ("failed", 2, 6)
    assert job.error == f"Webhook {job.webhook.public_id} {reason}"
    given_back = "skipped" if verb == "disable" else "cancelled"
    assert sorted(statuses(job.webhook)) == sorted(["exhausted"] * 4 + [given_back] * 2)


def test_a_worker_that_is_behind_changes_nothing_and_a_job_that_has_ended_stays_so(job_of, clock):
    ahead = job_of(6)
    behind = Job.objects.get()
    assert replay.work_on(ahead, now=clock.now)

    assert not replay.work_on(behind, now=clock.now)

    assert state(ahead)[:2] == ("running", 2)
    behind.refresh_from_db()
    ahead.finish(now=clock.now, error="a reason")
    assert not replay.work_on(behind, now=clock.advance(hours=1))
    behind.finish(now=clock.now)
    row = Job.objects.get()
    assert (row.status, row.error, row.finished_at, row.done) == ("failed", "a reason", clock.now - HOUR, 2)
    assert statuses(row.webhook).count("exhausted") == 4


@several
@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_moment_count_right(job_of, finished, clock):
    for _ in range(2):
        job = job_of(24)
        finished(job.webhook, "skipped", 13)
        start_job(REPLAY_MISSED, job.webhook, now=clock.now, **EVERYTHING)

    assert at_once(*[tasks.work_on_jobs] * 4) == []
    tasks.work_on_jobs()

    rows = sorted(Job.objects.values_list("status", "done", "total"))
    assert rows == [("finished", 13, 13)] * 2 + [("finished", 24, 24)] * 2
    assert Delivery.objects.open().count() == 74


# What became of its deliveries


def counted(job):
    """Return the progress of a job, without the noughts."""
    return {name: number for name, number in progress_by_job([job])[job.pk]._asdict().items() if number}


def test_a_recovery_counts_its_own_deliveries_as_they_end_and_each_for_the_last_job(do, finished, run, wire):
    webhook = subscribed(schedule="none")
    finished(webhook, "exhausted", 2)
    finished(webhook, "failed")
    finished(webhook, "delivered", 3)
    first = do(RECOVER, webhook, **EVERYTHING)
    assert counted(first) == {"waiting": 3}
    wire.answers = [500]

    run()
    assert counted(first) == {"delivered": 2, "failed": 1}
    second = do(RECOVER, webhook, **EVERYTHING)
    run()

    assert (counted(first), counted(second)) == ({"delivered": 2}, {"delivered": 1})


def test_deliveries_that_a_410_keeps_from_being_sent_are_skipped_and_not_failed(do, finished, run, wire):
    webhook = subscribed(max_in_flight=1)
    finished(webhook, "exhausted", 12)
    wire.answers = [410]
    job = do(RECOVER, webhook, **EVERYTHING)

    run()
    sweeps.settle(now=job.created_at)

    assert len(wire.requests) == 1
    assert counted(job) == {"failed": 1, "skipped": 11}


def test_a_replay_counts_skipped_and_new_deliveries(do, finished, run):
    webhook = subscribed()
    finished(webhook, "skipped", 2)
    (missed,) = finished(webhook, "skipped")
    Delivery.objects.filter(pk=missed.pk).delete()
    write(webhook, created_at=missed.event.occurred_at - timedelta(seconds=1))
    webhook.refresh_from_db()

    job = do(REPLAY_MISSED, webhook)
    run()

    assert counted(job) == {"delivered": 3}


@pytest.mark.parametrize("kind", [JobKind.CANCEL_PENDING, JobKind.SEND_NOW])
def test_a_job_about_deliveries_that_wait_has_none_of_its_own(do, clock, kind):
    webhook = subscribed()
    write_delivery(webhook, now=clock.now)

    job = do(kind, webhook)

    assert (job.done, progress_by_job([job])) == (1, {})
    assert not Delivery.objects.filter(job=job.pk).exists()


@pytest.mark.parametrize("filters", [{}, {"class": [1]}], ids=["unfiltered", "filtered"])
@pytest.mark.parametrize("kind, status", [(RECOVER, "exhausted"), (REPLAY_MISSED, "skipped")])
def test_a_count_ends_at_a_limit_and_the_total_of_the_job_grows_with_its_work(
    do, finished, monkeypatch, kind, status, filters
):
    webhook = subscribed()
    webhook.subscriptions.update(filters=filters)
    finished(webhook, status, 3)
    assert count(kind, webhook, **EVERYTHING) == 3
    monkeypatch.setattr(replay, "MAX_COUNTED", 1)
    assert count(kind, webhook, **EVERYTHING) == 2

    job = do(kind, webhook, **EVERYTHING)

    assert (job.total, job.done) == (3, 3)


def test_new_events_are_filtered_up_to_the_limit_and_counted_as_matching_beyond_it(monkeypatch, clock):
    webhook = subscribed()
    webhook.subscriptions.update(filters={"class": [1]})
    for _ in range(4):
        write_event(webhook.organization)
    Event.objects.update(fanned_out_at=clock.now)
    assert count(REPLAY_MISSED, webhook, **EVERYTHING) == 0

    monkeypatch.setattr(replay, "MAX_COUNTED", 2)

    assert count(REPLAY_MISSED, webhook, **EVERYTHING) == 2
