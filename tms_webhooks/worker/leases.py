"""What a drain needs to know of its database: which deliveries it leases there, and whether it works."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from time import monotonic

from django.db import Error as DatabaseFailure

from tms_webhooks.conf import app_settings
from tms_webhooks.db.writer import is_conflict, log_refusal
from tms_webhooks.models import Delivery
from tms_webhooks.worker.results import return_unsent

# How often leases are renewed before they would run out: late once or twice, they are still held.
HEARTBEATS = 3
# Seconds between two attempts while the database refuses to work: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0

logger = logging.getLogger(__name__)


class DatabaseState:
    """Whether the database works, and when to try again if not: after 0.2 s at first, after 10 s at last."""

    def __init__(self) -> None:
        self.is_away = False
        self.retry_at = 0.0
        self._pause = FIRST_PAUSE
        self._has_failed = self.has_worked = self._is_reported = False

    def may_try(self) -> bool:
        """Return whether to try a step now."""
        return not self.is_away or (monotonic() >= self.retry_at)

    def refuse(self, error: DatabaseFailure) -> None:
        """Note a failure. The first one is logged, and each conflict, quietly."""
        if not self._is_reported:
            log_refusal(logger, error, "The database refuses to work; trying again within %d s.", LONGEST_PAUSE)
            self._is_reported = not is_conflict(error)
        self.is_away = self._has_failed = True
        self.retry_at = monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def work(self) -> None:
        """Note a step that the database did."""
        self.has_worked = True

    def end_turn(self) -> None:
        """Note the end of a turn of the loop. The database works again after a turn in which it refused no step."""
        if self.is_away and self.has_worked and not self._has_failed:
            if self._is_reported:
                logger.warning("The database works again.")
            self.is_away, self._is_reported, self._pause = False, False, FIRST_PAUSE
        self._has_failed = self.has_worked = False


class Leases:
    """The leases of one drain: the deliveries that it holds by its own count, and those that the database has for it.

    A method that uses the database raises the database's errors, and can be called again.
    """

    def __init__(self, *, token: str, clock: Callable[[], datetime]) -> None:
        self.token = token
        self._clock = clock
        self._held: set[int] = set()
        self._is_uncertain = False
        self._renewed_at = monotonic()

    def end(self, now: datetime) -> datetime:
        """Return the end of a lease that is taken at ``now``."""
        return now + timedelta(seconds=app_settings.LEASE_SECONDS)

    def add(self, ids: Iterable[int]) -> None:
        """Note deliveries that were claimed."""
        self._held.update(ids)

    def remove(self, ids: Iterable[int]) -> None:
        """Note deliveries whose results were written."""
        self._held.difference_update(ids)

    def mark_uncertain(self) -> None:
        """Note that the database may have leases that this drain does not know, as after an interrupted claim."""
        self._is_uncertain = True

    def return_unsent(self, ids: Collection[int]) -> None:
        """Return deliveries that were claimed and not sent. If that fails, `release_unknown` does it."""
        self.remove(ids)
        try:
            return_unsent(ids, token=self.token, now=self._clock())
        except DatabaseFailure:
            self.mark_uncertain()
            raise

    def release_unknown(self) -> None:
        """Release leases that this drain does not know, if the database may have some.

        They would not run out: all leases of a drain are renewed as long as it lives.
        """
        if self._is_uncertain:
            Delivery.objects.exclude(pk__in=self._held).release(token=self.token, now=self._clock())
            self._is_uncertain = False

    @property
    def renew_at(self) -> float:
        """When to renew the leases, on the monotonic clock."""
        return self._renewed_at + app_settings.LEASE_SECONDS / HEARTBEATS

    def renew(self) -> None:
        """Extend all leases, if it is time to."""
        if monotonic() >= self.renew_at:
            self.renew_now()

    def renew_now(self) -> None:
        """Extend all leases."""
        Delivery.objects.all().renew(token=self.token, until=self.end(self._clock()))
        self._renewed_at = monotonic()

    def release_all(self) -> None:
        """Release all leases."""
        Delivery.objects.all().release(token=self.token, now=self._clock())
