"""The drain: one thread that delivers, with many requests in flight and without waiting for any of them.

Each turn of the loop:

1. fans out new events,
2. claims due deliveries, for webhooks that have a free slot,
3. starts requests, and looks for the access tokens that they need,
4. waits until something happens, and collects the answers,
5. writes the results that belong together, and renews the leases.

No guarantee depends on a drain staying alive: when it dies, its deliveries come due again at the end of their leases.
"""

from __future__ import annotations

import logging
import random as random_module
import threading
import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any, TypeVar

from django.db import Error as DatabaseFailure
from django.db import close_old_connections, router

from tms_webhooks.db import clock as database_clock
from tms_webhooks.db.writer import others_write
from tms_webhooks.delivery import health
from tms_webhooks.delivery.outgoing import OutgoingRequest, may_stop_webhook
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.models import Delivery, DrainSlot
from tms_webhooks.monitoring.words import OUTAGE_REMEDY
from tms_webhooks.net.transports import new_transport
from tms_webhooks.net.transports.base import Response, Transport
from tms_webhooks.queues.wakeup import WakeUpListener
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker.claim import Claimer, ClaimScope, next_due_at
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.leases import DatabaseState, Leases
from tms_webhooks.worker.results import PendingResults
from tms_webhooks.worker.send import Attempt, unexpected, with_contents
from tms_webhooks.worker.sender import Sender

# Deliveries that a busy drain claims at a time.
CLAIM_BATCH = 256
# Seconds between two polls of a drain that is busy or that can't be woken, and of an idle one that can.
DRAIN_POLL, DRAIN_REST = 0.02, 0.5
# Requests that are started in one turn, and before answers are collected again.
STARTED_PER_TURN = 64
STARTED_TOGETHER = 16
# Results are written when this many wait, when the first has waited this many seconds, or when no more have come for
# this many seconds.
RESULTS_PER_WRITE = 256
RESULTS_LATEST = 0.05
RESULTS_PAUSE = 0.002
# Sizes of a write and of a claim while other processes wait for the database's one writer, or ordered webhooks for an
# answer.
RESULTS_WHILE_OTHERS_WAIT = 96
CLAIMED_WHILE_OTHERS_WAIT = 128
# Seconds between two reads of everything that is due, where much of it can't be sent now. The second is the share of
# all time that these reads may take.
EVERYTHING_PAUSE = 0.05
EVERYTHING_SHARE = 0.1
# Seconds between two polls for events, while more are expected and further requests can be started.
EVENTS_PAUSE = 0.02
# An answer that the drain waited for is collected in this many seconds.
PROMPT = 0.0002
# More new events than these announce further ones.
FEW_EVENTS = 8

