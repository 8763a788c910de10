"""A queue that runs tasks in the process that enqueues them: a save neither runs a drain nor fails."""

import logging

import pytest
from django.utils.module_loading import import_string
from django_q.conf import Conf

from tms_webhooks import tasks
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import DrainSlot, PeriodicRun
from tms_webhooks.queues import Queue, enqueue

IMMEDIATE = f"{__name__}.ImmediateQueue"


class ImmediateQueue(Queue):
    """Runs each function at once, and raises its error."""

    def enqueue(self, function, *args):
        import_string(function)(*args)

    def enqueue_at(self, moment, function, *args):
        self.enqueue(function, *args)
        return True


def test_a_save_runs_no_drain_and_the_log_says_why(use_queue, rename, caplog):
    use_queue(IMMEDIATE)

    with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
        rename("Another name")

    assert not DrainSlot.objects.exists()
    (record,) = caplog.records
    assert record.getMessage() == "No drain could be woken; the sweep will find the due deliveries."
    assert f"TMS_WEBHOOKS['QUEUE'] is '{IMMEDIATE}', which runs tasks in the process that enqueues them" in caplog.text


@pytest.mark.parametrize(
    "function", [replay.WORK, tasks.PRUNE, tasks.SCAN, tasks.RECONCILE, "tms_webhooks.tasks.sweep"]
)
def test_no_job_runs_in_the_process_that_enqueues_it(use_queue, function):
    use_queue(IMMEDIATE)

    with pytest.raises(ConfigurationError, match="so the task was refused"):
        enqueue(function)

    assert not PeriodicRun.objects.exists()


def test_a_job_that_enqueues_another_one_runs(use_queue):
    use_queue("tms_webhooks.queues.SilentQueue")

    tasks.sweep()

    assert list(PeriodicRun.objects.values_list("function", flat=True)) == ["tms_webhooks.tasks.sweep"]


def test_django_q2_that_runs_tasks_at_once_runs_no_drain(use_queue, rename, monkeypatch):
    use_queue("tms_webhooks.queues.django_q.DjangoQQueue")
    monkeypatch.setattr(Conf, "SYNC", True)

    rename("Another name")

    assert not DrainSlot.objects.exists()
