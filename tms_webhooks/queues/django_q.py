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
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage
from django.db import connections, router
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.signals import post_spawn
from django_q.tasks import async_task

from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.db.django_private import renew_pools_after_forks
from tms_webhooks.queues.base import PeriodicJob, Queue, immediate_run_error, without_errors

# The options of every task. They override the host's Q_CLUSTER: no row for the result, no retry of a failed task, and a
# timeout above the time of a drain.
OPTIONS = {"save": False, "ack_failure": True, "timeout": 90}

# Minutes between two runs of a schedule; of other types no interval is known.
MINUTES = {Schedule.HOURLY: 60, Schedule.DAILY: 24 * 60, Schedule.WEEKLY: 7 * 24 * 60}

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

    def when_workers_start(self, call: Callable[[], None]) -> bool:
        """Call ``call`` in each worker before its first task, in the cluster that runs the schedules."""

        def on_start(**_kwargs: Any) -> None:
            if Conf.CLUSTER_NAME == Conf.PREFIX:
                without_errors(call)()

        post_spawn.connect(on_start, weak=False, dispatch_uid="tms_webhooks")
        return True

    def schedule(self, jobs: tuple[PeriodicJob, ...], *, using: str) -> None:
        """Write one schedule per job, by name. A job's setting sets the interval; without one, an admin may change it.

        Does nothing if django-q2 has no table in this database yet, or reads its schedules from another database.
        The ``migrate`` that creates the table calls this again.
        """
        if not apps.is_installed("django_q") or using != router.db_for_write(Schedule) or not _has_table(using):
            return
        for job in jobs:
            times = {"schedule_type": Schedule.MINUTES, "minutes": job.minutes, "next_run": timezone.now()}
            schedules = Schedule.objects.using(using)
            schedule, created = schedules.get_or_create(
                name=job.name, defaults={"func": job.function, "repeats": -1, **times}
            )
            if not created and schedule.func != job.function:
                schedules.filter(pk=schedule.pk).update(func=job.function)
            if _has_other_minutes(schedule, job):
                schedules.filter(pk=schedule.pk).update(**times)

    def scheduled(self, jobs: tuple[PeriodicJob, ...]) -> tuple[PeriodicJob, ...]:
        # A job whose schedule has no known interval, such as a cron expression, is left to django-q2.
        schedules = _schedules_of(jobs)
        return tuple(
            replace(job, minutes=_minutes_of(schedules[job.name])) if job.name in schedules else job
            for job in jobs
            if job.name not in schedules or (schedules[job.name].repeats and _minutes_of(schedules[job.name]))
        )

    def overdue(self, since: datetime) -> list[str]:
        if not apps.is_installed("django_q"):
            return []
        ours = Schedule.objects.filter(func__startswith="tms_webhooks.", next_run__lte=since).exclude(repeats=0)
        return list(ours.order_by("name").values_list("name", flat=True))

    def wrong_schedules(self, jobs: tuple[PeriodicJob, ...]) -> list[str]:
        """Return a sentence for each schedule that is missing or whose interval differs from its setting."""
        if not apps.is_installed("django_q"):
            return []
        schedules = _schedules_of(jobs)
        missing = [f"{job.name} has no schedule" for job in jobs if job.name not in schedules]
        return missing + [
            f"{job.name} does not run every {job.minutes} min, as {SETTING_NAME}[{job.setting!r}] says"
            for job in jobs
            if job.name in schedules and _has_other_minutes(schedules[job.name], job)
        ]

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
        return [*_check_retry(), *_check_connections(), *_check_drains()]


def _schedules_of(jobs: tuple[PeriodicJob, ...]) -> dict[str, Schedule]:
    """Return the schedules of these jobs by name; none without django-q2's tables."""
    if not apps.is_installed("django_q"):
        return {}
    return {one.name: one for one in Schedule.objects.filter(name__in=[job.name for job in jobs])}


def _minutes_of(schedule: Schedule) -> int:
    return (
        (schedule.minutes or 0)
        if schedule.schedule_type == Schedule.MINUTES
        else MINUTES.get(schedule.schedule_type, 0)
    )


def _has_other_minutes(schedule: Schedule, job: PeriodicJob) -> bool:
    return bool(job.setting) and (schedule.schedule_type, schedule.minutes) != (Schedule.MINUTES, job.minutes)


def _has_table(using: str) -> bool:
    """Return whether the table of schedules has all its columns. It may lack some between two migrations."""
    table, introspection = Schedule._meta.db_table, connections[using].introspection
    with connections[using].cursor() as cursor:
        if table not in introspection.table_names(cursor):
            return False
        columns = {column.name for column in introspection.get_table_description(cursor, table)}
    return columns >= {field.column for field in Schedule._meta.concrete_fields}


def _check_retry() -> list[CheckMessage]:
    if OPTIONS["timeout"] < Conf.RETRY:
        return []
    return [
        checks.Warning(
            f"Q_CLUSTER['retry'] is {Conf.RETRY} s, not above the {OPTIONS['timeout']} s that a drain may take: "
            "django-q2 would run it twice.",
            hint=f"Set Q_CLUSTER['retry'] to {OPTIONS['timeout'] + 30} or more.",
            id="tms_webhooks.W021",
        )
    ]


def _check_connections() -> list[CheckMessage]:
    alias = Conf.ORM or "default"
    configured = settings.DATABASES.get(alias, {})
    is_kept = configured.get("CONN_MAX_AGE", 0) != 0 or configured.get("OPTIONS", {}).get("pool")
    if not Conf.ORM or connections[alias].vendor == "sqlite" or is_kept:
        return []
    return [
        checks.Warning(
            f"DATABASES[{alias!r}]['CONN_MAX_AGE'] is 0: django-q2's ORM broker opens a new connection for every task.",
            hint="Set CONN_MAX_AGE to None; it is about five times faster.",
            id="tms_webhooks.W022",
        )
    ]


def _check_drains() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if Conf.SYNC:
        messages.append(immediate_run_error("Q_CLUSTER['sync'] is True"))
    if app_settings.DRAIN_BUDGET_SECONDS > MAX_BUDGET:
        messages.append(
            checks.Warning(
                f"TMS_WEBHOOKS['DRAIN_BUDGET_SECONDS'] is {app_settings.DRAIN_BUDGET_SECONDS:g} s: with its last requests a drain could "
                f"run for longer than the {OPTIONS['timeout']} s after which django-q2 kills it.",
                hint=f"Set DRAIN_BUDGET_SECONDS to {MAX_BUDGET} or less.",
                id="tms_webhooks.W025",
            )
        )
    if Conf.WORKERS == 1:
        messages.append(
            checks.Warning(
                "Q_CLUSTER['workers'] is 1: while a drain runs, no other task can run.",
                hint="Set Q_CLUSTER['workers'] to 2 or more.",
                id="tms_webhooks.W026",
            )
        )
    return messages
