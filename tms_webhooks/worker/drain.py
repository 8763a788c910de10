"""The drain: one thread that talks to the database, and a pool of threads that talk to receivers.

Each turn of the loop:

1. fans out new events,
2. claims due deliveries, as far as the senders have capacity,
3. hands them to the sender threads,
4. writes the results that have come back,
5. renews the leases.

No guarantee depends on a drain staying alive: when it dies, its deliveries come due again at the end of their leases.
"""

from __future__ import annotations

import logging
import random as random_module
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic, sleep

from django.db import Error as DatabaseFailure
from django.db import close_old_connections, router
from django.utils import timezone

from tms_webhooks.conf import app_settings
from tms_webhooks.db.writer import others_write, with_quiet_neighbours
from tms_webhooks.delivery.outgoing import SendResult, may_stop_webhook
from tms_webhooks.models import Delivery
from tms_webhooks.net.transports.client import Client
from tms_webhooks.queues.wakeup import WakeUpListener
from tms_webhooks.worker.claim import claim, next_due_at
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.polling import Polling, PollScope
from tms_webhooks.worker.results import PendingResults, return_unsent
from tms_webhooks.worker.sender_pool import ResultQueue, SenderPool

# Results are written when there are so many, when the first has waited so many seconds, or when for so many seconds no
# more have come.
RESULTS_AT_ONCE = 256
RESULTS_LATEST = 0.1
RESULTS_PAUSE = 0.002
# Sizes of a write and of a claim while other processes wait for the database's one writer.
RESULTS_WHILE_OTHERS_WRITE = 96
CLAIMED_WHILE_OTHERS_WRITE = 128
# Seconds to wait after the database has refused a step.
RETRY_PAUSE = 0.2

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """The counts of one run: events fanned out, requests sent, and deliveries of these that succeeded."""

    events: int = 0
    sent: int = 0
    delivered: int = 0


