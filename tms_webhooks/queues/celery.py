"""Celery as the queue. No other module imports Celery."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import connections
from django.utils import timezone

from tms_webhooks.queues import DUE_JOBS, Queue, immediate_run_error, run_task, without_errors

try:
    from celery import current_app, shared_task, signals
except ImportError as error:
    raise ImportError(f"{error}; run pip install 'tms-webhooks[celery]'") from error

TASK = "tms_webhooks.run"
# Whatever the host's settings say. A task that waits for too long is dropped, because the sweep repeats it. In seconds.
OPTIONS = {"ignore_result": True, "acks_late": False, "expires": 300, "time_limit": 3600, "soft_time_limit": 3600}
BEAT = {"task": TASK, "schedule": 15.0, "args": (DUE_JOBS,), "options": {"expires": 15.0}}
LONGEST_DELAY = timedelta(minutes=4)  # below Redis' visibility timeout, after which a waiting task is delivered twice
# Seconds that a save may wait for each step of a broker that does not answer.
PATIENCE = 1.0
TRANSPORT = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE, "max_retries": 0}

run = shared_task(name=TASK, **OPTIONS)(run_task)


class CeleryQueue(Queue):
    """Enqueues functions with the host's Celery app. Drains and celery beat start the periodic jobs."""

    workers = "Celery (celery worker)"

    def enqueue(self, function: str, *args: object, eta: datetime | None = None) -> None:
        """Send a task, on a connection with timeouts: the app's own one may wait for its broker without a limit."""
        transport = {**current_app.conf.broker_transport_options, **TRANSPORT}
        with current_app.connection_for_write(connect_timeout=PATIENCE, transport_options=transport) as connection:
            run.apply_async(args=(function, *args), connection=connection, retry=False, eta=eta)

    def enqueue_at(self, moment: datetime, function: str, *args: object) -> bool:
        """Send a task that a worker keeps until ``moment``; return False if that is too far ahead."""
        if is_near := moment - timezone.now() <= LONGEST_DELAY:
            self.enqueue(function, *args, eta=moment)
        return is_near

    def when_workers_start(self, call: Callable[[], None]) -> None:
        """Call ``call`` in each worker that is ready, and have celery beat enqueue the periodic jobs that are due."""
        signals.worker_ready.connect(without_errors(call), weak=False, dispatch_uid=TASK)
        signals.worker_ready.connect(_close_connections)  # a process that this one forks would inherit them
        signals.worker_process_shutdown.connect(_finish_threads, dispatch_uid=TASK)
        signals.beat_init.connect(_add_to_beat, dispatch_uid=TASK)

    def check(self) -> list[CheckMessage]:
        """Return the problems of the host's Celery app."""
        if current_app.conf.task_always_eager:
            return [immediate_run_error("Celery's task_always_eager is on")]
        hint = "Set CELERY_BROKER_URL, and import your Celery app in the __init__.py of your project's package."
        if not current_app.conf.broker_url:
            return [Error("Celery has no broker: your app is not imported here.", hint=hint, id="tms_webhooks.E028")]
        return _missing_packages()


def _missing_packages() -> list[CheckMessage]:
    """Return an error if the package of the broker is not installed. No connection is opened."""
    try:
        with current_app.connection_for_write() as connection:
            _ = connection.transport
    except ImportError as error:
        hint = "Install it as Celery's guide to your broker says; for Redis with pip install 'celery[redis]'."
        text = f"A package of Celery's broker is not installed ({error}): no task is sent."
        return [Error(text, hint=hint, id="tms_webhooks.E029")]
    return []


def _add_to_beat(sender: Any, **_kwargs: Any) -> None:
    sender.scheduler.update_from_dict({TASK: BEAT})


def _finish_threads(**_kwargs: Any) -> None:
    """Wait for the threads that wait for last answers, which a worker does not do before it ends."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()


def _close_connections(**_kwargs: Any) -> None:
    connections.close_all()
