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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from time import monotonic, sleep

from django.db import DatabaseError, close_old_connections
from django.utils import timezone

from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.claim import claim
from tms_webhooks.delivery.results import record
from tms_webhooks.delivery.send import Result, send
from tms_webhooks.models import Delivery
from tms_webhooks.net.client import Client

RESULTS_AT_ONCE = 64
WRITE_PAUSE = 0.2

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What a drain has done."""

    events: int = 0
    sent: int = 0
    delivered: int = 0


class Drain:
    """One run of the engine. Make it in the process and thread that runs it.

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
        self._mailbox: SimpleQueue[Result] = SimpleQueue()
        self._flying = 0
        self._unwritten: list[Result] = []
        self._renewed_at = monotonic()

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
        pool = ThreadPoolExecutor(app_settings.SENDER_THREADS, thread_name_prefix="webhook-sender")
        try:
            while (end is None or monotonic() < end) and not (stop and stop.is_set()):
                busy = self._turn(pool)
                if until_idle and not busy and not self._flying:
                    break
            closing()
            while self._flying or self._unwritten:
                self._collect(wait=app_settings.DRAIN_POLL)
                self._renew()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._client.close()
            Delivery.objects.all().release(token=self.token, now=self._clock())
        return self.tally

    def _turn(self, pool: ThreadPoolExecutor) -> bool:
        """Do everything once; return whether there was anything to do."""
        try:
            fanned, claimed = self._fan_out(self._clock()), self._launch(pool)
        except DatabaseError:
            self._recover()
            return True
        self.tally.events += fanned
        busy = bool(fanned or claimed)
        self._collect(wait=0.0 if busy else app_settings.DRAIN_POLL)
        self._renew()
        return busy

    def _launch(self, pool: ThreadPoolExecutor) -> int:
        now = self._clock()
        room = min(app_settings.CLAIM_BATCH, app_settings.SENDER_THREADS - self._flying)
        parcels = claim(token=self.token, now=now, until=self._lease_end(now), room=room)
        for parcel in parcels:
            pool.submit(self._send_one, parcel)
        self._flying += len(parcels)
        return len(parcels)

    def _send_one(self, parcel: object) -> None:
        self._mailbox.put(send(parcel, client=self._client, clock=self._clock))  # type: ignore[arg-type]

    def _collect(self, *, wait: float) -> None:
        """Take the results that are there, waiting up to ``wait`` for the first, and write them down."""
        if wait and not self._flying and not self._unwritten:
            sleep(wait)
            return
        try:
            self._unwritten.append(self._mailbox.get(timeout=wait) if wait else self._mailbox.get_nowait())
            while len(self._unwritten) < RESULTS_AT_ONCE:
                self._unwritten.append(self._mailbox.get_nowait())
        except Empty:
            pass
        if self._unwritten:
            self._write()

    def _write(self) -> None:
        """Write down what came back. If that fails, the write is tried again, never the request."""
        results = self._unwritten
        try:
            record(results, token=self.token, now=self._clock(), random=self._dice)
        except DatabaseError:
            self._recover()
            return
        self._unwritten = []
        self._flying -= len(results)
        self.tally.sent += len(results)
        self.tally.delivered += sum(result.outcome.success for result in results)

    def _renew(self) -> None:
        if monotonic() - self._renewed_at < app_settings.HEARTBEAT:
            return
        try:
            if self._flying:
                Delivery.objects.all().renew(token=self.token, until=self._lease_end(self._clock()))
        except DatabaseError:
            self._recover()
            return
        self._renewed_at = monotonic()

    def _lease_end(self, now: datetime) -> datetime:
        return now + timedelta(seconds=app_settings.LEASE)

    def _recover(self) -> None:
        logger.exception("The database refused a step of the drain; trying again.")
        close_old_connections()
        sleep(WRITE_PAUSE)
