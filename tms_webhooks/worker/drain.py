"""The drain: one thread that delivers, with many requests in flight and without waiting for any of them.

Each turn of the loop:

1. fans out new events,
2. leases webhooks that have due work, and reads due deliveries for those that have a free slot,
3. starts requests, and looks for the access tokens that they need,
4. waits until something happens, and collects the answers,
5. writes the results that belong together, and gives back webhooks that have no work.

No guarantee depends on a drain staying alive: when it dies, another drain leases its webhooks.
"""

from __future__ import annotations

import logging
import random as random_module
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from selectors import EVENT_READ, DefaultSelector
from time import monotonic
from typing import Any, TypeVar

from django.db import Error as DatabaseFailure
from django.db import close_old_connections, router

from tms_webhooks.choices import ErrorClass
from tms_webhooks.db import clock as database_clock
from tms_webhooks.db.sql import is_conflict, log_refusal, others_write
from tms_webhooks.delivery import health, lifecycle
from tms_webhooks.delivery.outgoing import ClaimedDelivery, SendResult
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.delivery.rendering import with_contents
from tms_webhooks.models import Delivery, DrainSlot
from tms_webhooks.monitoring.words import OUTAGE_REMEDY
from tms_webhooks.net.transports import new_transport
from tms_webhooks.net.transports.base import Transport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.queues.wakeup import WakeUpListener, notify, wake_local
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.leases import (
    Leases,
    WebhookRow,
    due_within,
    held_webhooks,
    leave_to_others,
    next_due_at,
)
from tms_webhooks.worker.results import write_results
from tms_webhooks.worker.send import Sender, make_requests

# Deliveries that are read together. Each may be of another webhook, and SQLite takes a union of 500 selects.
READ_BATCH = 500
# Seconds between two polls: of a drain that is busy or can't be woken, of an idle one, and of one that hears each wake-up.
DRAIN_POLL, DRAIN_REST, DRAIN_SLEEP = 0.02, 0.5, 10.0
# For this many seconds after a wake-up, the next ones may have been left out.
AFTER_WAKE_UP = 0.1
# Seconds between two polls for free webhooks, of a drain that holds some. The second is the share of all time that they may
# take.
LEASE_POLL, LEASE_SHARE = 0.25, 0.1
# The same for an idle drain, if there are others: one of them may be killed.
LEASE_POLL_AMONG_OTHERS = 1.0
# Requests that are started in one turn, and before answers are collected again.
STARTED_PER_TURN = 64
STARTED_TOGETHER = 16
# Results are written when this many wait, when the first has waited this many seconds, or when no more have come for
# this many seconds.
RESULTS_PER_WRITE = 256
RESULTS_LATEST = 0.05
RESULTS_PAUSE = 0.002
# The size of a write while other processes wait for the database's one writer, or ordered webhooks for an answer.
RESULTS_WHILE_OTHERS_WAIT = 96
# Seconds between two polls for events, while more are expected and further requests can be started.
EVENTS_PAUSE = 0.02
# An answer that the drain waited for is collected in this many seconds.
PROMPT = 0.0002
# More new events than these announce further ones.
FEW_EVENTS = 8
# For no more webhooks than these, a drain reads without asking first which of them have new deliveries.
FEW_HELD = 4
# Seconds between two attempts while the database refuses to work: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0

Value = TypeVar("Value")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """The counts of one run: events fanned out, requests sent, and deliveries of these that succeeded."""

    events: int = 0
    sent: int = 0
    delivered: int = 0


class DatabaseState:
    """Whether the database works, and when to try again if not: after 0.2 s at first, after 10 s at last."""

    def __init__(self) -> None:
        self.is_away = False
        self.retry_at = 0.0
        self._pause = FIRST_PAUSE
        # In this turn of the loop: whether the database has refused a step, and whether it has done one.
        self._has_failed = self.has_worked = False
        self._is_reported = False

    def refuse(self, error: DatabaseFailure) -> None:
        """Note a failure. The first one is logged, and each conflict, quietly."""
        if not self._is_reported:
            log_refusal(logger, error, "The database refuses to work; trying again within %d s.", LONGEST_PAUSE)
            self._is_reported = not is_conflict(error)
        self.is_away = self._has_failed = True
        self.retry_at = monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def end_turn(self) -> None:
        """Note the end of a turn of the loop. The database works again after a turn in which it refused no step."""
        if self.has_worked and not self._has_failed:
            if self._is_reported:
                logger.warning("The database works again.")
            self.is_away, self._is_reported, self._pause = False, False, FIRST_PAUSE
        self._has_failed = self.has_worked = False


