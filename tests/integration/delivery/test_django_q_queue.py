"""The tasks and schedules in django-q2's tables, which cover each undocumented name of django-q2 that is used."""

import pydoc
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule, Success
from django_q.signing import SignedPackage

from tms_webhooks import tasks
from tms_webhooks.outbox.wake import DRAIN
from tms_webhooks.queues import get_queue


@pytest.fixture(autouse=True)
def _queue(settings_of_app):
    settings_of_app(QUEUE="tms_webhooks.queues.django_q.DjangoQQueue")


def waiting():
    return [SignedPackage.loads(row.payload) for row in OrmQ.objects.order_by("pk")]


def takeable():
    """Return the functions that a worker would get now."""
    return [SignedPackage.loads(payload)["func"] for _pk, payload in ORM(list_key="tms").dequeue() or ()]


def test_a_task_names_its_function_and_its_own_options():
    get_queue().enqueue(DRAIN, 2, True)

    (task,) = waiting()
    assert (task["func"], task["args"], task["kwargs"]) == (DRAIN, (2, True), {})
    # Whatever the host's Q_CLUSTER says: no row for each result, and no task that failed tried for ever.
    assert (task["save"], task["ack_failure"], task["timeout"]) == (False, True, 90)
    assert "broker" not in task
    assert not Success.objects.exists()


def test_a_worker_can_take_a_task_at_once():
    get_queue().enqueue(DRAIN)

    assert takeable() == [DRAIN]


def test_a_task_goes_with_the_transaction_that_enqueued_it():
    with pytest.raises(RuntimeError), transaction.atomic():
        get_queue().enqueue(DRAIN)
        raise RuntimeError

    assert not OrmQ.objects.exists()


def test_a_task_for_later_is_a_row_that_is_locked_until_then():
    moment = timezone.now() + timedelta(minutes=5)

    assert get_queue().enqueue_at(moment, DRAIN, 1, True) is True

    (row,) = OrmQ.objects.all()
    assert (row.lock, row.key) == (moment, "tms")
    (task,) = waiting()
    assert (task["func"], task["args"]) == (DRAIN, (1, True))
    assert takeable() == []


def test_a_worker_can_take_a_task_for_later_when_its_time_has_come():
    get_queue().enqueue_at(timezone.now() - timedelta(milliseconds=1), DRAIN)

    assert takeable() == [DRAIN]


def test_another_broker_than_the_orms_enqueues_nothing_for_later(monkeypatch):
    monkeypatch.setattr("tms_webhooks.queues.django_q.get_broker", object)

    assert get_queue().enqueue_at(timezone.now(), DRAIN) is False
    assert not OrmQ.objects.exists()


def test_conf_holds_the_settings_of_the_cluster(settings):
    cluster = settings.Q_CLUSTER

    assert (cluster["name"], cluster["name"]) == (Conf.PREFIX, Conf.CLUSTER_NAME)
    assert (cluster["retry"], cluster["orm"], cluster["workers"]) == (Conf.RETRY, Conf.ORM, Conf.WORKERS)
    assert Conf.SYNC is False


# The schedule


def test_migrate_writes_one_schedule_and_migrating_again_changes_nothing():
    call_command("migrate", verbosity=0)
    before = list(Schedule.objects.values())

    call_command("migrate", verbosity=0)

    assert list(Schedule.objects.values()) == before
    schedule = Schedule.objects.get()
    assert (schedule.schedule_type, schedule.minutes, schedule.repeats) == (Schedule.MINUTES, 1, -1)
    assert schedule.next_run <= timezone.now()
    # As a worker looks for it.
    assert pydoc.locate(schedule.func) is tasks.enqueue_due_jobs


def test_the_drain_is_found_by_its_path_as_a_worker_looks_for_it():
    assert pydoc.locate(DRAIN) is tasks.drain


@pytest.mark.parametrize("function", [tasks.drain, tasks.sweep, tasks.scan_expiring, tasks.prune])
def test_a_task_takes_arguments_that_a_later_version_may_send(settings_of_app, function):
    settings_of_app(DRAIN_BUDGET_SECONDS=0.5)

    function(from_the_future=True)


def test_the_sweep_starts_a_drain_for_every_slot(settings_of_app):
    settings_of_app(DRAINS=3)

    tasks.sweep()

    assert [(task["func"], task["args"]) for task in waiting()] == [(DRAIN, (1,)), (DRAIN, (2,)), (DRAIN, (3,))]
