"""When a drain looks for new events, and at how much of what is due. What it has seen in, when to look out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from time import monotonic

from tms_webhooks.conf import app_settings

EVENTS_PAUSE = 0.05
EVERYTHING_PAUSE = 0.05
FEW_EVENTS = 8


class PollScope(Enum):
    """How much of what is due to look at."""

    NOTHING = auto()
    NEW = auto()
    EVERYTHING = auto()


class Polling:
    """Remembers what the last looks found.

    Where much is due that can't be sent now, as long as a receiver is down, it would be looked through in vain with each
    new event. Then it is enough to look at what is new, and at everything now and then; at once where more was due than
    was taken, or a result has made room for more.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self.is_thorough = False
        self.more_events = self.more_due = self.has_plenty = False
        self._clock = clock
        self._is_new = self._is_put_off = False
        self._is_deep, self._made_room = False, True
        self._held_up: set[int] = set()
        self._events_at = self._everything_at = float("-inf")
        self._last = PollScope.EVERYTHING

    @property
    def rest(self) -> float:
        """For how many seconds nothing has to be looked at, unless it is new or comes due: no limit after everything was."""
        return float("inf") if self._last is PollScope.EVERYTHING else EVERYTHING_PAUSE

    def looks_for_events(self, *, is_idle: bool) -> bool:
        """Return whether to look for new events where there may be some: not each time, with plenty to send."""
        # A batch may be one event, where that goes to many webhooks: then much was due.
        may_be_more = self.more_events or self.more_due
        pause = EVENTS_PAUSE * self.has_plenty if may_be_more else app_settings.DRAIN_POLL
        return is_idle or self._clock() - self._events_at >= pause

    def found_events(self, count: int) -> None:
        """Note how many new events got their deliveries."""
        self._events_at, self.more_events = self._clock(), count > FEW_EVENTS
        self._is_new = self._is_new or count > 0
        self._made_room = self._made_room or count > FEW_EVENTS

    def look(self) -> PollScope:
        """Return how much of what is due to look at now. Where it is time for everything, what is new still comes first."""
        is_time = self._clock() - self._everything_at >= EVERYTHING_PAUSE
        must = not self._is_deep or self.is_thorough or self.more_due or self._made_room
        if must or (is_time and (self._is_put_off or not self._is_new)):
            self._last = PollScope.EVERYTHING
        else:
            self._last = PollScope.NEW if self._is_new else PollScope.NOTHING
            self._is_put_off = is_time
        return self._last

    def claimed(self, count: int, held_up: Collection[int], *, is_all: bool, room: int) -> None:
        """Note what the look found: so many of ``room``; webhooks that may have more; and whether that was all."""
        self._is_new = False
        if self._last is PollScope.NEW:
            self._held_up.update(held_up)
            return
        self._everything_at, self._is_put_off = self._clock(), False
        self._made_room, self._is_deep = False, not is_all
        self._held_up = set(held_up)
        self.more_due, self.has_plenty = 4 * count >= room, count == room

    def wrote(self, webhook_ids: Iterable[int]) -> None:
        """Note that results of these webhooks were written down: there is room for more of theirs."""
        self._made_room = self._made_room or not self._held_up.isdisjoint(webhook_ids)

    def is_ending(self) -> None:
        """Note that nothing is looked for any more."""
        self.more_events = self.more_due = self.has_plenty = False
