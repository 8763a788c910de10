"""Waking a drain after a commit, without asking the database every time."""

from __future__ import annotations

import logging
import threading
from time import monotonic

from django.utils import timezone

from tms_webhooks.models import DrainSlot
from tms_webhooks.queues import get_queue

DRAIN = "tms_webhooks.tasks.drain"
PATIENCE = 1.0

logger = logging.getLogger(__name__)


class Bell:
    """Rings for a drain unless one is known to be at work; then it looks by itself what there is to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._quiet_until = 0.0

    def ring(self) -> None:
        """Make sure that a drain runs. Never raises: if nobody hears it, the next sweep finds the events."""
        with self._lock:
            if monotonic() < self._quiet_until:
                return
            self._quiet_until = monotonic() + PATIENCE
        try:
            self._wake()
        except Exception:
            logger.exception("No drain could be woken; the sweep will find what is due.")

    def _wake(self) -> None:
        now = timezone.now()
        held_until = DrainSlot.objects.held_until(now)
        if held_until is None:
            get_queue().enqueue(DRAIN)
            return
        with self._lock:
            self._quiet_until = monotonic() + (held_until - now).total_seconds()

    def reset(self) -> None:
        """Forget what was known, as a test or a forked process has to."""
        self._quiet_until = 0.0


bell = Bell()
