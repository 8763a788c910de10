"""The traps of queues that a host's settings can walk into."""

import sys

import django
import pytest
from celery import Celery, _state
from django.apps import apps
from django.core import checks
from django_q.conf import Conf

from tests.unit.checks.conftest import expect
from tms_webhooks.checks.environment import check_queue
from tms_webhooks.conf import app_settings
from tms_webhooks.queues import Queue, SilentQueue, django_q, get_queue
from tms_webhooks.queues.django_q import DjangoQQueue

HERE = __name__
CELERY = {"QUEUE": "tms_webhooks.queues.celery.CeleryQueue"}
DJANGO_TASKS = {"QUEUE": "tms_webhooks.queues.django_tasks.DjangoTasksQueue"}
SERVER = {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None, "OPTIONS": {}}
SILENT = "...tms_webhooks.queues.SilentQueue..."


class HalfQueue(Queue):
    """Lacks `enqueue`."""

    def schedule(self, *, using):
        raise NotImplementedError


class WorriedQueue(SilentQueue):
    """Has something to say of itself."""

    def check(self):
        return [checks.Warning("No lamp.", hint="Light one.", id="host.W001")]


class HastyQueue(SilentQueue):
    """Reads a setting when it is made."""

    def __init__(self):
        self.minutes = app_settings.DRAIN_BUDGET_SECONDS / 60


class BrokenQueue(SilentQueue):
    """Fails when it is made."""

    def __init__(self):
        raise KeyError("lamp")


@pytest.mark.parametrize(
    "written, expected",
    [
        *(
            (
                {"QUEUE": queue},
                f"E008: TMS_WEBHOOKS['QUEUE'] is {queue!r}, which {text}... -> Name a subclass of tms_webhooks.queues.Queue "
                "that implements `enqueue`.",
            )
            for queue, text in (
                (
                    "tms_webhooks.queues.rabbit.RabbitQueue",
                    "can't be imported (No module named 'tms_webhooks.queues.rabbit')",
                ),
                ("nonsense", "can't be imported (nonsense doesn't look like a module path)"),
                ("tms_webhooks.models.Webhook", "is none"),
                (f"{HERE}.HalfQueue", "can't be created"),
            )
        ),
        ({"QUEUE": f"{HERE}.WorriedQueue"}, "host.W001"),
        # A queue that can't read its settings is not reported while they are wrong, and none is asked.
        ({"QUEUE": f"{HERE}.HastyQueue", "DRAIN_BUDGET_SECONDS": "long"}, ""),
        ({"QUEUE": 3}, ""),
        (["QUEUE"], ""),
    ],
)
def test_a_path_has_to_lead_to_a_queue(settings, written, expected):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, **written} if isinstance(written, dict) else written
    expect(check_queue(), *filter(None, [expected]))


def test_a_mistake_in_a_queue_is_not_hidden_while_all_settings_are_right(settings_of_app):
    settings_of_app(QUEUE=f"{HERE}.BrokenQueue")
    with pytest.raises(KeyError, match="lamp"):
        check_queue()


@pytest.mark.parametrize("is_installed, queue", [(True, DjangoQQueue), (False, SilentQueue)])
def test_the_default_is_django_q2_where_it_is_installed_or_no_queue(settings, monkeypatch, is_installed, queue):
    settings.TMS_WEBHOOKS = {}
    monkeypatch.setattr(apps, "is_installed", lambda name: name == "django_q" and is_installed)
    assert type(get_queue()) is queue
    assert list(check_queue()) == []


# django-q2


class Server:
    vendor = "postgresql"


@pytest.fixture
def said(settings, monkeypatch):
    """Return what the check says, with this said otherwise than the example project does."""

    def said(*, database=None, budget=8, **cluster):
        settings.TMS_WEBHOOKS = {"QUEUE": "tms_webhooks.queues.django_q.DjangoQQueue", "DRAIN_BUDGET_SECONDS": budget}
        for name, value in cluster.items():
            monkeypatch.setattr(Conf, name, value)
        if database is not None:
            monkeypatch.setitem(settings.DATABASES, "default", {**SERVER, **database})
            monkeypatch.setattr(django_q, "connections", {"default": Server()})
        return check_queue()

    return said


