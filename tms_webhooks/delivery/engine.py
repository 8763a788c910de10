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
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from time import monotonic, sleep

from django.db import DatabaseError, close_old_connections, router
from django.utils import timezone

from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.claim import claim, next_due_at
from tms_webhooks.delivery.lanes import Lanes
from tms_webhooks.delivery.results import give_back, record
from tms_webhooks.delivery.send import Result
from tms_webhooks.delivery.senders import Senders
from tms_webhooks.models import Delivery
from tms_webhooks.net.client import Client
from tms_webhooks.queues.wakeup import Listener

# Results are written down when there are so many, when the first has waited so long, or when no more come for a moment.
RESULTS_AT_ONCE = 256
RESULTS_LATEST = 0.05
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
        self._dice = dice
        self._mailbox: SimpleQueue[Result | None] = SimpleQueue()
        self._lanes = Lanes()
        self._senders = Senders(
            lanes=self._lanes,
            client=self._client,
            clock=clock,
            mailbox=self._mailbox,
            most=app_settings.SENDER_THREADS,
        )
        self._unwritten: list[Result] = []
        self._renewed_at = monotonic()
        self._looked_at = 0.0

    def run(
        self,
        *,
        seconds: float | None = None,
        stop: threading.Event | None = None,
        until_idle: bool = False,
        closing: Callable[[], None] = lambda: None,
    ) -> Tally:
        """Work for so many seconds, or until ``stop`` is set, or until nothing is due; then finish what is in flight.

        ``closing`` is called when no more is claimed, so that a successor need not wait for the last answers.
        """
        end = None if seconds is None else monotonic() + seconds
        listener = None if until_idle else Listener(router.db_for_write(Delivery), self._wake)
        try:
            while (end is None or monotonic() < end) and not (stop and stop.is_set()):
                open_before = self._open
                busy = self._turn()
                if busy or open_before:
                    continue
                if until_idle:
                    break
                self._rest(listener, end)
            self._lanes.withdraw()
            closing()
            while self._open:
                self._collect(wait=app_settings.DRAIN_POLL)
                self._renew()
        finally:
            if listener is not None:
                listener.close()
            self._senders.stop()
            self._client.close()
            self._let_go()
        return self.tally

    @property
    def _open(self) -> int:
        """How many deliveries are in the worker's hands: waiting, under way, or come back and not written down."""
        return self._lanes.held + self._mailbox.qsize() + len(self._unwritten)

    def _turn(self) -> bool:
        """Do everything once; return whether there was anything new to do."""
        try:
            fanned, claimed = self._look_for_events(), self._claim()
        except DatabaseError:
            self._recover()
            return True
        self.tally.events += fanned
        self._senders.grow()
        if self._open:
            self._collect(wait=0.0 if fanned else app_settings.DRAIN_POLL)
        self._renew()
        return bool(fanned or claimed)

    def _wake(self) -> None:
        self._mailbox.put(None)

    def _rest(self, listener: Listener | None, end: float | None) -> None:
        """Wait, with nothing in hand, until somebody rings, something comes due, or it is time to look again."""
        longest = app_settings.DRAIN_REST if listener is not None and listener.hears else app_settings.DRAIN_POLL
        try:
            now = self._clock()
            due_at = next_due_at(now)
        except DatabaseError:
            self._recover()
            return
        if due_at is not None:
            longest = min(longest, (due_at - now).total_seconds())
        if end is not None:
            longest = min(longest, max(0.0, end - monotonic()))
        try:
            while self._mailbox.get(timeout=longest) is None:
                longest = 0.0
        except Empty:
            pass

    def _look_for_events(self) -> int:
        """Fan out what is new; while there is much to send, don't ask more often than an idle drain would."""
        if self._open and monotonic() - self._looked_at < app_settings.DRAIN_POLL:
            return 0
        fanned = self._fan_out(self._clock())
        self._looked_at = 0.0 if fanned else monotonic()
        return fanned

    def _claim(self) -> int:
        """Fill up what the senders have, once half of it is gone."""
        room = 2 * app_settings.CLAIM_BATCH - self._lanes.held
        if room < app_settings.CLAIM_BATCH:
            return 0
        now = self._clock()
        parcels = claim(token=self.token, now=now, until=self._lease_end(now), room=room, appetite=self._lanes.appetite)
        self._lanes.offer(parcels)
        return len(parcels)

    def _collect(self, *, wait: float) -> None:
        """Take the results that have come, waiting up to ``wait`` for the first of them, and write them down.

        They are written together while they keep coming, and at once when they don't.
        """
        latest = monotonic() + wait
        try:
            while len(self._unwritten) < RESULTS_AT_ONCE and (self._unwritten or self._open):
                pause = RESULTS_PAUSE if self._unwritten else wait
                result = self._mailbox.get(timeout=max(0.0, min(pause, latest - monotonic())))
                if result is None:
                    break
                if not self._unwritten:
                    latest = monotonic() + RESULTS_LATEST
                self._unwritten.append(result)
        except Empty:
            pass
        if self._unwritten:
            self._write()

    def _write(self) -> None:
        """Write down what came back. If that fails, the write is tried again, never the request."""
        results = self._unwritten
        try:
            stopped = record(results, token=self.token, now=self._clock(), random=self._dice)
        except DatabaseError:
            self._recover()
            return
        self._unwritten = []
        self.tally.sent += len(results)
        self.tally.delivered += sum(result.outcome.success for result in results)
        self._hold_back(stopped)

    def _hold_back(self, webhook_ids: Collection[int]) -> None:
        """Return what is held for webhooks that were paused or disabled. If that fails, it comes due by itself."""
        unsent = [pk for webhook_id in webhook_ids for pk in self._lanes.withdraw(webhook_id)]
        try:
            give_back(unsent, token=self.token, now=self._clock())
        except DatabaseError:
            self._recover()

    def _renew(self) -> None:
        if monotonic() - self._renewed_at < app_settings.HEARTBEAT:
            return
        try:
            if self._open:
                Delivery.objects.all().renew(token=self.token, until=self._lease_end(self._clock()))
        except DatabaseError:
            self._recover()
            return
        self._renewed_at = monotonic()

    def _let_go(self) -> None:
        """Give back every lease. If that fails, they run out by themselves."""
        try:
            Delivery.objects.all().release(token=self.token, now=self._clock())
        except DatabaseError:
            self._recover()

    def _lease_end(self, now: datetime) -> datetime:
        return now + timedelta(seconds=app_settings.LEASE)

    def _recover(self) -> None:
        logger.exception("The database refused a step of the drain; trying again.")  # noqa: LOG004 (called where it is caught)
        close_old_connections()
        sleep(WRITE_PAUSE)
