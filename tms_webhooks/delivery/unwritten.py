"""Results that have come back and are not in the database yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError

from tms_webhooks.delivery.outgoing import Result, needs_a_look
from tms_webhooks.delivery.results import record
from tms_webhooks.delivery.successes import write_successes

# What may be otherwise in a moment: the database is away, or somebody else holds a lock.
PASSING = (OperationalError, InterfaceError)

logger = logging.getLogger(__name__)


class Unwritten:
    """Keeps results until they are written down. If that fails, the write is tried again, never the request.

    One that the database refuses for good must not hold up the others for ever: after a refusal they are written one by
    one, and that one without the texts that its receiver wrote.
    """

    def __init__(self, *, token: str, clock: Callable[[], datetime], dice: Callable[[], float]) -> None:
        self._token = token
        self._clock = clock
        self._dice = dice
        self._results: list[Result] = []
        self._one_by_one = False
        self.holds_up = False
        """Whether a webhook gets no more before one of them is written down."""

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: Result) -> None:
        """Keep one more."""
        self._results.append(result)
        self.holds_up = self.holds_up or needs_a_look(result)

    def write(self) -> tuple[Sequence[Result], Collection[int]]:
        """Write down what there is; return the results that are done with, and the webhooks not to send to now.

        Raises ``OperationalError`` or ``InterfaceError`` where trying again can help; everything is kept then.
        """
        batch = self._results[:1] if self._one_by_one else list(self._results)
        stopped: Collection[int] = ()
        try:
            done = write_successes(batch, token=self._token, now=self._clock())
            # Those that are left are for the next time, so that what was written is never written again.
            if not done:
                done, stopped = batch, record(batch, token=self._token, now=self._clock(), random=self._dice)
        except PASSING:
            raise
        except DatabaseError:
            return self._refused(batch), ()
        self._let_go(done)
        return done, stopped

    def _refused(self, batch: Sequence[Result]) -> Sequence[Result]:
        """Make the next write a smaller one; return what can't be made any smaller, and is given up."""
        logger.exception("The database refused %s results for good, from %r on.", len(batch), batch[0].parcel)  # noqa: LOG004 (called where it is caught)
        if len(batch) > 1:
            self._one_by_one = True
            return ()
        bare = batch[0].without_texts()
        if bare != batch[0]:
            self._results[0] = bare
            return ()
        # Its lease ends with the drain, and it is sent again.
        self._let_go(batch)
        return batch

    def _let_go(self, batch: Sequence[Result]) -> None:
        gone = set(map(id, batch))
        self._results = [result for result in self._results if id(result) not in gone]
        self._one_by_one = self._one_by_one and bool(self._results)
        self.holds_up = any(map(needs_a_look, self._results))
