"""A queue that keeps what it is given, for the tests to look at."""

from typing import Any

from tms_webhooks.queues import SilentQueue


class KeepingQueue(SilentQueue):
    """Keeps each function with its arguments, for now and for later; of those for later, the moment comes first."""

    keeps_drains = has_schedules = True
    now: list[tuple[Any, ...]] = []
    later: list[tuple[Any, ...]] = []

    def enqueue(self, function, *args):
        self.now.append((function, *args))

    def enqueue_at(self, moment, function, *args):
        self.later.append((moment, function, *args))
        return True


class UnscheduledQueue(KeepingQueue):
    """Has no schedules of its own."""

    has_schedules = False


class PlainQueue(KeepingQueue):
    """Can't keep a task for later."""

    def enqueue_at(self, moment, function, *args):
        return False