@pytest.mark.parametrize(
    "written, expected",
    [
        ({}, ""),
        ({"database": {}}, ""),
        # Django refuses a pool with another CONN_MAX_AGE.
        ({"database": {"CONN_MAX_AGE": 0, "OPTIONS": {"pool": True}}}, ""),
        ({"database": {"CONN_MAX_AGE": 0}}, "W022: DATABASES['default']['CONN_MAX_AGE'] is 0..."),
        *(
            (
                {"RETRY": retry},
                f"W021: Q_CLUSTER['retry'] is {retry} s, not above the 90 s that a drain may take... "
                "-> Set Q_CLUSTER['retry'] to 120 or more.",
            )
            for retry in (90,)
        ),
        (
            {"SYNC": True},
            "E024: Q_CLUSTER['sync'] is True: tasks would run in the process that enqueues them, and a save would wait for "
            f"deliveries. They are refused. -> {SILENT}",
        ),
        *(
            (
                {"budget": budget},
                f"W025: TMS_WEBHOOKS['DRAIN_BUDGET_SECONDS'] is {budget:g} s... -> Set DRAIN_BUDGET_SECONDS to 50 or less.",
            )
            for budget in (50.5,)
        ),
        ({"WORKERS": 1}, "W026: ... -> Set Q_CLUSTER['workers'] to 2 or more."),
    ],
)
def test_a_cluster_of_django_q2_has_to_run_drains_well(said, written, expected):
    expect(said(**written), *filter(None, [expected]))


def test_django_q_has_to_be_installed(said, monkeypatch):
    is_installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "django_q" and is_installed(name))
    expect(said(), "E020: django_q is not in INSTALLED_APPS.")


# Celery


@pytest.fixture
def app(settings):
    settings.TMS_WEBHOOKS = CELERY
    before = _state._tls.current_app
    app = Celery("tests", broker="memory://", set_as_current=False)
    app.set_current()
    yield app
    app.close()
    _state._set_current_app(before)


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("broker_url", "memory://", ""),
        ("broker_url", "redis://127.0.0.1:1/0", ""),
        (
            "task_always_eager",
            True,
            f"E024: Celery's task_always_eager is on: tasks would run in the process that enqueues them... -> {SILENT}",
        ),
        ("broker_url", None, "E028: Celery has no broker: your app is not imported here."),
    ],
)
def test_celery_needs_workers_and_a_broker(app, name, value, expected):
    setattr(app.conf, name, value)
    expect(check_queue(), *filter(None, [expected]))


def test_a_broker_needs_its_packages(app, monkeypatch):
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    monkeypatch.setattr("kombu.transport._transport_cache", {})
    monkeypatch.delitem(sys.modules, "kombu.transport.redis", raising=False)
    monkeypatch.setitem(sys.modules, "packaging.version", None)
    text = "E029: A package of Celery's broker is not installed (...packaging... -> ...pip install 'celery[redis]'..."
    expect(check_queue(), text)


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django's tasks need Django 6.0")
@pytest.mark.parametrize(
    "backend, number",
    [
        ("django.tasks.backends.immediate.ImmediateBackend", "E024"),
        ("django.tasks.backends.dummy.DummyBackend", "E027"),
        ("tests.integration.queues.task_backend.PromptBackend", "E027"),
        ("tests.integration.queues.task_backend.KeepingBackend", ""),
    ],
)
def test_djangos_tasks_need_a_backend_with_workers_and_a_time(settings, backend, number):
    settings.TMS_WEBHOOKS = DJANGO_TASKS
    settings.TASKS = {"default": {"BACKEND": backend}}
    text = f"{number}: TASKS['default']['BACKEND'] is {backend.rpartition('.')[2]}..."
    expect(check_queue(), *([text] if number else []))
