"""The slot of a drain that a command runs: other processes see by it that a drain runs, and wake it."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

from tms_webhooks.models import DrainSlot
from tms_webhooks.worker import drain

FIRST = 10_001
"""The lowest number, beyond those that ``DRAINS`` counts. Several commands hold consecutive numbers."""
HOLD = 15.0
"""Seconds for which a slot is held without being renewed, beyond the wait of an idle drain: one that hangs loses it."""
LONGEST = 55.0
"""Seconds for which a slot is held at most. A slot that is held for longer counts as free (``FAR_AHEAD``)."""
RENEWED_EVERY = 5.0
"""Seconds."""


class CommandSlot:
    """Holds the first free slot, and renews it while the drain's loop turns."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._number, self._is_held = FIRST, False
        self._clock = clock
        self._renew_at = clock()

    @property
    def number(self) -> int | None:
        """The number of the slot; None before it is held."""
        return self._number if self._is_held else None

    def renewed_by(self, fan_out: Callable[[datetime], int]) -> Callable[[datetime], int]:
        """Return ``fan_out``, which the loop calls in each turn, with the renewal of the slot."""

        def renewing(now: datetime) -> int:
            if self._clock() >= self._renew_at:
                self._renew_at = self._clock() + RENEWED_EVERY
                until = now + timedelta(seconds=min(HOLD + drain.DRAIN_REST, LONGEST))
                while not DrainSlot.objects.take(self._number, owner=self._owner, now=now, until=until):
                    self._number += 1
                self._is_held = True
            return fan_out(now)

        return renewing

    def release(self, now: datetime) -> None:
        """Give up the slot."""
        DrainSlot.objects.release(self._number, owner=self._owner, now=now)
