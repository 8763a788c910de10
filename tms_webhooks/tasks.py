"""What the queue's workers run. Each task reads the clock and makes one call."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import Any

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from tms_webhooks.capture import learning_paths
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import health, replay
from tms_webhooks.delivery.sweep import give_up_old, settle
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.expiry import scan
from tms_webhooks.models import DrainSlot, Job
from tms_webhooks.outbox import feed
from tms_webhooks.outbox import prune as pruning
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.wake import DRAIN
from tms_webhooks.queues import get_queue
from tms_webhooks.queues.periodic import periodic_jobs
from tms_webhooks.reconcile import passes
from tms_webhooks.worker.drain import Drain
from tms_webhooks.worker.slots import finish_in_thread, run_in_slot

SCAN = "tms_webhooks.tasks.scan_expiring"
SCAN_SECONDS = 20.0
RECONCILE = "tms_webhooks.tasks.reconcile"
RECONCILE_SECONDS = 20.0
JOBS_SECONDS = 20.0
PUBLISH_SECONDS = 10.0

logger = logging.getLogger(__name__)


def drain(slot: int = 1, successor: bool = False, **_future: Any) -> int:  # noqa: FBT001, FBT002 (a queue's arguments)
    """Deliver what is due for a while; return how many requests were sent."""
    tally = run_in_slot(
        lambda: Drain(fan_out=fan_out),
        slot=slot,
        successor=successor,
        task=DRAIN,
        clock=timezone.now,
        run_finish=finish_in_thread,
    )
    return tally.sent if tally else 0


def sweep(**_future: Any) -> None:
    """Start every chain of drains that does not run, which finds what no bell was rung for; finish what none will.

    And publish what is new in the catch-up feed, so that its readers don't have to.
    """
    for slot in range(1, app_settings.DRAINS + 1):
        get_queue().enqueue(DRAIN, slot)
    now = timezone.now()
    settle(now)
    learning_paths.record_overdue_edits(now)
    health.warn_all(now)
    feed.keep_up(now, seconds=PUBLISH_SECONDS)


def start_chains() -> None:
    """Start every chain of drains that does not run, as a worker does when it starts.

    A slot that a killed drain still holds is tried when it falls free: its successor may have been killed with it,
    and the sweep is up to a minute away.
    """
    now = timezone.now()
    for slot in range(1, app_settings.DRAINS + 1):
        held_until = DrainSlot.objects.held_until(now, number=slot)
        if held_until is None:
            get_queue().enqueue(DRAIN, slot)
        else:
            get_queue().enqueue_at(held_until, DRAIN, slot)


def work_on_jobs(**_future: Any) -> None:
    """Do what is left of recoveries, replays and cancellations.

    A queue's worker must not be taken for long: what is left after a while is another task's.
    """
    end = monotonic() + JOBS_SECONDS
    jobs = deque(Job.objects.unfinished())
    while jobs and monotonic() < end:
        # In turns: a long one does not hold up the others.
        job = jobs.popleft()
        if _work_on(job):
            jobs.append(job)
    if jobs:
        get_queue().enqueue(replay.WORK)


def _work_on(job: Job) -> bool:
    """Do one batch; return whether to go on. What goes wrong with one job is written on it, and the others go on."""
    try:
        return replay.work_on(job, now=timezone.now())
    except (OperationalError, InterfaceError):
        logger.exception("The database refused a batch of job=%s; the next run goes on with it.", job.pk)
    except Exception as error:
        logger.exception("job=%s failed", job.pk)
        # The class alone: what the message holds nobody knows.
        job.finish(now=timezone.now(), error=f"It broke with an unexpected {type(error).__name__}; the log tells more.")
    return False


def scan_expiring(**_future: Any) -> int:
    """Tell of what expires soon or has expired; return the number of events.

    A queue's worker must not be taken for long: what is left after a while is another task's.
    """
    end = monotonic() + SCAN_SECONDS
    scanned = scan.scan_all(now=timezone.now(), out_of_time=lambda: monotonic() >= end)
    if scanned.out_of_time and not scanned.left_to_another:
        get_queue().enqueue(SCAN)
    return scanned.events


def prune(**_future: Any) -> None:
    """Give up what is too old, and forget what was kept long enough."""
    now = timezone.now()
    give_up_old(now)
    pruning.prune(now)


def reconcile(begin: bool = True, **_future: Any) -> int:  # noqa: FBT001, FBT002 (a queue's arguments)
    """Tell of what was changed unseen; return the number of events.

    A queue's worker must not be taken for long: what is left after a while is another task's, which begins no new pass.
    """
    end = monotonic() + RECONCILE_SECONDS
    sources = passes.reconciled_sources()
    if begin:
        passes.forget_others(sources)
    found = passes.reconcile_all(sources, now=timezone.now(), begin=begin, stop=lambda: monotonic() >= end).values()
    if any(not one.finished and not one.failed for one in found):
        get_queue().enqueue(RECONCILE, False)
    return sum(one.events for one in found)


def watch_workers() -> None:
    """Ask the queue to let its workers start the chains. A queue that can't be made is told of by a check."""
    with suppress(ConfigurationError, TypeError):
        get_queue().when_workers_start(start_chains)


def install_schedules(*, using: str, **_kwargs: Any) -> None:
    """Ask the queue to run the tasks regularly. Connected to ``post_migrate``, so that no further step is needed."""
    get_queue().every(periodic_jobs(), using=using)
