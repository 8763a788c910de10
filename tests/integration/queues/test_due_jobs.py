"""Drains enqueue the periodic jobs that are due; without a schedule, the sweep leaves a task that restarts them."""

from collections import Counter
from datetime import timedelta

import pytest

from tms_webhooks import tasks
from tms_webhooks.models import PeriodicRun
from tms_webhooks.outbox.wake import DRAIN
from tms_webhooks.queues import DUE_JOBS, periodic_jobs

JOBS = Counter(job.function for job in periodic_jobs())


@pytest.fixture(autouse=True)
def _unscheduled(queue, use_queue, monkeypatch, settings_of_app, clock):
    use_queue("tests.queues.UnscheduledQueue")
    settings_of_app(DRAIN_BUDGET_SECONDS=0.1)
    monkeypatch.setattr("tms_webhooks.db.clock.measured_now", clock)


def enqueued(queue):
    """Return how often each function was enqueued for now."""
    return Counter(function for function, *_args in queue.now)


def test_a_drain_enqueues_each_job_once_per_interval(queue, clock):
    tasks.enqueue_due_jobs()
    assert enqueued(queue) == JOBS

    queue.now.clear()
    clock.advance(seconds=59)
    tasks.enqueue_due_jobs()
    assert queue.now == []

    clock.advance(seconds=1)
    tasks.enqueue_due_jobs()
    assert enqueued(queue) == Counter(["tms_webhooks.tasks.sweep", "tms_webhooks.tasks.work_on_jobs"])


def test_a_job_that_another_process_has_begun_is_not_enqueued(queue, clock):
    PeriodicRun.objects.record("tms_webhooks.tasks.sweep", now=clock.now)

    tasks.enqueue_due_jobs()

    assert enqueued(queue) == JOBS - Counter(["tms_webhooks.tasks.sweep"])


def test_each_drain_does_so(queue):
    tasks.drain()

    assert enqueued(queue) == JOBS
    assert [call[1:] for call in queue.later] == [(DRAIN, 1, True)]


def test_the_sweep_of_a_queue_with_schedules_leaves_no_task(queue, use_queue):
    use_queue("tests.queues.KeepingQueue")

    tasks.sweep()

    assert (enqueued(queue), queue.later) == ({DRAIN: 1}, [])


def test_the_sweep_leaves_a_task_that_restarts_the_jobs_after_every_drain_was_lost(queue, clock):
    tasks.sweep()

    ((moment, function),) = queue.later
    assert (moment, function) == (clock.now + timedelta(seconds=tasks.RESTART_SECONDS), DUE_JOBS)

    queue.now.clear()
    clock.now = moment
    tasks.enqueue_due_jobs()
    assert "tms_webhooks.tasks.sweep" in enqueued(queue)