class Drain:
    """One run of the loop. Create it in the process and thread that runs it, and run it once.

    ``fan_out`` creates the deliveries of new events: it takes the time and returns the number of events. ``clock``
    returns the time that is stored and compared with due times; durations are measured by the machine's monotonic
    clock.
    """

    def __init__(
        self,
        *,
        fan_out: Callable[[datetime], int],
        clock: Callable[[], datetime] = timezone.now,
        client: Client | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.token = uuid.uuid4().hex
        self.tally = Tally()
        self._fan_out = fan_out
        self._clock = clock
        self._client = client or Client(pool_size=app_settings.SENDER_THREADS)
        self._queues = EndpointQueues()
        self._result_queue = ResultQueue()
        self._senders = SenderPool(
            queues=self._queues,
            client=self._client,
            clock=clock,
            result_queue=self._result_queue,
            max_threads=app_settings.SENDER_THREADS,
        )
        self._pending = PendingResults(token=self.token, clock=clock, random=random)
        self._leases = Leases(token=self.token, clock=clock)
        self._polling = Polling()
        # Whether a wake-up has come that no poll for events has answered yet.
        self._is_woken = False
        # Whether others wait for the database's one writer, so that claims and writes have to be short.
        self._others_write = False
        # When the pending results are written at the latest.
        self._write_at = 0.0

    def run(
        self,
        *,
        seconds: float | None = None,
        stop: threading.Event | None = None,
        until_idle: bool = False,
        after_last_claim: Callable[[], None] = lambda: None,
        run_finish: Callable[[Callable[[], None]], None] = lambda finish: finish(),
    ) -> Tally:
        """Work for so many seconds, until ``stop`` is set, or until nothing is due; then finish the requests in flight.

        ``after_last_claim`` is called once nothing more is claimed, so that a successor need not wait for the last
        answers. If requests are in flight then, ``run_finish`` gets the function that waits for them, and may call it
        in another thread.
        """
        end = None if seconds is None else monotonic() + seconds
        self._polling.always_everything = until_idle
        listener = None if until_idle else WakeUpListener(router.db_for_write(Delivery), self._result_queue.wake)
        try:
            with with_quiet_neighbours(self._queues.quiet):
                self._loop(listener, end=end, stop=stop, until_idle=until_idle)
            # Now rather than after the last answer: the successor sends them.
            self._return_unsent(self._queues.withdraw())
            after_last_claim()
        except BaseException:
            self._close()
            raise
        finally:
            if listener is not None:
                listener.close()
        run_finish(self._finish) if self._unfinished else self._close()
        return self.tally

    def _loop(
        self, listener: WakeUpListener | None, *, end: float | None, stop: threading.Event | None, until_idle: bool
    ) -> None:
        while (end is None or monotonic() < end) and not (stop and stop.is_set()):
            unfinished = self._unfinished
            if self._turn() or unfinished or self._is_woken:
                continue
            if until_idle:
                break
            self._wait_for_work(listener, end)

    def _turn(self) -> bool:
        """Do each step once; return whether there were new events or due deliveries."""
        try:
            self._others_write = others_write()
            self._leases.release_unknown()
            events, claimed = self._fan_out_events(), self._claim()
        except DatabaseFailure:
            self._leases.mark_uncertain()
            self._recover()
            return True
        self.tally.events += events
        self._senders.grow()
        if self._unfinished:
            self._collect(wait=0.0 if events and self._polling.more_events else app_settings.DRAIN_POLL)
            self._retry_later(self._leases.renew)
        return bool(events or claimed)

    def _finish(self) -> None:
        """Wait for the last answers, and write them."""
        self._is_woken = False
        self._polling.stop()
        try:
            while self._unfinished:
                self._collect(wait=app_settings.DRAIN_POLL)
                self._retry_later(self._leases.renew)
        finally:
            self._close()

    def _close(self) -> None:
        self._queues.withdraw()
        self._senders.stop()
        self._client.close()
        # If that fails, the leases run out.
        self._retry_later(self._leases.release_all)

    @property
    def _unfinished(self) -> int:
        """How many deliveries this worker holds: waiting, in flight, or with a result that is not written."""
        # Counted by request, not by key: a delivery that was lost to another worker and claimed again counts twice.
        return self._queues.held + len(self._result_queue) + len(self._pending)

    def _wait_for_work(self, listener: WakeUpListener | None, end: float | None) -> None:
        """Wait, with no delivery in flight, for a wake-up, the next due delivery, or the next poll."""
        longest = app_settings.DRAIN_REST if listener is not None and listener.hears else app_settings.DRAIN_POLL
        try:
            now = self._clock()
            due_at = next_due_at(now)
        except DatabaseFailure:
            self._recover()
            return
        if due_at is not None:
            longest = min(longest, (due_at - now).total_seconds())
        if end is not None:
            longest = min(longest, max(0.0, end - monotonic()))
        self._result_queue.wait(min(longest, self._polling.longest_wait))
        self._result_queue.was_woken()

    def _fan_out_events(self) -> int:
        """Fan out new events, if it is time to poll for them; return how many."""
        self._polling.more_events, self._is_woken = self._polling.more_events or self._is_woken, False
        if not self._polling.should_poll_events(is_idle=not self._unfinished):
            return 0
        events = self._fan_out(self._clock())
        self._polling.events_polled(events)
        return events

    @property
    def _free_slots(self) -> int:
        """How many deliveries to claim: 0 until the senders have sent half of the deliveries that they may hold."""
        free = 2 * app_settings.CLAIM_BATCH - self._queues.held
        if free < app_settings.CLAIM_BATCH:
            return 0
        return min(free, CLAIMED_WHILE_OTHERS_WRITE) if self._others_write else free

    def _claim(self) -> int:
        """Claim due deliveries for the free slots, and hand them to the senders; return how many."""
        limit = self._free_slots
        scope = self._polling.next_scope() if limit else PollScope.NOTHING
        if scope is PollScope.NOTHING:
            return 0
        now = self._clock()
        requests, full, is_complete = claim(
            token=self.token,
            now=now,
            until=self._leases.end(now),
            limit=limit,
            prefetch=self._queues.prefetch,
            only_new=scope is PollScope.NEW,
        )
        self._leases.add(request.delivery_id for request in requests)
        self._queues.add(requests)
        self._polling.claimed(len(requests), full, is_complete=is_complete, limit=limit)
        return len(requests)

    def _collect(self, *, wait: float) -> None:
        """Take the results that have come, waiting up to ``wait`` seconds for the first, and write them.

        They are written together while they keep coming, and at once when they don't. A wake-up postpones the write:
        new events go out first. So do further due deliveries, before the senders run out of requests.
        """
        limit = RESULTS_WHILE_OTHERS_WRITE if self._others_write else RESULTS_AT_ONCE
        if not self._pending:
            self._result_queue.wait(wait)
            self._write_at = monotonic() + RESULTS_LATEST
        while self._take_results(limit) or self._expects_results:
            self._senders.grow()  # Also here: collecting may take as long as receivers do.
            if len(self._pending) >= limit or monotonic() >= self._write_at:
                break
            if self._is_woken or (self._free_slots and (self._polling.more_events or self._polling.more_due)):
                return
            self._result_queue.pause(RESULTS_PAUSE)
        self._write_results()

    @property
    def _expects_results(self) -> bool:
        """Whether pending results can wait for others: many requests are held, and no queue is halted by a result."""
        can_wait = self._pending and not self._pending.is_blocking
        return bool(can_wait and self._polling.is_saturated and self._queues.held)

    def _take_results(self, limit: int) -> bool:
        """Move results to the pending ones, up to ``limit`` of these; return whether there were any, or a wake-up."""
        results = self._result_queue.take(limit - len(self._pending))
        for result in results:
            self._pending.add(result)
        self._is_woken = self._result_queue.was_woken() or self._is_woken
        return bool(results or self._is_woken)

    def _write_results(self) -> None:
        """Write all pending results, in as many parts as it takes, so that none of them waits for later results."""
        while self._pending:
            try:
                results, stopped = self._pending.write()
            except DatabaseFailure:
                self._recover()
                return
            self._results_written(results, stopped)

    def _results_written(self, results: Sequence[SendResult], stopped: Collection[int]) -> None:
        self._leases.remove(result.request.delivery_id for result in results)
        self._polling.results_written(result.request.webhook_id for result in results)
        self.tally.sent += len(results)
        self.tally.delivered += sum(result.outcome.success for result in results)
        # The waiting requests of webhooks that were paused or disabled.
        self._return_unsent([pk for webhook_id in stopped for pk in self._queues.withdraw(webhook_id)])
        self._queues.resume(result.request.webhook_id for result in results if may_stop_webhook(result))

    def _return_unsent(self, ids: Collection[int]) -> None:
        self._retry_later(lambda: self._leases.return_unsent(ids))

    def _retry_later(self, step: Callable[[], None]) -> None:
        """Do a step that a later turn repeats if the database refuses it now."""
        try:
            step()
        except DatabaseFailure:
            self._recover()

    def _recover(self) -> None:
        logger.exception("The database refused a step of the drain; trying again.")  # noqa: LOG004 (called where it is caught)
        close_old_connections()
        sleep(RETRY_PAUSE)


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
        return now + timedelta(seconds=app_settings.LEASE)

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

    def renew(self) -> None:
        """Extend all leases, if ``HEARTBEAT`` seconds have passed since the last time."""
        if monotonic() - self._renewed_at >= app_settings.HEARTBEAT:
            Delivery.objects.all().renew(token=self.token, until=self.end(self._clock()))
            self._renewed_at = monotonic()

    def release_all(self) -> None:
        """Release all leases."""
        Delivery.objects.all().release(token=self.token, now=self._clock())
