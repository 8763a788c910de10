"""django-q2 as the queue. No other module imports django-q2.

Undocumented names of django-q2 that are used here:

- ``django_q.conf.Conf``: the settings of the cluster that runs this process;
- ``django_q.brokers.orm.ORM`` with ``get_connection`` and ``list_key``, and the field ``lock`` of ``OrmQ``: a task for
  later is a row that is locked until then;
- the option ``broker`` of ``async_task``;
- ``django_q.signals.post_spawn``: a worker process has started.

Each has a test in ``tests/integration/delivery/test_django_q_queue.py`` or ``test_first_drains.py``. They pass with
django-q2 1.9.0 and 1.11.1.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import OperationalError, ProgrammingError, connections, router, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.signals import post_spawn
from django_q.tasks import async_task

from tms_webhooks.conf import app_settings
from tms_webhooks.db.django_private import renew_pools_after_forks
from tms_webhooks.queues import DUE_JOBS, Queue, immediate_run_error, without_errors

# The options of every task. They override the host's Q_CLUSTER: no row for the result, no retry of a failed task, and a
# timeout above the time of a drain.
OPTIONS: dict[str, Any] = {"save": False, "ack_failure": True, "timeout": 90}

# Maximum DRAIN_BUDGET_SECONDS. It leaves time for the last requests, of up to 30 s each, and for recording results.
MAX_BUDGET = 50


class _DelayingBroker(ORM):  # type: ignore[misc]
    """The ORM broker with tasks for later: it locks a task's row until ``moment``, and no worker takes a locked row."""

    moment: datetime

    def enqueue(self, task: str) -> int:
        package: OrmQ = self.get_connection().create(
            key=self.list_key or Conf.CLUSTER_NAME, payload=task, lock=self.moment
        )
        return int(package.pk)


class DjangoQQueue(Queue):
    """Enqueues functions with django-q2, through the broker that the host configures."""

    has_schedules = True
    workers = "django-q2 (manage.py qcluster)"

    def __init__(self) -> None:
        # A cluster forks after it has used the database.
        renew_pools_after_forks()

    def enqueue(self, function: str, *args: object) -> None:
        """Enqueue a task. The ORM broker writes it in the caller's transaction, if one is open."""
        async_task(function, *args, q_options=dict(OPTIONS))

    def enqueue_at(self, moment: datetime, function: str, *args: object) -> bool:
        """Enqueue a task that no worker takes before ``moment``; return False if the broker is not the ORM broker."""
        if not isinstance(get_broker(), ORM):
            return False
        broker = _DelayingBroker(list_key=Conf.CLUSTER_NAME)
        broker.moment = moment
        async_task(function, *args, q_options={**OPTIONS, "broker": broker})
        return True

    def when_workers_start(self, call: Callable[[], None]) -> None:
        """Call ``call`` in each worker before its first task, in the cluster that runs the schedules."""

        def on_start(**_kwargs: Any) -> None:
            if Conf.CLUSTER_NAME == Conf.PREFIX:
                without_errors(call)()

        post_spawn.connect(on_start, weak=False, dispatch_uid="tms_webhooks")

    def schedule(self, *, using: str) -> None:
        """Write one schedule, which enqueues the periodic jobs that are due.

        Does nothing if django-q2 has no table in this database yet, or one that lacks columns, or reads its schedules from
        another database. The ``migrate`` that completes the table calls this again.
        """
        if apps.is_installed("django_q") and using == router.db_for_write(Schedule):
            times = {"schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1, "next_run": timezone.now()}
            with suppress(OperationalError, ProgrammingError), transaction.atomic(using=using):
                Schedule.objects.using(using).get_or_create(func=DUE_JOBS, defaults={"name": "tms_webhooks", **times})

    def check(self) -> list[CheckMessage]:
        """Return the settings of django-q2 that would delay, repeat or stop deliveries."""
        if not apps.is_installed("django_q"):
            return [
                checks.Error(
                    "django_q is not in INSTALLED_APPS.",
                    hint="Add 'django_q' before 'tms_webhooks', or remove TMS_WEBHOOKS['QUEUE'] and run webhooks_drain.",
                    id="tms_webhooks.E020",
                )
            ]
        timeout, budget = OPTIONS["timeout"], app_settings.DRAIN_BUDGET_SECONDS
        alias = Conf.ORM or "default"
        configured = settings.DATABASES.get(alias, {})
        is_kept = configured.get("CONN_MAX_AGE", 0) != 0 or configured.get("OPTIONS", {}).get("pool")
        rules = (
            (
                "W021",
                timeout >= Conf.RETRY,
                f"Q_CLUSTER['retry'] is {Conf.RETRY} s, not above the {timeout} s that a drain may take: django-q2 would run it "
                "twice.",
                f"Set Q_CLUSTER['retry'] to {timeout + 30} or more.",
            ),
            (
                "W022",
                Conf.ORM and connections[alias].vendor != "sqlite" and not is_kept,
                f"DATABASES[{alias!r}]['CONN_MAX_AGE'] is 0: django-q2's ORM broker opens a new connection for every task.",
                "Set CONN_MAX_AGE to None; it is about five times faster.",
            ),
            (
                "W025",
                budget > MAX_BUDGET,
                f"TMS_WEBHOOKS['DRAIN_BUDGET_SECONDS'] is {budget:g} s: with its last requests a drain could run for longer than "
                f"the {timeout} s after which django-q2 kills it.",
                f"Set DRAIN_BUDGET_SECONDS to {MAX_BUDGET} or less.",
            ),
            (
                "W026",
                Conf.WORKERS == 1,
                "Q_CLUSTER['workers'] is 1: while a drain runs, no other task can run.",
                "Set Q_CLUSTER['workers'] to 2 or more.",
            ),
        )
        messages: list[CheckMessage] = [
            checks.Warning(text, hint=hint, id=f"tms_webhooks.{number}")
            for number, is_wrong, text, hint in rules
            if is_wrong
        ]
        return [immediate_run_error("Q_CLUSTER['sync'] is True"), *messages] if Conf.SYNC else messages
