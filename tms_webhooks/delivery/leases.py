"""What a drain holds by its token."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from time import monotonic

from django.db import Error

from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.results import give_back
from tms_webhooks.models import Delivery


class Leases:
    """The deliveries in a drain's hand, and what the database says that it holds.

    What talks to the database raises as that does, and may be called again.
    """

    def __init__(self, *, token: str, clock: Callable[[], datetime]) -> None:
        self.token = token
        self._clock = clock
        self._hand: set[int] = set()
        self._is_adrift = False
        self._renewed_at = monotonic()

    def end(self, now: datetime) -> datetime:
        """Return until when a lease lasts that is taken now."""
        return now + timedelta(seconds=app_settings.LEASE)

    def add(self, ids: Iterable[int]) -> None:
        """Note what was claimed."""
        self._hand.update(ids)

    def drop(self, ids: Iterable[int]) -> None:
        """Note what is done with."""
        self._hand.difference_update(ids)

    def lose_count(self) -> None:
        """Note that the database may say that more is held here than is in the hand, as after a claim that was cut short."""
        self._is_adrift = True

    def give_back(self, unsent: Collection[int]) -> None:
        """Return deliveries that were claimed and not sent. If that fails, `take_back` does it."""
        self.drop(unsent)
        try:
            give_back(unsent, token=self.token, now=self._clock())
        except Error:
            self.lose_count()
            raise

    def take_back(self) -> None:
        """Let go of what is not in the hand, if there may be such.

        It would not run out by itself: leases are renewed as long as the worker lives.
        """
        if self._is_adrift:
            Delivery.objects.exclude(pk__in=self._hand).release(token=self.token, now=self._clock())
            self._is_adrift = False

    def renew(self) -> None:
        """Have the leases last on, each time a heartbeat has passed."""
        if monotonic() - self._renewed_at >= app_settings.HEARTBEAT:
            Delivery.objects.all().renew(token=self.token, until=self.end(self._clock()))
            self._renewed_at = monotonic()

    def let_go(self) -> None:
        """Give back every lease."""
        Delivery.objects.all().release(token=self.token, now=self._clock())
