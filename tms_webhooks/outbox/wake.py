"""Waking a drain after a commit, without asking the database every time."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from django.db import connections, router, transaction
from django.utils import timezone

from tms_webhooks.conf import app_settings
from tms_webhooks.db.django_private import last_on_commit
from tms_webhooks.models import DrainSlot, Event
from tms_webhooks.queues import get_queue
from tms_webhooks.queues.wakeup import Notifier, wake_local

DRAIN = "tms_webhooks.tasks.drain"
PATIENCE = 1.0

logger = logging.getLogger(__name__)


class Waker:
    """Wakes the drain that is at work: on this host by a datagram, elsewhere by NOTIFY. If none is, starts one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notifier = Notifier()
        self._at_work_until = 0.0

    def wake(self) -> None:
        """Make sure that a drain looks soon. Never raises: if nobody hears it, the next sweep finds the events."""
        try:
            alias = router.db_for_write(Event)
            if wake_local(alias):
                return
            if self._is_at_work():
                self._notifier.notify(alias)
        except Exception:
            logger.exception("No drain could be woken; the sweep will find what is due.")

    def reset(self) -> None:
        """Forget what was known, as a test has to."""
        self._at_work_until = 0.0

    def _is_at_work(self) -> bool:
        """Return whether a drain is at work, and enqueue one if not; ask the database once per drain."""
        with self._lock:
            if monotonic() < self._at_work_until:
                return True
            self._at_work_until = monotonic() + PATIENCE
        now = timezone.now()
        held_until = DrainSlot.objects.held_until(now)
        if held_until is None:
            get_queue().enqueue(DRAIN)
            return False
        # At most for the time of one drain: where the clock was set back, the slot seems to be held for long.
        seconds = min((held_until - now).total_seconds(), app_settings.DRAIN_BUDGET)
        with self._lock:
            self._at_work_until = monotonic() + seconds
        return True


waker = Waker()


class _PromisedWakeUp:
    """One ring of the bell that a transaction has promised."""

    done = False

    def __call__(self) -> None:
        self.done = True
        waker.wake()


def wake_on_commit(using: str) -> None:
    """Ring the bell when the transaction is committed: once, however many events it records in a row."""
    last = last_on_commit(connections[using])
    if isinstance(last, _PromisedWakeUp) and not last.done:
        return
    transaction.on_commit(_PromisedWakeUp(), using=using, robust=True)