class Drain:
    """One run of the loop. Create it in the process and thread that runs it, and run it once.

    ``renew_slot`` is that of `Leases`. The drains of a process can share an ``outage``. ``fan_out`` creates the deliveries
    of new events: it takes the time and returns the number of events. ``clock`` returns the time that is stored and
    compared with due times; durations are measured by the machine's monotonic clock.
    """

    def __init__(
        self,
        *,
        renew_slot: Callable[[datetime], int | None] = lambda _now: None,
        outage: OwnOutage | None = None,
        fan_out: Callable[[datetime], int] = fan_out,
        clock: Callable[[], datetime] = database_clock.now,
        transport: Transport | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.tally = Tally()
        self._fan_out = fan_out
        self._clock = clock
        self._transport = transport or new_transport()
        self._sender = Sender(self._transport, clock=clock)
        self._leases = Leases(clock=clock, renew_slot=renew_slot)
        self._queues = EndpointQueues(slots=self._transport.capacity, clock=clock)
        self._known: dict[int, WebhookRow] = {}
        self._outage = outage or OwnOutage()
        # Since when receivers can't be reached, as the slot says; whether the slot was read.
        self._unreachable_since: datetime | None = None
        self._knows_slot = False
        self._random = random
        # The results that are not written yet: if a write fails, it is repeated, never the request. The webhooks that get
        # no request until theirs are written; the deliveries whose results were given up.
        self._results: list[SendResult] = []
        self._urgent: set[int] = set()
        self._lost: set[int] = set()
        self._database = DatabaseState()
        self._selector = DefaultSelector()
        self._selector.register(self._transport, EVENT_READ)
        self._listener: WakeUpListener | None = None
        self._until_idle = self._is_ending = False
        self._stop = threading.Event()
        # Whether a wake-up, or a full batch of events, announces new events; when events were polled last, and when the
        # last wake-up came.
        self._expects_events, self._events_polled_at, self._woken_at = True, float("-inf"), float("-inf")
        # Whether events came without a wake-up.
        self._misses_wake_ups = False
        # When to poll for free webhooks next, and when at the earliest.
        self._lease_at = self._lease_earliest = 0.0
        # When to read for all webhooks that are held, whatever is known of them.
        self._read_all_at = 0.0
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
        after_last_start: Callable[[], None] = lambda: None,
        run_finish: Callable[[Callable[[], None]], None] = lambda finish: finish(),
    ) -> Tally:
        """Work for this many seconds, until ``stop`` is set, or until nothing is due; then finish the requests in flight.

        ``after_last_start`` is called once nothing more is started, so that a successor need not wait for the last
        answers. The successor gets each webhook when the last request to it has ended. If requests are in flight then,
        ``run_finish`` gets the function that waits for them, and may call it in another thread.
        """
        end = float("inf") if seconds is None else monotonic() + seconds
        self._until_idle, self._stop = until_idle, stop or self._stop
        try:
            alias, lock = router.db_for_write(Delivery), self._leases.lock
            listening = nullcontext() if until_idle else closing(WakeUpListener(alias, self._selector, lock=lock))
            with listening as self._listener:
                if self._listener is not None:
                    self._leases.use_session(self._listener)
                while monotonic() < end and not self._stop.is_set():
                    if not self._turn(end) and until_idle:
                        break
                self._is_ending = True
                self._queues.drop(list(self._queues.keys))
                self._try(self._give_back)
                after_last_start()
            self._listener = None
        except BaseException:
            self._close()
            raise
        run_finish(self._finish) if self._unfinished else self._close()
        return self.tally

    def _turn(self, end: float = float("inf")) -> bool:
        """Do each step once; return whether there was, or still is, something to do. A drain that ends starts nothing."""
        found = 0
        self._try(self._renew)
        if not self._is_ending:
            found += self._try(self._fan_out_events) or 0
            self._serve_ordered()
            found += self._try(self._find_due) or 0
            # Before the first answer: the slot has the outage that the last drain reported.
            self._try(self._report_outage)
        self._try(self._give_back)
        self._start()
        has_work = bool(found or self._unfinished or self._database.is_away or self._queues.has_work)
        if has_work or not self._until_idle:
            self._wait(min(end - monotonic(), self._seconds_to_wait()))
        self._collect()
        # Before the results are written: an ordered webhook waits for its answer alone.
        self._start()
        self._write()
        if self._database.is_away:
            self._database.end_turn()
        return has_work

    def _finish(self) -> None:
        """Wait for the last answers, and write them."""
        try:
            while self._unfinished:
                self._turn()
            self._try(self._give_back)
        finally:
            self._close()

    def _close(self) -> None:
        self._selector.close()
        self._transport.close()
        # If that fails, the leases run out.
        self._try(self._leases.give_back, dict.fromkeys(self._leases.held))

    @property
    def _unfinished(self) -> int:
        """How many deliveries are in flight, or have a result that is not written."""
        return self._queues.in_flight + len(self._results)

    # --- Events, webhooks and deliveries ---

    def _fan_out_events(self) -> int:
        """Fan out new events, if it is time to poll for them, and read the deliveries that have just come due; return how many events."""
        if monotonic() < self._events_at:
            return 0
        database_clock.keep_up()
        # A process of another user, or in another container, has no socket in common with this one.
        is_announced, pause, now = self._expects_events, monotonic() - self._events_polled_at, self._clock()
        events = self._fan_out(now)
        self._misses_wake_ups |= not is_announced and pause > DRAIN_REST and events > 0
        self._events_polled_at = monotonic()
        self._expects_events = events > FEW_EVENTS
        self.tally.events += events
        if events or is_announced:
            holds_few = len(self._queues.keys) <= FEW_HELD
            if holds_few:
                # To read takes no longer than to ask for which of them, and the requests go out before that is asked.
                self._queues.expect_more(self._queues.keys)
                self._read()
                self._start()
            due = self._leases.due_since(now)
            if not holds_few:
                self._queues.expect_more(due)
            # New events are not for webhooks that pause. Without an event, a user may have had a delivery sent.
            pausing = {pk for pk in due if events and pk in self._known and not self._known[pk].webhook.is_awake(now)}
            if not due or due - pausing - self._leases.held:
                # It is for webhooks that are free, or for none that this drain knows of.
                self._lease_at = self._lease_earliest
            self._lease_at = max(self._lease_earliest, min(self._lease_at, monotonic() + LEASE_POLL))
        if events:
            self._wake_others()
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
            pause = self._rest
        return self._events_polled_at + pause

    @property
    def _rest(self) -> float:
        """How long an idle drain may sleep."""
        if self._listener is None or not self._listener.hears_all or self._misses_wake_ups:
            return DRAIN_REST
        return DRAIN_POLL if monotonic() < self._woken_at + AFTER_WAKE_UP else DRAIN_SLEEP

    def _wake_others(self) -> None:
        """Wake the other drains: the deliveries may be for webhooks that they hold, or may lease now."""
        if not self._leases.is_alone:
            alias = router.db_for_write(Delivery)
            wake_local(alias)
            notify(alias)

    def _renew(self) -> None:
        """Renew the leases, if it is time to; have queues for the webhooks that are leased, and for no others."""
        if monotonic() >= self._leases.renew_at:
            excess = self._leases.renew()
            held = self._leases.held
            self._queues.drop(self._queues.keys - held)
            self._queues.lease(held - self._queues.keys - self._queues.closed.keys())
            if excess > 0:
                self._queues.leave(excess)

    def _find_due(self) -> int:
        """Lease free webhooks if it is time to, and read due deliveries; return how many of both."""
        if self._until_idle and not self._unfinished:
            # The last poll ends when all webhooks have been read after it.
            is_time = not any(self._queues.wanting())
        else:
            is_time = monotonic() >= self._lease_at
        found = self._read()
        if is_time:
            # The webhooks that are held don't wait for that.
            self._start()
            found += self._lease_free()
            begun_at = monotonic()
            reads_all = self._until_idle or begun_at >= self._read_all_at
            if reads_all:
                self._queues.expect_more(self._queues.keys)
            found += self._read()
            if reads_all:
                self._read_all_at = monotonic() + (monotonic() - begun_at) / LEASE_SHARE
        return found

    def _lease_free(self) -> int:
        """Lease free webhooks with due work, and note for which held ones more came due; return how many were leased."""
        begun_at, now = monotonic(), self._clock()
        self._queues.drop_unused()
        leased = self._leases.acquire(now, shares=not self._until_idle)
        self._queues.lease(leased)
        if self._queues.keys:
            self._queues.expect_more(self._leases.due_since(now))
        seconds = LEASE_POLL
        if not leased:
            due_at, are_others_leased = next_due_at(token=self._leases.token, now=now)
            until_due = DRAIN_SLEEP if due_at is None else (due_at - now).total_seconds()
            idle = LEASE_POLL_AMONG_OTHERS if are_others_leased else self._rest
            seconds = min(until_due, LEASE_POLL if self._queues.keys else idle)
            if not (self._queues.keys or self._leases.is_alone):
                # What comes due is mostly of webhooks that others hold.
                seconds = max(LEASE_POLL, seconds)
        ended_at = monotonic()
        self._lease_earliest = ended_at + (ended_at - begun_at) / LEASE_SHARE
        self._lease_at = max(ended_at + seconds, self._lease_earliest)
        return len(leased)

    def _read(self) -> int:
        """Read due deliveries for the webhooks that have a free slot; return how many."""
        queues = self._queues.to_read(READ_BATCH)
        if not queues:
            return 0
        now = self._clock()
        rows = held_webhooks(
            [queue.webhook_id for queue in queues], token=self._leases.token, now=now, known=self._known
        )
        self._queues.drop(queue.webhook_id for queue in queues if queue.webhook_id not in rows)
        quotas = {
            queue: queue.quotas(rows[queue.webhook_id].webhook, now) for queue in queues if queue.webhook_id in rows
        }
        by_webhook = defaultdict[int, list[ClaimedDelivery]](list)
        for delivery in due_within([quota for asked in quotas.values() for quota in asked], now=now):
            by_webhook[delivery.webhook_id].append(delivery)
        for queue, asked in quotas.items():
            queue.note_read(asked, by_webhook[queue.webhook_id], now)
        # The webhooks that have waited longest for a read take their turns first.
        deliveries = [delivery for queue in quotas for delivery in by_webhook[queue.webhook_id]]
        requests = make_requests(deliveries, webhooks=rows)
        lacking = {
            request.webhook_id
            for request in requests
            if (problem := request.endpoint.problem) and problem.error_class == ErrorClass.KEYS_MISSING
        }
        left = leave_to_others(lacking, now) if lacking else ()
        self._queues.drop(left)
        self._queues.add(request for request in requests if request.webhook_id not in left)
        return len(deliveries)

    def _give_back(self) -> None:
        """Give back the webhooks to which nothing more is sent. Those that were lost are forgotten."""
        closed = self._queues.closed
        if not closed:
            return
        rates = {key: queue.rate for key, queue in closed.items() if key in self._leases.held}
        if rates:
            self._leases.give_back(rates)
            self._wake_others()
        is_stopped = any(queue.webhook and not queue.webhook.enabled for queue in closed.values())
        closed.clear()
        if is_stopped:
            # The rest of its deliveries can be skipped now.
            lifecycle.settle_soon()

    # --- Requests and answers ---

    def _start(self) -> None:
        """Start the next requests, and collect answers in between: a webhook may be waiting for one of them.

        Requests that have to be rendered start after the others. An organization has a budget of time for it each turn.
        """
        if self._stop.is_set() or monotonic() >= self._leases.valid_until:
            return
        spent: TimeSpent | None = None
        for _group in range(STARTED_PER_TURN // STARTED_TOGETHER):
            requests = list(islice(iter(self._queues.next, None), STARTED_TOGETHER))
            unrendered = [request for request in requests if request.unrendered is not None]
            for request in requests:
                if request.unrendered is None:
                    self._sender.start(request)
            if unrendered:
                self._collect()
                spent = spent or TimeSpent(monotonic)
                rendered = self._try(with_contents, unrendered, spent) or []
                for request in rendered:
                    self._sender.start(request)
                started = {request.delivery_id for request in rendered}
                for request in reversed(unrendered):
                    if request.delivery_id not in started:
                        self._queues.put_back(request)
                if len(rendered) < len(unrendered):
                    return
            if len(requests) < STARTED_TOGETHER:
                return
            self._collect()
            if self._urgent:
                return

    def _serve_ordered(self) -> None:
        """Start the next requests of ordered webhooks whose last one is answered, before a step that takes long."""
        if self._queues.ordered:
            self._collect()
            self._start()

    def _wait(self, seconds: float) -> None:
        """Wait for an answer or a wake-up, at most this many seconds."""
        begun_at = monotonic()
        self._selector.select(max(0.0, seconds))
        # An answer that has not made the selector wait may have been there since the last collection.
        if monotonic() - begun_at >= PROMPT:
            self._collected_at = monotonic()
        if self._listener is not None and self._listener.collect():
            self._expects_events, self._woken_at = True, monotonic()

    def _seconds_to_wait(self) -> float:
        """Return for how long the drain has no work, unless an answer or a wake-up comes."""
        seconds = self._sender.timeout()
        if self._database.is_away:
            return min(seconds, self._database.retry_at - monotonic())
        if self._queues.has_work:
            return 0.0
        at = [self._leases.renew_at]
        if not self._is_ending:
            at += [self._events_at, self._lease_at]
        if self._results:
            seconds = min(seconds, RESULTS_PAUSE)
        return min(seconds, min(at) - monotonic(), *self._queues.seconds_until_allowed())

    def _collect(self) -> None:
        """Collect the answers that have come."""
        answers = self._sender.collect()
        # An answer may have come as soon as the last collection was over.
        lateness, self._collected_at, now = monotonic() - self._collected_at, monotonic(), self._clock()
        for attempt, answer, seconds in answers:
            result = attempt.end(answer, seconds, now)
            is_urgent = self._queues.answered(result, max(0.0, seconds - lateness))
            if not self._results:
                self._write_at = self._collected_at + RESULTS_LATEST
            self._outage.note(result, now)
            self._results.append(result)
            if is_urgent:
                self._urgent.add(result.request.webhook_id)
            self._answered_at = self._collected_at

    # --- Results ---

    def _write(self) -> None:
        """Write the pending results, unless more come that can be written with them."""
        others_wait = self._queues.ordered or self._try(others_write)
        limit = RESULTS_WHILE_OTHERS_WAIT if others_wait else RESULTS_PER_WRITE
        while self._results:
            now, is_full = monotonic(), len(self._results) >= limit
            expects_none = not self._queues.in_flight or now - self._answered_at >= RESULTS_PAUSE
            is_pausing = expects_none and not self._queues.has_work
            if not (is_full or self._urgent or now >= self._write_at or is_pausing):
                return
            if self._try(self._write_some, limit) is None:
                return
            self._serve_ordered()

    def _write_some(self, limit: int) -> int:
        """Write at most this many of the pending results; return how many.

        Urgent ones come first, together with the earlier ones of their webhooks.
        """
        now = self._clock()
        self._results = self._outage.excused(self._results, now)
        urgent = [one for one in self._results if one.request.webhook_id in self._urgent]
        done = write_results(
            (urgent or self._results)[:limit],
            self._lost,
            token=self._leases.token,
            now=now,
            random=self._random,
            throttle=self._queues.throttle,
        )
        # By their requests: a result may have been written without the receiver's texts.
        settled = {id(one.request) for one in done}
        self._results = [one for one in self._results if id(one.request) not in settled]
        self._urgent.intersection_update(one.request.webhook_id for one in self._results)
        self.tally.sent += len(done)
        self.tally.delivered += sum(result.outcome.success for result in done)
        for result in done:
            self._queues.written(result, is_lost=result.request.delivery_id in self._lost)
        return len(done)

    def _report_outage(self) -> None:
        """Write to the slot and to the log that this worker reaches no receiver, or reaches receivers again."""
        slot = self._leases.slot
        if slot is not None and not self._knows_slot:
            rows = DrainSlot.objects.filter(number=slot)
            self._unreachable_since = rows.values_list("unreachable_since", flat=True).first()
            self._knows_slot = True
            if self._unreachable_since is not None:
                self._outage.resume(self._unreachable_since)
        since = self._outage.reported_since(self._clock())
        if since == self._unreachable_since:
            return
        DrainSlot.objects.filter(number=slot or 0).update(unreachable_since=since)
        if since is None:
            logger.warning("This worker reaches receivers again.")
        else:
            health.forgive(since)
            logger.error("This worker has reached no receiver since %s. %s", since.isoformat(), OUTAGE_REMEDY)
        self._unreachable_since = since

    # --- The database ---

    def _try(self, step: Callable[..., Value], *args: Any) -> Value | None:
        """Do a step that uses the database; return None if the database refuses it now, or did so a moment ago."""
        if self._database.is_away and monotonic() < self._database.retry_at:
            return None
        try:
            if self._database.is_away and not self._database.has_worked:
                self._leases.doubt()
                self._renew()
                self._database.has_worked = True
            return step(*args)
        except DatabaseFailure as error:
            # The database may have done a step, although it says that it has not.
            self._leases.doubt()
            self._database.refuse(error)
            close_old_connections()
            return None
