"""A drain that a command runs runs the periodic jobs that no queue runs."""

import logging
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django_q.models import OrmQ

from tests.factories import WebhookFactory
from tests.integration.delivery.trouble import Trouble
from tms_webhooks.choices import JobKind, JobStatus
from tms_webhooks.management import timer as timer_module
from tms_webhooks.management.timer import GRACE, TICK, Timer
from tms_webhooks.models import Job, PeriodicRun
from tms_webhooks.queues import get_queue
from tms_webhooks.tasks import RECONCILE

SILENT = "tms_webhooks.queues.SilentQueue"
DJANGO_Q = "tms_webhooks.queues.django_q.DjangoQQueue"

TASKS = "tms_webhooks.tasks."
QUICK = [f"{TASKS}work_on_jobs"]
ALL = [f"{TASKS}{name}" for name in ("sweep", "work_on_jobs", "scan_expiring", "prune", "reconcile")]


@pytest.fixture
def ran(monkeypatch):
    """The dotted paths of what was run, in order."""
    paths = []
    monkeypatch.setattr(timer_module, "import_string", lambda path: lambda *args: paths.append(path))
    return paths


@pytest.fixture
def _django_q(settings_of_app):
    settings_of_app(QUEUE=DJANGO_Q)


def run_at(timer, clock, ran, **after):
    """Let some time pass; return the jobs that the timer runs then."""
    del ran[:]
    clock.advance(**after)
    timer.run_due()
    return list(ran)


def begin(*functions, at):
    """Record that other processes begin these jobs."""
    for function in functions:
        PeriodicRun.objects.record(function, now=at)


# Without a queue


def test_everything_is_run_at_once_and_then_each_in_its_time(ran, clock):
    timer = Timer(clock=clock)

    assert timer.run_due() == TICK
    assert ran == ALL
    assert run_at(timer, clock, ran, seconds=4) == []
    assert run_at(timer, clock, ran, seconds=1) == QUICK
    assert run_at(timer, clock, ran, seconds=55) == ALL[:2]
    assert run_at(timer, clock, ran, minutes=5) == ALL[:3]
    assert run_at(timer, clock, ran, minutes=60) == ALL[:4]
    assert run_at(timer, clock, ran, days=1) == ALL


def test_a_job_that_a_user_has_started_begins_within_a_second(ran, clock):
    timer = Timer(clock=clock)
    timer.run_due()
    job = Job.objects.create(kind=JobKind.SNAPSHOT, webhook=WebhookFactory(), created_at=clock.now)

    assert run_at(timer, clock, ran, seconds=1) == QUICK
    Job.objects.filter(pk=job.pk).update(status=JobStatus.RUNNING)
    assert run_at(timer, clock, ran, seconds=1) == []


def test_two_timers_share_the_jobs(ran, clock):
    first, second = Timer(clock=clock), Timer(clock=clock)
    first.run_due()

    assert run_at(second, clock, ran) == []
    assert run_at(second, clock, ran, minutes=1) == ALL[:2]
    assert run_at(first, clock, ran) == []


def test_a_job_that_fails_is_logged_and_does_not_keep_the_others_from_running(monkeypatch, caplog, clock):
    ran = []

    def find(path):
        def run():
            ran.append(path)
            if path == ALL[0]:
                raise ValueError("boom")

        return run

    monkeypatch.setattr(timer_module, "import_string", find)

    with caplog.at_level(logging.ERROR, "tms_webhooks"):
        Timer(clock=clock).run_due()

    assert ran == ALL
    assert "tms_webhooks.tasks.sweep failed" in caplog.text


def test_a_database_that_does_not_answer_is_logged_once(ran, clock, caplog):
    timer = Timer(clock=clock)

    with connection.execute_wrapper(Trouble("SELECT", "tms_webhooks_periodicrun", times=2)):
        assert [timer.run_due(), timer.run_due()] == [TICK, TICK]
        assert ran == []
        timer.run_due()

    assert ran == ALL
    assert len(caplog.records) == 1


# What a job leaves for later


def test_the_rest_of_a_long_job_runs_soon_and_in_slices(monkeypatch, clock):
    ran = []
    begin(*ALL, at=clock.now)
    begin(RECONCILE, at=clock.now - timedelta(days=1))

    def find(path):
        def run(*args):
            ran.append((path, args))
            if len(ran) < 3:
                get_queue().enqueue(RECONCILE, False)

        return run

    monkeypatch.setattr(timer_module, "import_string", find)
    timer = Timer(clock=clock)

    # The first slice is the job itself, and one rest follows it.
    assert [timer.run_due(), timer.run_due(), timer.run_due()] == [0.0, TICK, TICK]
    assert ran == [(RECONCILE, ()), (RECONCILE, (False,)), (RECONCILE, (False,))]


# Beside django-q2


@pytest.mark.usefixtures("_django_q")
def test_where_no_cluster_runs_the_timer_takes_over_every_job(ran, clock):
    assert run_at(Timer(clock=clock), clock, ran) == ALL


@pytest.mark.usefixtures("_django_q")
def test_a_job_that_a_cluster_runs_in_time_is_left_to_it(ran, clock):
    timer = Timer(clock=clock)
    begin(*ALL, at=clock.now)

    assert run_at(timer, clock, ran, seconds=60 + GRACE.total_seconds() - 1) == []
    assert run_at(timer, clock, ran, seconds=1) == ALL[:2]


@pytest.mark.usefixtures("_django_q")
def test_real_jobs_leave_nothing_in_the_queue_of_a_cluster_that_does_not_run():
    Timer().run_due()

    assert set(PeriodicRun.objects.values_list("function", flat=True)) == set(ALL)
    assert not OrmQ.objects.exists()


# In the command


@pytest.mark.parametrize(
    "queue, options, ticks",
    [
        (SILENT, [], True),
        (DJANGO_Q, [], True),
        (SILENT, ["--no-timer"], False),
        (SILENT, ["--until-idle"], False),
    ],
)
def test_it_ticks_unless_it_is_to_leave_that_to_others(settings_of_app, monkeypatch, queue, options, ticks):
    settings_of_app(QUEUE=queue)
    ticked = threading.Event()
    monkeypatch.setattr(Timer, "run_due", lambda self: ticked.set() or TICK)

    call_command("webhooks_drain", "--seconds", "0.05", *options)

    assert ticked.is_set() == ticks
