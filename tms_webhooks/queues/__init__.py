"""Task queues, which run the drain and the periodic jobs in worker processes.

The database holds all work. A queue only makes a worker look for it soon, so a lost task delays work and loses none.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import NamedTuple

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import ConfigurationError

PRUNE_MINUTES = 60
RECONCILE_MINUTES = 24 * 60

DUE_JOBS = "tms_webhooks.tasks.enqueue_due_jobs"
"""The task that enqueues the periodic jobs that are due."""
OTHER_TASKS = {"tms_webhooks.tasks.drain", DUE_JOBS}
"""The tasks that are no periodic jobs."""

logger = logging.getLogger(__name__)


class PeriodicJob(NamedTuple):
    """A function, by its dotted path, and the interval in minutes at which it has to run."""

    name: str
    function: str
    minutes: float


class Queue(ABC):
    """Runs functions of this app in worker processes.

    To write your own, implement `enqueue`, and name the class in ``TMS_WEBHOOKS["QUEUE"]``. A queue may lose calls: the sweep
    repeats them.
    """

    keeps_drains = True
    """Whether the queue runs a drain all the time, and the periodic jobs. False if it runs no enqueued functions."""

    has_schedules = False
    """Whether `schedule` has the queue enqueue the periodic jobs. If not, the sweep leaves a task that does so."""

    workers = "the queue"
    """The name of the queue and of its workers' command, for messages that ask an operator to restart it."""

    @abstractmethod
    def enqueue(self, function: str, *args: object) -> None:
        """Run the function at this dotted path soon."""

    def schedule(self, *, using: str) -> None:
        """Have the queue run the task `tms_webhooks.tasks.enqueue_due_jobs` every minute from now on. Idempotent.

        Each drain runs it, too: without a schedule, the periodic jobs stop with the drains. Called after each ``migrate``
        with the alias of the migrated database. The table in which a queue keeps its schedules may be in another
        database, or may not exist yet.
        """

    def enqueue_at(self, moment: datetime, function: str, *args: object) -> bool:
        """Run the function at ``moment``; return False, and enqueue nothing, if the queue does not support that."""
        return False

    def when_workers_start(self, call: Callable[[], None]) -> None:
        """Call ``call`` in each worker process when it starts, if the queue can do that. Idempotent."""

    def check(self) -> list[CheckMessage]:
        """Return the problems of the queue's own configuration, for ``manage.py check``."""
        return []


class SilentQueue(Queue):
    """Runs nothing, for tests and for projects that deliver with ``manage.py webhooks_drain``."""

    keeps_drains = False

    def enqueue(self, function: str, *args: object) -> None:
        """Do nothing."""


# Whether this thread is enqueuing a function.
_is_enqueuing: ContextVar[bool] = ContextVar("tms_webhooks_is_enqueuing", default=False)
# The queue of this thread, in place of the configured one.
_replacement: ContextVar[Queue | None] = ContextVar("tms_webhooks_queue", default=None)


def get_queue() -> Queue:
    """Return the queue that ``TMS_WEBHOOKS["QUEUE"]`` names; raise `ConfigurationError` if it is not a queue."""
    return _replacement.get() or _queue_at(queue_path())


def queue_path() -> str:
    """Return the dotted path of the queue: that of the setting, or by default of django-q2 where the host has installed it."""
    by_default = "django_q.DjangoQQueue" if apps.is_installed("django_q") else "SilentQueue"
    return app_settings.QUEUE or f"tms_webhooks.queues.{by_default}"


def enqueue(function: str, *args: object) -> None:
    """Have the queue run a function of `tms_webhooks.tasks` soon. The tasks refuse to run inside this call."""
    token = _is_enqueuing.set(True)
    try:
        get_queue().enqueue(function, *args)
    finally:
        _is_enqueuing.reset(token)


def refuse_immediate_run() -> None:
    """Raise `ConfigurationError` if the queue runs this function inside `enqueue`: a save would wait for deliveries."""
    if _is_enqueuing.get():
        raise ConfigurationError(
            f"TMS_WEBHOOKS['QUEUE'] is {queue_path()!r}, which runs tasks in the process that enqueues them, so the "
            "task was refused. Configure worker processes; in tests, use 'tms_webhooks.queues.SilentQueue'."
        )


def immediate_run_error(setting: str) -> CheckMessage:
    """Return the check's error for a setting of a queue that makes it run tasks in the process that enqueues them."""
    return Error(
        f"{setting}: tasks would run in the process that enqueues them, and a save would wait for deliveries. They are "
        "refused.",
        hint="Use worker processes. In tests, set TMS_WEBHOOKS['QUEUE'] to 'tms_webhooks.queues.SilentQueue'.",
        id="tms_webhooks.E024",
    )


def without_errors(call: Callable[[], None]) -> Callable[..., None]:
    """Return a receiver of a worker's start signal. It logs an error of ``call``, which would else end the worker."""

    def handle(**_signal: object) -> None:
        try:
            call()
        except Exception:
            logger.exception("A call at the start of a worker failed; the sweep repeats it.")

    return handle


@contextmanager
def use_queue(queue: Queue) -> Iterator[None]:
    """Have `get_queue` return ``queue`` in this thread while the ``with`` block runs."""
    token = _replacement.set(queue)
    try:
        yield
    finally:
        _replacement.reset(token)


@cache
def _queue_at(path: str) -> Queue:
    try:
        queue_class = import_string(path)
        if isinstance(queue_class, type) and issubclass(queue_class, Queue):
            return queue_class()
        problem = "is none"
    except ImportError as error:
        problem = f"can't be imported ({error})"
    except TypeError as error:
        problem = f"can't be created ({error})"
    raise ConfigurationError(
        f"TMS_WEBHOOKS['QUEUE'] is {path!r}, which {problem}; name a subclass of tms_webhooks.queues.Queue.",
        number="E008",
        hint="Name a subclass of tms_webhooks.queues.Queue that implements `enqueue`.",
    )


def periodic_jobs() -> tuple[PeriodicJob, ...]:
    """Return the periodic jobs, with the intervals that the settings set."""
    return (
        PeriodicJob("tms_webhooks sweep", "tms_webhooks.tasks.sweep", 1),
        PeriodicJob("tms_webhooks jobs", "tms_webhooks.tasks.work_on_jobs", 1),
        PeriodicJob("tms_webhooks expiry", "tms_webhooks.tasks.scan_expiring", app_settings.EXPIRY_MINUTES),
        PeriodicJob("tms_webhooks prune", "tms_webhooks.tasks.prune", PRUNE_MINUTES),
        PeriodicJob("tms_webhooks reconcile", "tms_webhooks.tasks.reconcile", RECONCILE_MINUTES),
    )


def run_task(function: str, *args: object) -> None:
    """Run the task at this dotted path; raise `ValueError` for any other path: the message of a broker is input."""
    if function not in OTHER_TASKS | {job.function for job in periodic_jobs()}:
        raise ValueError(f"{function!r} is not a task of tms_webhooks.")
    import_string(function)(*args)
