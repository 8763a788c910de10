"""A drain without a queue does by itself what a queue's schedules would do."""

from __future__ import annotations

import logging
import threading

import pytest
from django.core.management import call_command

from tms_webhooks.management import timer as timer_module
from tms_webhooks.management.timer import LEAVING, SECONDS, Timer, ticking
from tms_webhooks.queues.base import PeriodicJob
from tms_webhooks.queues.periodic import periodic_jobs

SILENT = "tms_webhooks.queues.silent.SilentQueue"
DJANGO_Q = "tms_webhooks.queues.django_q.DjangoQQueue"

SWEEP = PeriodicJob("sweep", "tasks.sweep", 1)
PRUNE = PeriodicJob("prune", "tasks.prune", 60)


@pytest.fixture
def ran(monkeypatch):
    """The dotted paths of what was run, in order."""
    paths = []
    monkeypatch.setattr(timer_module, "import_string", lambda path: lambda: paths.append(path))
    return paths


def test_everything_is_run_at_once_and_then_each_in_its_time(ran):
    now = [0.0]
    timer = Timer([SWEEP, PRUNE], clock=lambda: now[0])

    assert timer.run_due() == 60
    assert ran == ["tasks.sweep", "tasks.prune"]
    for now[0] in (59.0, 60.0, 120.0, 3_600.0):
        timer.run_due()

    assert ran[2:] == ["tasks.sweep", "tasks.sweep", "tasks.sweep", "tasks.prune"]


def test_a_replay_job_does_not_wait_a_minute(ran):
    now = [0.0]
    jobs = [job for job in periodic_jobs() if job.function in SECONDS]
    timer = Timer(jobs, clock=lambda: now[0])

    assert [timer.run_due(), len(jobs)] == [5.0, 1]


def test_a_job_that_fails_is_logged_and_does_not_keep_the_others_from_running(monkeypatch, caplog):
    ran = []

    def find(path):
        def run():
            ran.append(path)
            if path == "tasks.sweep":
                raise ValueError("boom")

        return run

    monkeypatch.setattr(timer_module, "import_string", find)

    with caplog.at_level(logging.ERROR, "tms_webhooks"):
        Timer([SWEEP, PRUNE]).run_due()

    assert ran == ["tasks.sweep", "tasks.prune"]
    assert "sweep failed" in caplog.text


def test_they_run_while_the_block_lasts_and_no_longer(monkeypatch):
    ran = threading.Event()
    monkeypatch.setattr(timer_module, "import_string", lambda _path: ran.set)

    with ticking([SWEEP]):
        assert ran.wait(LEAVING)

    assert not [thread for thread in threading.enumerate() if thread.name == "webhook-timer"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("queue", "options", "ticks"),
    [
        (SILENT, [], True),
        (DJANGO_Q, [], False),
        (DJANGO_Q, ["--timer"], True),
        (SILENT, ["--no-timer"], False),
        (SILENT, ["--until-idle"], False),
    ],
)
def test_it_ticks_where_no_queue_would(settings, monkeypatch, queue, options, ticks):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": queue}
    ticking_jobs = []

    class Ticking:
        def __init__(self, jobs):
            ticking_jobs.extend(jobs)

        def __enter__(self):
            pass

        def __exit__(self, *_error):
            pass

    monkeypatch.setattr("tms_webhooks.management.commands.webhooks_drain.ticking", Ticking)

    call_command("webhooks_drain", "--seconds", "0.05", *options)

    assert ticking_jobs == (list(periodic_jobs()) if ticks else [])


@pytest.mark.django_db
def test_every_job_can_be_run_by_its_path(settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": SILENT}

    Timer(periodic_jobs()).run_due()
