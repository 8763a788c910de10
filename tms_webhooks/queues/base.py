"""What the app asks of a queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from django.core.checks import CheckMessage
from django.utils.module_loading import import_string

from tms_webhooks.conf import AppSettings, app_settings
from tms_webhooks.exceptions import ConfigurationError


@dataclass(frozen=True, slots=True)
class Periodic:
    """A function that has to run every so many minutes, by its dotted path.

    ``setting`` names the entry of ``TMS_WEBHOOKS`` that its minutes come from. Without one, a queue may let an admin
    change them.
    """

    name: str
    function: str
    minutes: int
    setting: str = ""


class Queue(ABC):
    """Runs functions of this app in another process.

    To write your own, implement `enqueue` and `every`, and name the class in ``TMS_WEBHOOKS["QUEUE"]``. Losing a call
    is allowed: what it would have done is found again by the sweep.
    """

    keeps_drains = True
    """Whether drains are at work all the time. False where nobody runs what is enqueued."""

    @abstractmethod
    def enqueue(self, function: str, *args: object) -> None:
        """Run the function at this dotted path soon."""

    @abstractmethod
    def every(self, jobs: tuple[Periodic, ...], *, using: str) -> None:
        """Make these jobs run regularly from now on, replacing what an earlier call asked for. Idempotent.

        Called after each ``migrate``, with the database ``using`` that was migrated. A queue that keeps its jobs in a
        table has to expect that the table is in another database, or does not exist yet.
        """

    def enqueue_at(self, moment: datetime, function: str, *args: object) -> bool:
        """Run the function at ``moment``; return False where the queue can't wait, and nothing was enqueued."""
        return False

    def when_workers_start(self, call: Callable[[], None]) -> bool:
        """Have every worker process make ``call`` as it starts; return False where the queue can't. Idempotent."""
        return False

    def overdue(self, since: datetime) -> list[str]:
        """Return the names of those periodic jobs that should have run at ``since`` and have not run yet."""
        return []

    def wrong_schedules(self, jobs: tuple[Periodic, ...]) -> list[str]:
        """Return what is wrong with the schedules of these jobs, which calling `every` again would correct."""
        return []

    def check(self) -> list[CheckMessage]:
        """Return what is wrong with the queue's own configuration."""
        return []


def get_queue() -> Queue:
    """Return the queue that the settings name.

    Raises `ConfigurationError` where the path leads to no queue.
    """
    return _queue_at(app_settings.QUEUE)


@cache
def _queue_at(path: str) -> Queue:
    try:
        queue_class = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f"TMS_WEBHOOKS['QUEUE'] is {path!r}, which can't be imported ({error}); "
            f"name a subclass of tms_webhooks.queues.Queue, such as {AppSettings.QUEUE.default!r}."
        ) from error
    if not (isinstance(queue_class, type) and issubclass(queue_class, Queue)):
        raise ConfigurationError(f"TMS_WEBHOOKS['QUEUE'] is {path!r}; name a subclass of tms_webhooks.queues.Queue.")
    return queue_class()
