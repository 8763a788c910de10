"""Wakes a drain after a commit, without querying the database for every commit."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from django.db import router

from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock
from tms_webhooks.models import DrainSlot, Event
from tms_webhooks.queues import enqueue
from tms_webhooks.queues.wakeup import notify, wake_local

DRAIN = "tms_webhooks.tasks.drain"
# Seconds for which a drain that was enqueued is taken to be running.
START_SECONDS = 1.0
# Seconds without a new attempt after the queue refused a drain, so that saves do not wait for a broker that is down.
REFUSED_SECONDS = 10.0
# Seconds between two wake-ups of a process. A drain that is woken polls often for longer than that.
WAKE_INTERVAL = 0.005

logger = logging.getLogger(__name__)


class Waker:
    """Wakes the running drain: on this host by a datagram, on another one by NOTIFY. Enqueues one if none is running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running_until = self._woke_at = 0.0

    def wake(self) -> None:
        """Have a drain poll soon. Never raises: without a drain, the next sweep finds the events."""
        try:
            if monotonic() - self._woke_at < WAKE_INTERVAL:
                return
            self._woke_at = monotonic()
            alias = router.db_for_write(Event)
            if not wake_local(alias) and self._is_running():
                notify(alias)
        except Exception:
            logger.exception("No drain could be woken; the sweep will find the due deliveries.")

    def reset(self) -> None:
        """Forget the drain that is known to be running: for tests."""
        self._running_until = self._woke_at = 0.0

    def _is_running(self) -> bool:
        """Return whether a drain is running, and enqueue one if not; query the database once per drain."""
        with self._lock:
            if monotonic() < self._running_until:
                return True
            self._running_until = monotonic() + START_SECONDS
        now = clock.measured_now()
        held_until = DrainSlot.objects.held_until(now)
        if held_until is None:
            self._running_until = monotonic() + REFUSED_SECONDS
            enqueue(DRAIN)
            seconds = START_SECONDS
        else:
            # At most the duration of one drain: after a clock was set back, the slot seems to be held for longer.
            seconds = min((held_until - now).total_seconds(), app_settings.DRAIN_BUDGET_SECONDS)
        self._running_until = monotonic() + seconds
        return held_until is not None


waker = Waker()
