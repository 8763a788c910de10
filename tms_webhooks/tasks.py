"""The tasks that the queue runs in worker processes: the drain, the sweep and the other periodic jobs.

A task that can take long stops after some seconds and enqueues itself again, so that it does not occupy the worker. Each
task accepts further keyword arguments: a later version may enqueue them before this worker is updated.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from time import monotonic, sleep
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from tms_webhooks import expiry, hooks, moves, reconciliation, snapshot
from tms_webhooks.access import get_policy
from tms_webhooks.batches import Batches, after, run_alternately
from tms_webhooks.choices import JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock
from tms_webhooks.db.sql import log_refusal
from tms_webhooks.delivery import health, notices, replay
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.delivery.sweep import giving_up, settling
from tms_webhooks.models import DrainSlot, Job, PeriodicRun
from tms_webhooks.models.drain import GRACE, new_owner
from tms_webhooks.outbox import feed
from tms_webhooks.outbox import prune as pruning
from tms_webhooks.outbox.wake import DRAIN, waker
from tms_webhooks.queues import DUE_JOBS, enqueue, get_queue, periodic_jobs, refuse_immediate_run
from tms_webhooks.worker.drain import Drain, Tally

PRUNE = "tms_webhooks.tasks.prune"
SCAN = "tms_webhooks.tasks.scan_expiring"
RECONCILE = "tms_webhooks.tasks.reconcile"

# Seconds after which a task, or a step of the sweep, stops and leaves the rest to the next one.
TASK_SECONDS = 20.0
STEP_SECONDS = 10.0
# Seconds for which a snapshot waits for its deliveries, from its first batch of a task on. Most end within them.
WAIT_SECONDS = 4.0

# How long before the end of a drain's budget its successor is to begin. Seconds that it waits for the slot, and between
# two attempts to take it.
HEAD_START = timedelta(seconds=0.5)
PATIENCE = (HEAD_START + GRACE).total_seconds() + 1.0
SLOT_POLL = 0.02

# Seconds after a sweep at which a task restarts the periodic jobs, if the drains that enqueue them have been lost. That
# is soon after the next sweep is due.
RESTART_SECONDS = 65.0

# Kept from drain to drain: each takes seconds, and to notice an outage takes minutes.
own_outage = OwnOutage()

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


def periodic(job: Callable[P, R]) -> Callable[P, R]:
    """Return the job with a record of each start, by which other processes see that it runs."""

    @wraps(job)
    def recorded(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_immediate_run()
        PeriodicRun.objects.record(f"{job.__module__}.{job.__name__}", now=clock.measured_now())
        return job(*args, **kwargs)

    return recorded


def drain(slot: int = 1, successor: bool = False, **_future: Any) -> int:  # noqa: FBT001, FBT002 (a queue's arguments)
    """Deliver due deliveries for DRAIN_BUDGET_SECONDS; return the number of requests that were sent."""
    refuse_immediate_run()
    if get_queue().keeps_drains:
        try:
            enqueue_due_jobs()
        except Exception:
            # Such as of a broker that is down: deliveries do not wait for it.
            logger.exception("The periodic jobs that are due could not be enqueued; a later drain tries again.")
    tally = run_in_slot(slot, successor=successor)
    return tally.sent if tally else 0


def run_in_slot(slot: int, *, successor: bool) -> Tally | None:
    """Run one drain in this slot; return its counts, or None where another drain holds the slot or it no longer exists.

    A task queue's worker must not be busy forever: it could neither stop nor be recycled. So a drain has a budget, and its
    successor is enqueued ahead of time, to begin just before the end. The slot keeps a second chain from starting. A
    successor waits a moment for its predecessor to release the slot; any other drain returns immediately.
    """
    if slot > app_settings.DRAINS:  # DRAINS was lowered since this drain was enqueued: its chain ends.
        return None
    owner, budget = new_owner(), timedelta(seconds=app_settings.DRAIN_BUDGET_SECONDS)
    patient_until = monotonic() + (PATIENCE if successor else 0.0)
    while not DrainSlot.objects.take(
        slot, owner=owner, now=clock.measured_now(), until=clock.measured_now() + budget + GRACE
    ):
        if monotonic() >= patient_until:
            return None
        sleep(SLOT_POLL)

    def release() -> None:
        DrainSlot.objects.release(slot, owner=owner, now=clock.measured_now())

    is_enqueued = _enqueue_successor(slot, at=clock.measured_now() + budget - HEAD_START)
    try:
        return Drain(renew_slot=lambda _now: slot, outage=own_outage).run(
            seconds=budget.total_seconds(), after_last_start=release, run_finish=finish_in_thread
        )
    finally:
        release()
        if not is_enqueued:
            _enqueue_successor(slot)


def finish_in_thread(finish: Callable[[], None]) -> None:
    """Call ``finish``, which waits for the last answers, in a thread, and return immediately.

    Otherwise two slow answers would occupy two of the queue's workers, and no requests would go out to other receivers.
    The process does not end before the thread does.
    """

    def wait() -> None:
        try:
            finish()
        finally:
            connections.close_all()

    threading.Thread(target=wait, name="webhook-last-answers").start()


def _enqueue_successor(slot: int, *, at: datetime | None = None) -> bool:
    """Enqueue the next drain, at a moment or now; return False if the queue does not support that, or its broker is down."""
    try:
        if at is not None:
            # The queue compares with this machine's clock.
            return get_queue().enqueue_at(clock.on_this_machine(at), DRAIN, slot, True)
        enqueue(DRAIN, slot, True)
    except Exception:
        logger.exception("The next drain could not be enqueued; the sweep starts one.")
        return False
    return True


@periodic
def sweep(**_future: Any) -> None:
    """Make sure that a drain runs in every slot, and do what a drain does not.

    It records the first events of objects that have an organization by now. It ends hooks. It
    warns of failing webhooks, and publishes new events in the catch-up feed, so that its readers need not do it. It
    notifies people of webhooks that fail, are disabled or recover.
    """
    for slot in range(1, app_settings.DRAINS + 1):
        enqueue(DRAIN, slot)
    now = clock.measured_now()
    if not get_queue().has_schedules:
        get_queue().enqueue_at(clock.on_this_machine(now + timedelta(seconds=RESTART_SECONDS)), DUE_JOBS)
    reconciliation.settle_ownerless(now)
    hooks.end(get_policy().may_keep_hooks, now=now, stop=after(STEP_SECONDS))
    health.warn_all(now, stop=after(STEP_SECONDS))
    feed.keep_up(now, seconds=STEP_SECONDS)
    # Last: it may wait some seconds for a mail server.
    notices.notify(clock.measured_now)


def enqueue_due_jobs(**_future: Any) -> None:
    """Enqueue each periodic job that no process has begun within its interval."""
    for job in PeriodicRun.objects.claim_due(periodic_jobs(), clock=clock.measured_now):
        enqueue(job.function)


def start_drains() -> None:
    """Start a drain in every slot. A worker calls this when it starts.

    For a slot that is held, a drain is enqueued for the time at which the slot expires. The drain that holds it may have
    been killed together with its successor, and the next sweep may be a minute away.
    """
    now = clock.measured_now()
    for slot in range(1, app_settings.DRAINS + 1):
        held_until = DrainSlot.objects.held_until(now, number=slot)
        if held_until is None:
            enqueue(DRAIN, slot)
        else:
            get_queue().enqueue_at(clock.on_this_machine(held_until), DRAIN, slot)


@periodic
def work_on_jobs(**_future: Any) -> None:
    """Work on unfinished jobs, and settle the open deliveries of disabled and deleted webhooks.

    Jobs are recoveries, replays, cancellations and snapshots. Their batches alternate: a long job does not delay the
    others. A snapshot waits for its own deliveries for some seconds. Later it is continued by another task, if the queue
    supports that.
    """
    jobs = list(Job.objects.unfinished())
    work = {**settling(clock.measured_now()), **{f"job {job.pk}": _batches(job) for job in jobs}}
    is_finished = run_alternately(work, stop=after(TASK_SECONDS)).is_finished
    if any(job.kind == JobKind.SEND_NOW for job in jobs):
        waker.wake()
    if not is_finished:
        enqueue(replay.WORK)
    elif (moment := snapshot.next_run(clock.measured_now())) is not None:
        get_queue().enqueue_at(clock.on_this_machine(moment), replay.WORK)


@periodic
def scan_expiring(**_future: Any) -> int:
    """Record events of objects that expire soon or have expired; return the number of events."""
    scanned = expiry.scan_all(now=timezone.now(), stop=after(TASK_SECONDS))
    if not scanned.is_finished:
        enqueue(SCAN)
    return sum(scanned.rows.values())


@periodic
def prune(**_future: Any) -> None:
    """Give up deliveries that are too old, and delete rows that were kept long enough."""
    now = clock.measured_now()
    work = {"given_up": giving_up(now), **pruning.rules(now)}
    if not run_alternately(work, stop=after(TASK_SECONDS)).is_finished:
        enqueue(PRUNE)


@periodic
def reconcile(begin: bool = True, **_future: Any) -> int:  # noqa: FBT001, FBT002 (a queue's arguments)
    """Detect out-of-band changes and record their events; return the number of events.

    With ``begin=False``, only passes that were interrupted are continued.
    """
    sources = reconciliation.reconciled_sources()
    if begin:
        reconciliation.forget_others(sources)
    found = reconciliation.reconcile_all(sources, now=timezone.now(), begin=begin, stop=after(TASK_SECONDS)).values()
    if any(not one.finished and not one.failed for one in found):
        enqueue(RECONCILE, False)
    return sum(one.events for one in found)


def install_schedules(*, using: str, **_kwargs: Any) -> None:
    """Schedule the periodic jobs. Connected to ``post_migrate``, so that no other step is needed."""
    get_queue().schedule(using=using)


def _batches(job: Job) -> Batches:
    is_over = after(WAIT_SECONDS)
    while _work_on(job, is_over):
        yield 0


def _work_on(job: Job, is_over: Callable[[], bool]) -> bool:
    """Do one batch, or wait for deliveries unless ``is_over``; return whether more batches follow.

    An error ends this job alone, and is recorded on it.
    """
    try:
        is_move = job.kind == JobKind.MOVE
        if job.kind != JobKind.SNAPSHOT and not (is_move and job.webhook_id):
            work_on = moves.work_on if is_move else replay.work_on
            return work_on(job, now=clock.measured_now())
        return snapshot.work_on(job, now=clock.measured_now()) or (
            not is_over() and snapshot.wait(job, now=clock.measured_now())
        )
    except (OperationalError, InterfaceError) as error:
        log_refusal(logger, error, "The database refused a batch of job=%s; the next run repeats it.", job.pk)
    except Exception as error:
        logger.exception("job=%s failed", job.pk)
        # Only the class: the message may hold values of an event.
        job.finish(now=timezone.now(), error=f"Unexpected {type(error).__name__}; see the log.")
    return False
