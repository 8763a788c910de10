"""The traps of django-q2 that a host's settings can walk into."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.core.checks import CheckMessage
from django_q.conf import Conf

from tests.unit.checks.conftest import only
from tms_webhooks.checks.environment import check_queue
from tms_webhooks.queues import django_q

SERVER = {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None, "OPTIONS": {}}


class Server:
    vendor = "postgresql"


@pytest.fixture
def said(settings, monkeypatch: pytest.MonkeyPatch):
    """Return what the check says, with this said otherwise than the example project does."""

    def said(*, database: dict[str, Any] | None = None, budget: float = 8, **cluster: Any) -> list[CheckMessage]:
        settings.TMS_WEBHOOKS = {"QUEUE": "tms_webhooks.queues.django_q.DjangoQQueue", "DRAIN_BUDGET_SECONDS": budget}
        for name, value in cluster.items():
            monkeypatch.setattr(Conf, name, value)
        if database is not None:
            monkeypatch.setitem(settings.DATABASES, "default", {**SERVER, **database})
            monkeypatch.setattr(django_q, "connections", {"default": Server()})
        return check_queue()

    return said


def test_the_example_projects_cluster_is_sound(said) -> None:
    assert said() == []
    assert said(database={}) == []


def test_django_q_has_to_be_installed(said, monkeypatch: pytest.MonkeyPatch) -> None:
    is_installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "django_q" and is_installed(name))
    message = only(said(), "E020")
    assert message.msg == "django_q is not in INSTALLED_APPS."


@pytest.mark.parametrize("retry", [60, 90])
def test_a_drain_must_not_be_run_twice(said, retry: int) -> None:
    message = only(said(RETRY=retry), "W021")
    assert message.msg.startswith(f"Q_CLUSTER['retry'] is {retry} s, not above the 90 s that a drain may take")
    assert message.hint == "Set Q_CLUSTER['retry'] to 120 or more."


def test_connecting_anew_for_every_task_is_slow(said) -> None:
    message = only(said(database={"CONN_MAX_AGE": 0}), "W022")
    assert message.msg.startswith("DATABASES['default']['CONN_MAX_AGE'] is 0")


def test_a_connection_pool_keeps_connections(said) -> None:
    # Django refuses a pool with another CONN_MAX_AGE.
    assert said(database={"CONN_MAX_AGE": 0, "OPTIONS": {"pool": True}}) == []


def test_tasks_must_not_run_where_they_are_asked_for(said) -> None:
    message = only(said(SYNC=True), "E024")
    assert message.msg == (
        "Q_CLUSTER['sync'] is True: tasks would run in the process that enqueues them, and a save would wait for "
        "deliveries. They are refused."
    )
    assert "tms_webhooks.queues.silent.SilentQueue" in str(message.hint)


@pytest.mark.parametrize(("budget", "wrong"), [(50, False), (50.5, True), (600, True)])
def test_a_drain_must_end_before_it_is_killed(said, budget: float, wrong: bool) -> None:
    messages = said(budget=budget)
    if wrong:
        message = only(messages, "W025")
        assert message.msg.startswith(f"TMS_WEBHOOKS['DRAIN_BUDGET_SECONDS'] is {budget:g} s")
        assert message.hint == "Set DRAIN_BUDGET_SECONDS to 50 or less."
    else:
        assert messages == []


def test_one_worker_is_too_few(said) -> None:
    message = only(said(WORKERS=1), "W026")
    assert message.hint == "Set Q_CLUSTER['workers'] to 2 or more."
