"""Where senders leave their results for the drain, and where others ring for it."""

from __future__ import annotations

from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tms_webhooks.delivery.send import Result


class Mailbox:
    """Results of many threads for the one that reads them.

    To wake that one for each of thousands a second would cost more than all else that it does with them, since all of
    them want Python's lock: so a result wakes it only in `wait`, and in `rest` nothing but a ring does.
    """

    def __init__(self) -> None:
        self._results: deque[Result] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waits = False
        self._rung = False

    def __len__(self) -> int:
        return len(self._results)

    def was_rung(self) -> bool:
        """Return whether somebody rang since this was asked last."""
        rung, self._rung = self._rung, False
        return rung

    def put(self, result: Result) -> None:
        """Leave a result."""
        self._results.append(result)
        if self._waits:
            self._waits = False
            self._bell.put(None)

    def ring(self) -> None:
        """Wake the reader. Once is enough until it has noticed."""
        if not self._rung:
            self._rung = True
            self._bell.put(None)

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
        if self._rung or seconds <= 0:
            return
        try:
            self._bell.get(timeout=seconds)
            while True:
                self._bell.get_nowait()
        except Empty:
            pass
