"""The traps of Celery and of Django's tasks that a host's settings can walk into."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import django
import pytest
from celery import Celery, _state

from tests.unit.checks.conftest import only
from tms_webhooks.checks.environment import check_queue

CELERY = {"QUEUE": "tms_webhooks.queues.celery.CeleryQueue"}
DJANGO_TASKS = {"QUEUE": "tms_webhooks.queues.django_tasks.DjangoTasksQueue"}


@pytest.fixture
def app(settings) -> Iterator[Celery]:
    settings.TMS_WEBHOOKS = CELERY
    before = _state._tls.current_app
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.set_current()
    yield app
    app.close()
    _state._set_current_app(before)


def test_celery_with_a_broker_is_sound(app) -> None:
    assert check_queue() == []


def test_celery_must_not_run_tasks_where_they_are_enqueued(app) -> None:
    app.conf.task_always_eager = True
    message = only(check_queue(), "E024")
    assert message.msg.startswith("Celery's task_always_eager is on: tasks would run in the process that enqueues them")
    assert "tms_webhooks.queues.silent.SilentQueue" in str(message.hint)


def test_celery_needs_an_app_with_a_broker(app) -> None:
    app.conf.broker_url = None
    message = only(check_queue(), "E028")
    assert message.msg == "Celery has no broker: your app is not imported here."


def test_a_broker_needs_its_packages(app, monkeypatch) -> None:
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    assert check_queue() == []
    monkeypatch.setattr("kombu.transport._transport_cache", {})
    monkeypatch.delitem(sys.modules, "kombu.transport.redis")
    monkeypatch.setitem(sys.modules, "packaging.version", None)
    message = only(check_queue(), "E029")
    assert message.msg.startswith("A package of Celery's broker is not installed (")
    assert "packaging" in message.msg
    assert "pip install 'celery[redis]'" in str(message.hint)


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django's tasks need Django 6.0")
@pytest.mark.parametrize(
    ("backend", "number"),
    [
        ("django.tasks.backends.immediate.ImmediateBackend", "E024"),
        ("django.tasks.backends.dummy.DummyBackend", "E027"),
        ("tests.integration.queues.task_backend.PromptBackend", "E027"),
        ("tests.integration.queues.task_backend.KeepingBackend", ""),
    ],
)
def test_djangos_tasks_need_a_backend_with_workers_and_a_time(settings, backend: str, number: str) -> None:
    settings.TMS_WEBHOOKS = DJANGO_TASKS
    settings.TASKS = {"default": {"BACKEND": backend}}
    messages = check_queue()
    if number:
        assert only(messages, number).msg.startswith(f"TASKS['default']['BACKEND'] is {backend.rpartition('.')[2]}")
    else:
        assert messages == []
