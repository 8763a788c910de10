"""When a drain polls for new events, and how much of the due deliveries each claim reads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from time import monotonic

from tms_webhooks.conf import app_settings

# Seconds between two polls for new events, while the senders are fully occupied and more events are expected.
EVENTS_PAUSE = 0.05
# Seconds between two reads of everything that is due, where much of it can't be sent now.
EVERYTHING_PAUSE = 0.05
# More new events than these announce further ones.
FEW_EVENTS = 8


class PollScope(Enum):
    """How much of the due deliveries to read."""

    NOTHING = auto()
    NEW = auto()
    EVERYTHING = auto()


class Polling:
    """Decides from the last polls when to poll next, and how much to read.

    While a receiver is down, many deliveries are due that can't be sent. To read all of them for each new event would
    be in vain: then the drain reads the new ones, and everything now and then. It reads everything at once where more
    was due than it claimed, or where a result has freed capacity of a webhook that was full.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        # Always read everything, as a drain must that ends when nothing is due.
        self.always_everything = False
        self.more_events = self.more_due = False
        # Whether the last claim got as many deliveries as it asked for.
        self.is_saturated = False
        self._clock = clock
        self._has_new = self._everything_is_late = False
        self._has_unread, self._has_freed_capacity = False, True
        self._full_webhooks: set[int] = set()
        self._events_at = self._everything_at = float("-inf")
        self._scope = PollScope.EVERYTHING

    @property
    def longest_wait(self) -> float:
        """For how many seconds a drain may wait for a wake-up; without limit where it has just read everything."""
        return float("inf") if self._scope is PollScope.EVERYTHING else EVERYTHING_PAUSE

    def should_poll_events(self, *, is_idle: bool) -> bool:
        """Return whether to poll for new events now."""
        # One event can make many deliveries due, where it goes to many webhooks.
        expects_events = self.more_events or self.more_due
        pause = EVENTS_PAUSE * self.is_saturated if expects_events else app_settings.DRAIN_POLL
        return is_idle or self._clock() - self._events_at >= pause

    def events_polled(self, count: int) -> None:
        """Note how many new events were fanned out."""
        self._events_at, self.more_events = self._clock(), count > FEW_EVENTS
        self._has_new = self._has_new or count > 0
        self._has_freed_capacity = self._has_freed_capacity or count > FEW_EVENTS

    def next_scope(self) -> PollScope:
        """Return how much the next claim reads. Even when everything is to be read, new deliveries come first, once."""
        is_time = self._clock() - self._everything_at >= EVERYTHING_PAUSE
        must = not self._has_unread or self.always_everything or self.more_due or self._has_freed_capacity
        if must or (is_time and (self._everything_is_late or not self._has_new)):
            self._scope = PollScope.EVERYTHING
        else:
            self._scope = PollScope.NEW if self._has_new else PollScope.NOTHING
            self._everything_is_late = is_time
        return self._scope

    def claimed(self, count: int, full: Collection[int], *, is_complete: bool, limit: int) -> None:
        """Note the result of a claim: ``count`` of ``limit`` deliveries, the full webhooks, and whether it read all."""
        self._has_new = False
        if self._scope is PollScope.NEW:
            self._full_webhooks.update(full)
            return
        self._everything_at, self._everything_is_late = self._clock(), False
        self._has_freed_capacity, self._has_unread = False, not is_complete
        self._full_webhooks = set(full)
        self.more_due, self.is_saturated = 4 * count >= limit, count == limit

    def results_written(self, webhook_ids: Iterable[int]) -> None:
        """Note that results of these webhooks were written, which frees capacity."""
        self._has_freed_capacity = self._has_freed_capacity or not self._full_webhooks.isdisjoint(webhook_ids)

    def stop(self) -> None:
        """Note that the drain claims nothing more."""
        self.more_events = self.more_due = self.is_saturated = False
