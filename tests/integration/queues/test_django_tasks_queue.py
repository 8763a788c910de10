"""The tasks that Django's tasks get, and the backends that are refused."""

import logging
import time
from datetime import timedelta

import django
import pytest
from django.utils import timezone

from tests.patience import PATIENCE
from tests.scripts import run_script
from tms_webhooks import tasks
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.models import DrainSlot
from tms_webhooks.outbox.wake import DRAIN
from tms_webhooks.queues import DUE_JOBS, enqueue, get_queue

PATH = "tms_webhooks.queues.django_tasks.DjangoTasksQueue"
BUILT_IN = "django.tasks.backends"

needs_django_6 = pytest.mark.skipif(django.VERSION < (6, 0), reason="Django's tasks need Django 6.0")


@pytest.mark.skipif(django.VERSION >= (6, 0), reason="Django 6.0 has tasks")
def test_an_older_django_is_refused_by_name(use_queue):
    use_queue(PATH)

    with pytest.raises(ConfigurationError, match="Django's tasks need Django 6.0 or newer"):
        get_queue()


@pytest.fixture
def use_backend(use_queue, settings):
    """Choose the backend of Django's tasks, and return it."""

    def use(path):
        from django.tasks import task_backends

        use_queue(PATH)
        settings.TASKS = {"default": {"BACKEND": path}}
        return task_backends["default"]

    return use


@pytest.fixture
def backend(use_backend):
    return use_backend("tests.integration.queues.task_backend.KeepingBackend")


@needs_django_6
def test_a_task_names_its_function(backend):
    enqueue(DRAIN, 2)

    ((task, args),) = backend.kept
    assert (task.module_path, task.run_after, args) == ("tms_webhooks.queues.django_tasks.run", None, (DRAIN, 2))


@needs_django_6
def test_a_task_for_later_has_its_time(backend):
    moment = timezone.now() + timedelta(seconds=7)

    assert get_queue().enqueue_at(moment, DRAIN, 1, True) is True

    ((task, args),) = backend.kept
    assert (task.run_after, args) == (moment, (DRAIN, 1, True))


@needs_django_6
def test_a_worker_runs_functions_of_this_app_only(backend, monkeypatch):
    calls = []
    monkeypatch.setattr(tasks, "drain", lambda *args: calls.append(args))
    enqueue(DRAIN, 1)
    ((task, args),) = backend.kept

    task.call(*args)
    with pytest.raises(ValueError, match="is not a task of tms_webhooks"):
        task.call("os.system", "touch /tmp/owned")

    assert calls == [(1,)]


@needs_django_6
def test_migrating_starts_the_periodic_jobs(backend):
    tasks.install_schedules(using="default")

    assert [args for _task, args in backend.kept] == [(DUE_JOBS,)]


@needs_django_6
@pytest.mark.parametrize("name", ["immediate.ImmediateBackend", "dummy.DummyBackend"])
def test_migrating_with_a_backend_that_is_refused_logs_a_warning(use_backend, caplog, name):
    use_backend(f"{BUILT_IN}.{name}")

    with caplog.at_level(logging.WARNING, logger="tms_webhooks"):
        tasks.install_schedules(using="default")

    (record,) = caplog.records
    assert "The periodic jobs begin with the next event" in record.getMessage()
    assert name.rpartition(".")[2] in record.getMessage()


@needs_django_6
@pytest.mark.parametrize("name", ["immediate.ImmediateBackend", "dummy.DummyBackend"])
def test_a_save_neither_runs_a_drain_nor_fills_the_backend(use_backend, rename, caplog, name):
    backend = use_backend(f"{BUILT_IN}.{name}")
    began = time.monotonic()

    with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
        rename("Another name")

    assert time.monotonic() - began < PATIENCE
    assert not DrainSlot.objects.exists()
    assert getattr(backend, "results", []) == []
    (record,) = caplog.records
    assert record.exc_info[0] is ConfigurationError


KEEPING = {"BACKEND": "tests.integration.queues.task_backend.KeepingBackend"}
CONFIGURED = {
    "default default": {"default": KEEPING},
    "default webhooks": {"default": {**KEEPING, "QUEUES": ["default", "webhooks"]}},
    "webhooks default": {"default": KEEPING, "webhooks": {**KEEPING, "QUEUES": []}},
    "TASKS['default']['QUEUES'] lists neither 'webhooks' nor 'default': Queue 'default' is not valid for backend.": {
        "default": {**KEEPING, "QUEUES": ["mail"]}
    },
}
"""The settings of projects, by the backend and the queue that each gets, or its error."""
SHOW = f"""
import os
from django.conf import settings
for tasks in {[*CONFIGURED.values()]!r}:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    settings.configure(TASKS=tasks)
    try:
        from tms_webhooks.queues import django_tasks
        print(django_tasks.run.backend, django_tasks.run.queue_name, flush=True)
    except ImportError as error:
        print(error, flush=True)
    os._exit(0)
"""


@needs_django_6
def test_a_backend_and_a_queue_named_webhooks_are_preferred():
    assert run_script(SHOW).stdout.splitlines() == [*CONFIGURED]
