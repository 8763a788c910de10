"""Where senders leave their results for the drain, and where others ring for it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import Result


class Mailbox:
    """Results of many threads for the one that reads them.

    To wake that one for each of thousands a second would cost more than all else that it does with them, since all of
    them want Python's lock: so a result wakes it only in `wait`, and in `rest` nothing but a ring does.
    """

    def __init__(self) -> None:
        self._results: deque[Result] = deque()
        # Free while it rings. Not a `SimpleQueue`: in Python 3.11 a signal at the wrong moment has it wait for ever.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._waits = False
        self._rung = False

    def __len__(self) -> int:
        return len(self._results)

    def was_rung(self) -> bool:
        """Return whether somebody rang since this was asked last."""
        self._bell.acquire(blocking=False)  # First: who rings now may wake once too often, and never in vain.
        rung, self._rung = self._rung, False
        return rung

    def put(self, result: Result) -> None:
        """Leave a result."""
        self._results.append(result)
        if self._waits:
            self._waits = False
            self._wake()

    def ring(self) -> None:
        """Wake the reader. Once is enough until it has noticed."""
        if not self._rung:
            self._rung = True
            self._wake()

    def take(self, most: int) -> list[Result]:
        """Return up to ``most`` of the results that are there, oldest first."""
        return [self._results.popleft() for _ in range(min(most, len(self._results)))]

    def wait(self, seconds: float) -> None:
        """Wait for a result or a ring, if there is neither."""
        self._waits = True
        # After that: a result that comes now rings.
        if not self._results:
            self.rest(seconds)
        self._waits = False

    def rest(self, seconds: float) -> None:
        """Let so many seconds pass, unless somebody rings or has rung."""
        if not self._rung and seconds > 0:
            self._bell.acquire(timeout=seconds)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # It rings already.
            self._bell.release()
