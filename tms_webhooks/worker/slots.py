"""A chain of drains in a slot: each runs for ``DRAIN_BUDGET_SECONDS`` and hands over to its successor.

A task queue's worker must not be busy forever: it could neither stop nor be recycled. So a drain has a budget, and its
successor is enqueued ahead of time, to begin just before the end. The slot keeps a second chain from starting.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from time import sleep

from django.db import connections

from tms_webhooks.conf import app_settings
from tms_webhooks.db.clock import on_this_machine
from tms_webhooks.models import DrainSlot
from tms_webhooks.models.drain import GRACE
from tms_webhooks.queues import enqueue, get_queue
from tms_webhooks.worker.drain import Drain, Tally

# Seconds before the end of the budget at which the successor is to begin.
HEAD_START = 0.5
# Seconds that a successor waits for the slot.
PATIENCE = HEAD_START + GRACE.total_seconds() + 1.0
# Seconds between two attempts to take the slot.
SLOT_POLL = 0.02

logger = logging.getLogger(__name__)


def run_in_slot(
    make_drain: Callable[[], Drain],
    *,
    slot: int,
    successor: bool,
    task: str,
    clock: Callable[[], datetime],
    run_finish: Callable[[Callable[[], None]], None] = lambda finish: finish(),
) -> Tally | None:
    """Run one drain in ``slot``; return its counts, or None where another drain holds the slot or it no longer exists.

    ``task`` is the dotted path to enqueue for the successor, called with the slot's number and True. A successor waits
    a moment for its predecessor to release the slot; any other drain returns immediately. ``run_finish`` is `Drain.run`'s.
    """
    owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    budget = app_settings.DRAIN_BUDGET_SECONDS
    if slot > app_settings.DRAINS:  # DRAINS was lowered since this drain was enqueued: its chain ends.
        return None
    if not _take(slot, owner, patience=PATIENCE if successor else 0.0, clock=clock):
        return None
    begins_at = clock() + timedelta(seconds=budget - HEAD_START)
    is_enqueued = _enqueue_successor(task, slot, at=begins_at)
    drain = make_drain()
    try:
        return drain.run(
            seconds=budget, after_last_start=lambda: _release(slot, owner, clock=clock), run_finish=run_finish
        )
    finally:
        _release(slot, owner, clock=clock)
        if not is_enqueued:
            _enqueue_successor(task, slot)


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


def _enqueue_successor(task: str, slot: int, *, at: datetime | None = None) -> bool:
    """Enqueue the next drain, at a moment or now; return False if the queue does not support that, or its broker is down."""
    try:
        if at is not None:
            # The queue compares with this machine's clock.
            return get_queue().enqueue_at(on_this_machine(at), task, slot, True)
        enqueue(task, slot, True)
    except Exception:
        logger.exception("The next drain could not be enqueued; the sweep starts one.")
        return False
    return True


def _take(slot: int, owner: str, *, patience: float, clock: Callable[[], datetime]) -> bool:
    waited = 0.0
    hold = timedelta(seconds=app_settings.DRAIN_BUDGET_SECONDS) + GRACE
    while not DrainSlot.objects.take(slot, owner=owner, now=clock(), until=clock() + hold):
        if waited >= patience:
            return False
        sleep(SLOT_POLL)
        waited += SLOT_POLL
    return True


def _release(slot: int, owner: str, *, clock: Callable[[], datetime]) -> None:
    DrainSlot.objects.release(slot, owner=owner, now=clock())
