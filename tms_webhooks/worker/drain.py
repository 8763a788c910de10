"""The drain: one thread that talks to the database, and a pool of threads that talk to receivers.

A turn of the loop: give new events their deliveries; claim what is due while there is room; hand it to the senders;
write down what came back; renew the leases. Nothing of the promises depends on a drain staying alive: what it held
comes due again when its leases run out.
"""

from __future__ import annotations

import logging
import random
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep

from django.db import Error, close_old_connections, router
from django.db import Error as DatabaseTrouble
from django.utils import timezone

from tms_webhooks.conf import app_settings
from tms_webhooks.db.writer import others_write, with_quiet_neighbours
from tms_webhooks.delivery.outgoing import SendResult, may_stop_webhook
from tms_webhooks.models import Delivery
from tms_webhooks.net.client import Client
from tms_webhooks.queues.wakeup import WakeUpListener
from tms_webhooks.worker.claim import claim, next_due_at
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.polling import Polling, PollScope
from tms_webhooks.worker.result_writer import PendingResults
from tms_webhooks.worker.results import give_back
from tms_webhooks.worker.sender_pool import ResultQueue, SenderPool

# Results are written down when there are so many, when the first has waited so long, or when no more come for a moment.
RESULTS_AT_ONCE = 256
# Where others wait for the one writer: so many of them, and so many deliveries claimed, are written at a time.
RESULTS_BESIDE_OTHERS = 96
CLAIMED_BESIDE_OTHERS = 128
RESULTS_LATEST = 0.1
RESULTS_PAUSE = 0.002
WRITE_PAUSE = 0.2

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What a drain has done."""

    events: int = 0
    sent: int = 0
    delivered: int = 0


class Drain:
    """One run of the engine. Make it in the process and thread that runs it, and run it once.

    ``fan_out`` makes deliveries of new events: it takes the time and returns the number of events. ``clock`` returns
    the time that is written down and compared with what is due; how long to run and wait is measured by the machine.
    """

    def __init__(
        self,
        *,
        fan_out: Callable[[datetime], int],
        clock: Callable[[], datetime] = timezone.now,
        client: Client | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.token = uuid.uuid4().hex
        self.tally = Tally()
        self._fan_out = fan_out
        self._clock = clock
        self._client = client or Client(pool_size=app_settings.SENDER_THREADS)
        self._mailbox = ResultQueue()
        self._queues = EndpointQueues()
        self._senders = SenderPool(
            queues=self._queues,
            client=self._client,
            clock=clock,
            result_queue=self._mailbox,
            most=app_settings.SENDER_THREADS,
        )
        self._unwritten = PendingResults(token=self.token, clock=clock, dice=dice)
        self._leases = Leases(token=self.token, clock=clock)
        self._rung = False
        self._write_at = 0.0
        self._is_brief = False
        self._pace = Polling()

    def run(
        self,
        *,
        seconds: float | None = None,
        stop: threading.Event | None = None,
        until_idle: bool = False,
        closing: Callable[[], None] = lambda: None,
        aside: Callable[[Callable[[], None]], None] = lambda finish: finish(),
    ) -> Tally:
        """Work for so many seconds, or until ``stop`` is set, or until nothing is due; then finish what is in flight.

        ``closing`` is called when no more is claimed, so that a successor need not wait for the last answers. If there
        are any to wait for, ``aside`` gets the waiting as a function, and may have another thread call it.
        """
        end = None if seconds is None else monotonic() + seconds
        self._pace.is_thorough = until_idle
        listener = None if until_idle else WakeUpListener(router.db_for_write(Delivery), self._mailbox.ring)
        try:
            with with_quiet_neighbours(self._queues.quiet):
                self._work(listener, end=end, stop=stop, until_idle=until_idle)
            # At once, not with the last answer: a successor sends them meanwhile.
            self._give_back(self._queues.withdraw())
            closing()
        except BaseException:
            self._end()
            raise
        finally:
            if listener is not None:
                listener.close()
        aside(self._finish) if self._open else self._end()
        return self.tally

    def _work(
        self, listener: WakeUpListener | None, *, end: float | None, stop: threading.Event | None, until_idle: bool
    ) -> None:
        while (end is None or monotonic() < end) and not (stop and stop.is_set()):
            open_before = self._open
            if self._turn() or open_before or self._rung:
                continue
            if until_idle:
                break
            self._rest(listener, end)

    def _finish(self) -> None:
        """Wait for the last answers, and write them down."""
        self._rung = False
        self._pace.is_ending()
        try:
            while self._open:
                self._collect(wait=app_settings.DRAIN_POLL)
                self._attempt(self._leases.renew)
        finally:
            self._end()

    def _end(self) -> None:
        self._queues.withdraw()
        self._senders.stop()
        self._client.close()
        # If that fails, they run out by themselves.
        self._attempt(self._leases.let_go)

    @property
    def _open(self) -> int:
        """How many deliveries are in the worker's hands: waiting, under way, or come back and not written down."""
        # Counted, not the keys: one that was lost to another worker and claimed again is in hand twice.
        return self._queues.held + len(self._mailbox) + len(self._unwritten)

    def _turn(self) -> bool:
        """Do everything once; return whether there was anything new to do."""
        try:
            self._is_brief = others_write()
            self._leases.take_back()
            fanned, claimed = self._look_for_events(), self._claim()
        except DatabaseTrouble:
            self._leases.lose_count()
            self._recover()
            return True
        self.tally.events += fanned
        self._senders.grow()
        if self._open:
            self._collect(wait=0.0 if fanned and self._pace.more_events else app_settings.DRAIN_POLL)
            self._attempt(self._leases.renew)
        return bool(fanned or claimed)

    def _rest(self, listener: WakeUpListener | None, end: float | None) -> None:
        """Wait, with nothing in hand, until somebody rings, something comes due, or it is time to look again."""
        longest = app_settings.DRAIN_REST if listener is not None and listener.hears else app_settings.DRAIN_POLL
        try:
            now = self._clock()
            due_at = next_due_at(now)
        except DatabaseTrouble:
            self._recover()
            return
        if due_at is not None:
            longest = min(longest, (due_at - now).total_seconds())
        if end is not None:
            longest = min(longest, max(0.0, end - monotonic()))
        self._mailbox.wait(min(longest, self._pace.rest))
        self._mailbox.was_rung()

    def _look_for_events(self) -> int:
        """Fan out what is new where there is a sign of it; with plenty to send, not each time."""
        self._pace.more_events, self._rung = self._pace.more_events or self._rung, False
        if not self._pace.looks_for_events(is_idle=not self._open):
            return 0
        fanned = self._fan_out(self._clock())
        self._pace.found_events(fanned)
        return fanned

    @property
    def _room(self) -> int:
        """How many deliveries to claim: nothing, until half of what the senders may have is gone."""
        room = 2 * app_settings.CLAIM_BATCH - self._queues.held
        if room < app_settings.CLAIM_BATCH:
            return 0
        return min(room, CLAIMED_BESIDE_OTHERS) if self._is_brief else room

    def _claim(self) -> int:
        """Fill up what the senders have."""
        room = self._room
        look = self._pace.look() if room else PollScope.NOTHING
        if look is PollScope.NOTHING:
            return 0
        now = self._clock()
        outgoing_requests, held_up, is_all = claim(
            token=self.token,
            now=now,
            until=self._leases.end(now),
            room=room,
            prefetch=self._queues.prefetch,
            only_new=look is PollScope.NEW,
        )
        self._leases.add(outgoing.delivery_id for outgoing in outgoing_requests)
        self._queues.offer(outgoing_requests)
        self._pace.claimed(len(outgoing_requests), held_up, is_all=is_all, room=room)
        return len(outgoing_requests)

    def _collect(self, *, wait: float) -> None:
        """Take the results that have come, waiting up to ``wait`` for the first of them, and write them down.

        They are written together while they keep coming, and at once when they don't. A ring lets them wait a little:
        new events go out first. So does more to send, before the senders have nothing left.
        """
        most = RESULTS_BESIDE_OTHERS if self._is_brief else RESULTS_AT_ONCE
        if not self._unwritten:
            self._mailbox.wait(wait)
            self._write_at = monotonic() + RESULTS_LATEST
        while self._take(most) or self._more_will_come:
            self._senders.grow()  # Not with each turn alone: it may take as long as receivers do.
            if len(self._unwritten) >= most or monotonic() >= self._write_at:
                break
            if self._rung or (self._room and (self._pace.more_events or self._pace.more_due)):
                return
            self._mailbox.rest(RESULTS_PAUSE)
        self._write()

    @property
    def _more_will_come(self) -> bool:
        """Whether results can wait for others, with plenty to send, and nothing waits for one of these."""
        waiting = self._unwritten and not self._unwritten.holds_up
        return bool(waiting and self._pace.has_plenty and self._queues.held)

    def _take(self, most: int) -> bool:
        """Take what is in the result_queue, so that no more than ``most`` are unwritten; return whether that was anything."""
        came = self._mailbox.take(most - len(self._unwritten))
        for result in came:
            self._unwritten.add(result)
        self._rung = self._mailbox.was_rung() or self._rung
        return bool(came or self._rung)

    def _write(self) -> None:
        """Write down all that there is, in as many parts as it takes: nothing waits for a part of what comes next."""
        while self._unwritten:
            try:
                results, stopped = self._unwritten.write()
            except DatabaseTrouble:
                self._recover()
                return
            self._wrote(results, stopped)

    def _wrote(self, results: Sequence[SendResult], stopped: Collection[int]) -> None:
        self._leases.drop(result.outgoing.delivery_id for result in results)
        self._pace.wrote(result.outgoing.webhook_id for result in results)
        self.tally.sent += len(results)
        self.tally.delivered += sum(result.outcome.success for result in results)
        # What is held for webhooks that were paused or disabled.
        self._give_back([pk for webhook_id in stopped for pk in self._queues.withdraw(webhook_id)])
        self._queues.resume(result.outgoing.webhook_id for result in results if may_stop_webhook(result))

    def _give_back(self, unsent: Collection[int]) -> None:
        self._attempt(lambda: self._leases.give_back(unsent))

    def _attempt(self, step: Callable[[], None]) -> None:
        """Do what can be done again later, if the database refuses it now."""
        try:
            step()
        except DatabaseTrouble:
            self._recover()

    def _recover(self) -> None:
        logger.exception("The database refused a step of the drain; trying again.")  # noqa: LOG004 (called where it is caught)
        close_old_connections()
        sleep(WRITE_PAUSE)


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
