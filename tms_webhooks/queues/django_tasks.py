"""Django's tasks (``django.tasks``, since Django 6.0) as the queue. No other module imports them."""

from __future__ import annotations

import logging
from datetime import datetime

from django.core.checks import CheckMessage, Error

from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.queues import DUE_JOBS, Queue, immediate_run_error, run_task

try:
    from django.tasks import task, task_backends
    from django.tasks.backends.dummy import DummyBackend
    from django.tasks.backends.immediate import ImmediateBackend
    from django.tasks.exceptions import InvalidTask
except ImportError as error:
    raise ImportError("Django's tasks need Django 6.0 or newer; use another queue of tms_webhooks.queues") from error

NAME = "webhooks"
BACKEND = NAME if NAME in task_backends else "default"
QUEUE_NAME = NAME if NAME in task_backends[BACKEND].queues else "default"

logger = logging.getLogger(__name__)


try:

    @task(backend=BACKEND, queue_name=QUEUE_NAME)
    def run(function: str, *args: object) -> None:
        """Run a function of this app's tasks."""
        run_task(function, *args)

except InvalidTask as error:
    raise ImportError(f"TASKS['{BACKEND}']['QUEUES'] lists neither '{NAME}' nor 'default': {error}") from error


class DjangoTasksQueue(Queue):
    """Enqueues functions with the backend and the queue named "webhooks" or "default". Drains start the periodic jobs."""

    workers = "the worker of Django's tasks"

    def enqueue(self, function: str, *args: object) -> None:
        """Enqueue a task. Raise `ConfigurationError` if the backend would run it here, or never."""
        self._refuse_backend()
        run.enqueue(function, *args)

    def enqueue_at(self, moment: datetime, function: str, *args: object) -> bool:
        self._refuse_backend()
        run.using(run_after=moment).enqueue(function, *args)
        return True

    def schedule(self, *, using: str) -> None:
        """Enqueue the jobs that are due, which starts the drains. Later, the drains do so."""
        try:
            self.enqueue(DUE_JOBS)
        except Exception as error:
            logger.warning("The periodic jobs begin with the next event, because no task could be enqueued: %s", error)

    def check(self) -> list[CheckMessage]:
        """Return why the backend can't run this app's tasks."""
        backend = task_backends[BACKEND]
        setting = f"TASKS['{BACKEND}']['BACKEND'] is {type(backend).__name__}"
        if isinstance(backend, ImmediateBackend):
            return [immediate_run_error(setting)]
        if isinstance(backend, DummyBackend) or not backend.supports_defer:
            text = f"{setting}, which runs no tasks, or can't run them at a later time."
            return [Error(text, hint="Use a backend with workers and run_after.", id="tms_webhooks.E027")]
        return []

    def _refuse_backend(self) -> None:
        if problems := self.check():
            raise ConfigurationError(f"{problems[0].msg} {problems[0].hint}")