Value = TypeVar("Value")

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
    clock. ``slot`` returns the number of the drain's slot, or None without one. The drains of a process can share an
    ``outage``.
    """

    def __init__(
        self,
        *,
        fan_out: Callable[[datetime], int],
        clock: Callable[[], datetime] = database_clock.now,
        transport: Transport | None = None,
        random: Callable[[], float] = random_module.random,
        slot: Callable[[], int | None] = lambda: None,
        outage: OwnOutage | None = None,
    ) -> None:
        self.token = uuid.uuid4().hex
        self.tally = Tally()
        self._fan_out = fan_out
        self._clock = clock
        self._transport = transport or new_transport()
        self._sender = Sender(self._transport, clock=clock)
        slots = self._transport.capacity
        self._queues = EndpointQueues(slots=slots, places=slots + 2 * CLAIM_BATCH)
        self._claimer = Claimer(
            self.token,
            wanted=self._queues.wanted,
            wanted_replays=self._queues.wanted_replays,
            allowance=self._queues.allowance,
        )
        self._slot, self._outage = slot, outage or OwnOutage()
        # Since when receivers can't be reached, as the slot says; whether the slot was read.
        self._unreachable_since: datetime | None = None
        self._knows_slot = False
        self._pending = PendingResults(token=self.token, clock=clock, random=random, outage=self._outage)
        self._leases = Leases(token=self.token, clock=clock)
        self._database = DatabaseState()
        self._selector = DefaultSelector()
        self._selector.register(self._transport, EVENT_READ)
        self._listener: WakeUpListener | None = None
        self._until_idle = False
        # Whether a wake-up, or a full batch of events, announces new events, and when events were polled last.
        self._expects_events, self._events_polled_at = True, float("-inf")
        # Whether events were fanned out since the last claim that reads them.
        self._has_new = False
        # Of the reads of everything that is due: whether the last one was complete, and when the next one is. Whether
        # the last claim read the new deliveries alone.
        self._is_complete, self._everything_at, self._was_new = True, 0.0, False
        # When answers were collected last, and when one came last.
        self._collected_at, self._answered_at = monotonic(), 0.0
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
        """Work for this many seconds, until ``stop`` is set, or until nothing is due; then finish the requests in flight.

        ``after_last_claim`` is called once nothing more is claimed, so that a successor need not wait for the last
        answers. If requests are in flight then, ``run_finish`` gets the function that waits for them, and may call it
        in another thread.
        """
        end = float("inf") if seconds is None else monotonic() + seconds
        self._until_idle = until_idle
        try:
            if not until_idle:
                self._listener = WakeUpListener(router.db_for_write(Delivery), self._selector)
            while monotonic() < end and not (stop and stop.is_set()):
                if not self._turn(end) and until_idle:
                    break
            # Now rather than after the last answer: the successor sends them.
            self._return_unsent(self._queues.withdraw())
            after_last_claim()
        except BaseException:
            self._close()
            raise
        self._close_listener()
        run_finish(self._finish) if self._unfinished else self._close()
        return self.tally

    def _turn(self, end: float) -> bool:
        """Do each step once; return whether there was, or still is, something to do."""
        events = self._try(self._fan_out_events)
        claimed = self._try(self._claim)
        # Before the first answer: the slot has the outage that the last drain reported.
        self._try(self._report_outage)
        self._start()
        self._authorize()
        has_work = bool(events or claimed or self._unfinished or self._database.is_away)
        if has_work or not self._until_idle:
            self._wait(min(end - monotonic(), self._seconds_to_wait()))
        self._collect()
        self._write()
        self._database.end_turn()
        return has_work

    def _finish(self) -> None:
        """Wait for the last answers, and write them."""
        try:
            while self._unfinished:
                self._authorize()
                self._wait(self._seconds_to_finish())
                self._collect()
                self._write()
                self._database.end_turn()
        finally:
            self._close()

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _close(self) -> None:
        self._close_listener()
        self._try(self._sender.write_changes)
        self._selector.close()
        self._transport.close()
        # If that fails, the leases run out.
        self._try(self._leases.release_all)

    @property
    def _unfinished(self) -> int:
        """How many deliveries this worker holds: waiting, in flight, or with a result that is not written."""
        # Counted by request, not by key: a delivery that was lost to another worker and claimed again counts twice.
        return self._queues.held + len(self._pending)

    # --- Events and claims ---

    def _fan_out_events(self) -> int:
        """Fan out new events, if it is time to poll for them; return how many."""
        if monotonic() < self._events_at:
            return 0
        database_clock.keep_up()
        events = self._fan_out(self._clock())
        self._events_polled_at = monotonic()
        self._expects_events = events > FEW_EVENTS
        self._has_new = self._has_new or events > 0
        self.tally.events += events
        return events

    @property
    def _events_at(self) -> float:
        """When to poll for events."""
        if self._expects_events:
            pause = EVENTS_PAUSE if self._queues.may_start else 0.0
        elif self._until_idle and not self._unfinished:
            pause = 0.0
        elif self._unfinished or self._listener is None or not self._listener.hears:
            pause = DRAIN_POLL
        else:
            pause = DRAIN_REST
        return self._events_polled_at + pause

    def _claim(self) -> int:
        """Claim due deliveries for webhooks that have a free slot; return how many."""
        self._leases.release_unknown()
        claimed = 0
        if self._queues.free_places:
            # Everything is read at times, otherwise the new deliveries if there are any. While a receiver is down, many are
            # due that can't be sent: to read all of them for each new event would be in vain. A claim for a few webhooks
            # comes before the one of everything, for a while.
            patience = EVERYTHING_PAUSE if self._queues.hungry() else 0.0
            is_time = monotonic() >= self._everything_at + patience or (self._until_idle and not self._unfinished)
            scope = ClaimScope.EVERYTHING if is_time or self._has_new else None
            if self._has_new and not self._is_complete and not (is_time and self._was_new):
                scope = ClaimScope.NEW
            if scope is not None:
                claimed = self._claim_from(scope)
            hungry = self._queues.hungry() if scope is not ClaimScope.EVERYTHING and self._queues.free_places else ()
            if hungry:
                claimed += self._claim_from(hungry)
        return claimed

    def _claim_from(self, scope: ClaimScope | Collection[int]) -> int:
        begun_at, now = monotonic(), self._clock()
        limit = CLAIMED_WHILE_OTHERS_WAIT if self._others_wait() else CLAIM_BATCH
        claim = self._claimer.claim(
            scope, now=now, until=self._leases.end(now), limit=min(self._queues.free_places, limit)
        )
        self._leases.add([*(request.delivery_id for request in claim.requests), *claim.left])
        asked = () if isinstance(scope, ClaimScope) else scope
        unsendable = self._queues.claimed(claim.requests, claim.capacities, claim.full, asked=asked)
        # Given back: nothing else would look at them again, and each worker would wait for the other one.
        self._return_unsent([*unsendable, *claim.left])
        if isinstance(scope, ClaimScope):
            self._has_new, self._was_new = False, scope is ClaimScope.NEW
        if scope is ClaimScope.EVERYTHING:
            self._is_complete = claim.is_complete
            pause = DRAIN_POLL if claim.is_complete else EVERYTHING_PAUSE
            self._everything_at = monotonic() + max(pause, (monotonic() - begun_at) / EVERYTHING_SHARE)
        return len(claim.requests)

    # --- Requests and answers ---

    def _start(self) -> None:
        """Start the next requests, and collect answers in between: a webhook may be waiting for one of them.

        Requests that have to be rendered start after the others. An organization has a budget of time for it each turn.
        """
        spent = TimeSpent(monotonic)
        for _group in range(STARTED_PER_TURN // STARTED_TOGETHER):
            requests = list(islice(iter(self._queues.next, None), STARTED_TOGETHER))
            unrendered = [request for request in requests if request.unrendered is not None]
            self._send(request for request in requests if request.unrendered is None)
            if unrendered:
                self._collect()
                rendered = self._try(with_contents, unrendered, spent) or []
                self._send(rendered)
                started = {request.delivery_id for request in rendered}
                for request in reversed(unrendered):
                    if request.delivery_id not in started:
                        self._queues.put_back(request)
                if len(rendered) < len(unrendered):
                    return
            if len(requests) < STARTED_TOGETHER:
                return
            self._collect()
            if self._pending.is_urgent:
                return

    def _send(self, requests: Iterable[OutgoingRequest]) -> None:
        for request in requests:
            attempt = Attempt.begin(request, self._clock())
            try:
                self._sender.start(attempt)
            except DeliveryError as error:
                self._end(attempt, error, 0.0)
            except Exception as error:
                self._end(attempt, unexpected(error), 0.0)

    def _authorize(self) -> None:
        """Look for the access tokens that attempts wait for, if it is time to."""
        if self._sender.authorize_at <= monotonic():
            self._try(self._sender.authorize)

    def _wait(self, seconds: float) -> None:
        """Wait for an answer or a wake-up, at most this many seconds."""
        begun_at = monotonic()
        self._selector.select(max(0.0, seconds))
        waited = monotonic() - begun_at
        # An answer that has not made the selector wait may have been there since the last collection.
        if waited >= PROMPT:
            self._collected_at = monotonic()
        if self._listener is not None and self._listener.collect():
            self._expects_events = True

    def _seconds_to_wait(self) -> float:
        """Return for how long the drain has no work, unless an answer or a wake-up comes."""
        if self._database.is_away:
            return self._seconds_to_finish()
        if self._queues.may_start or (self._queues.free_places and self._queues.hungry()):
            return 0.0
        now = monotonic()
        until_allowed = self._queues.seconds_until_allowed()
        return min(
            self._seconds_to_finish(),
            self._events_at - now,
            self._everything_at - now if self._unfinished else self._try(self._seconds_until_due) or 0.0,
            DRAIN_REST if until_allowed is None else until_allowed,
        )

    def _seconds_until_due(self) -> float:
        """Return in how many seconds the next delivery comes due."""
        now = self._clock()
        due_at = next_due_at(now)
        return DRAIN_REST if due_at is None else (due_at - now).total_seconds()

    def _seconds_to_finish(self) -> float:
        """Return for how long no result has to be written, and no lease renewed."""
        in_transport = self._sender.timeout()
        at = min(self._leases.renew_at, self._sender.authorize_at)
        if self._database.is_away:
            at = self._database.retry_at
        least = at - monotonic()
        if in_transport is not None:
            least = min(least, in_transport)
        return min(least, RESULTS_PAUSE) if self._pending and not self._database.is_away else least

    def _collect(self) -> None:
        """Collect the answers that have come."""
        answers = self._sender.collect()
        # An answer may have come as soon as the last collection was over.
        lateness, self._collected_at = monotonic() - self._collected_at, monotonic()
        for attempt, answer, seconds in answers:
            self._end(attempt, answer, seconds, lateness=lateness)
            self._answered_at = self._collected_at

    def _end(
        self, attempt: Attempt, answer: Response | DeliveryError, seconds: float, *, lateness: float = 0.0
    ) -> None:
        """End an attempt, and keep its result until it is written."""
        result = attempt.end(answer, seconds, self._clock())
        if may_stop_webhook(result):
            self._queues.halt(result.request.webhook_id)
        self._queues.answered(result, max(0.0, seconds - lateness))
        if not self._pending:
            self._write_at = monotonic() + RESULTS_LATEST
        self._pending.add(result)

    # --- Results ---

    def _write(self) -> None:
        """Write the pending results, unless more come that can be written with them; renew the leases."""
        self._try(self._leases.renew)
        limit = RESULTS_WHILE_OTHERS_WAIT if self._others_wait() else RESULTS_PER_WRITE
        while self._pending and (len(self._pending) >= limit or self._must_write()):
            if self._try(self._write_some, limit) is None:
                return

    def _must_write(self) -> bool:
        now = monotonic()
        if self._pending.is_urgent or now >= self._write_at:
            return True
        if self._queues.may_start or self._queues.hungry():
            return False
        return not self._queues.in_flight or now - self._answered_at >= RESULTS_PAUSE

    def _write_some(self, limit: int) -> int:
        """Write at most this many of the pending results; return how many."""
        results, stopped = self._pending.write(limit)
        self._leases.remove(result.request.delivery_id for result in results)
        self.tally.sent += len(results)
        self.tally.delivered += sum(result.outcome.success for result in results)
        # The waiting requests of webhooks that were paused or disabled.
        self._return_unsent([pk for webhook_id in stopped for pk in self._queues.withdraw(webhook_id)])
        for result in results:
            if may_stop_webhook(result):
                self._queues.resume(result.request)
        self._queues.written(result.request.webhook_id for result in results)
        return len(results)

    def _return_unsent(self, ids: Collection[int]) -> None:
        self._try(self._leases.return_unsent, ids)

    def _report_outage(self) -> None:
        """Write to the slot and to the log that this worker reaches no receiver, or reaches receivers again."""
        slot = self._slot()
        if slot is not None and not self._knows_slot:
            reported = DrainSlot.objects.filter(number=slot).values_list("unreachable_since", flat=True).first()
            if reported is not None:
                self._outage.resume(reported)
            self._knows_slot, self._unreachable_since = True, reported
        since = self._outage.reported_since(self._clock())
        if since == self._unreachable_since:
            return
        if slot is not None:
            DrainSlot.objects.filter(number=slot).update(unreachable_since=since)
        if since is None:
            logger.warning("This worker reaches receivers again.")
        else:
            health.forgive(since)
            logger.error("This worker has reached no receiver since %s. %s", since.isoformat(), OUTAGE_REMEDY)
        self._unreachable_since = since

    # --- The database ---

    def _others_wait(self) -> bool:
        return bool(self._queues.ordered or self._try(others_write))

    def _try(self, step: Callable[..., Value], *args: Any) -> Value | None:
        """Do a step that uses the database; return None if the database refuses it now, or did so a moment ago."""
        if not self._database.may_try():
            return None
        try:
            if self._database.is_away and not self._database.has_worked:
                self._leases.renew_now()
                self._database.work()
            return step(*args)
        except DatabaseFailure as error:
            self._leases.mark_uncertain()
            self._database.refuse(error)
            close_old_connections()
            return None
