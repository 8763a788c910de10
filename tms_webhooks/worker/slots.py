"""A chain of drains: each runs for a short while in a slot and hands over to its successor.

A task queue's worker must not be taken for ever: it could neither stop nor be recycled. So a drain has a budget, and
its successor is enqueued ahead of time, to begin just before the end. The slot keeps chains from multiplying.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from time import sleep

from django.db import connections

from tms_webhooks.conf import app_settings
from tms_webhooks.models import DrainSlot
from tms_webhooks.models.drain import GRACE
from tms_webhooks.queues import get_queue
from tms_webhooks.worker.drain import Drain, Tally

HEAD_START = 0.5
PATIENCE = HEAD_START + GRACE.total_seconds() + 1.0
LOOK_AGAIN = 0.02


def run_link(
    make_drain: Callable[[], Drain],
    *,
    slot: int,
    successor: bool,
    function: str,
    clock: Callable[[], datetime],
    aside: Callable[[Callable[[], None]], None] = lambda finish: finish(),
) -> Tally | None:
    """Run one drain of the chain in ``slot``; return what it did, or None where the slot is another's or is no more.

    ``function`` is the dotted path to enqueue as the next link, called with the slot's number and True. A successor
    waits a moment for its predecessor to let go; anyone else leaves at once. ``aside`` is `Drain.run`'s.
    """
    owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    budget = app_settings.DRAIN_BUDGET
    if slot > app_settings.DRAINS:  # There are fewer now than when this link was enqueued: its chain ends.
        return None
    if not _take(slot, owner, patience=PATIENCE if successor else 0.0, clock=clock):
        return None
    handed_over = get_queue().enqueue_at(clock() + timedelta(seconds=budget - HEAD_START), function, slot, True)
    drain = make_drain()
    try:
        return drain.run(seconds=budget, closing=lambda: _release(slot, owner, clock=clock), aside=aside)
    finally:
        _release(slot, owner, clock=clock)
        if not handed_over:
            get_queue().enqueue(function, slot, True)


def wait_aside(finish: Callable[[], None]) -> None:
    """Have a thread wait for the last answers, so that a worker whose receivers hang is free for the next link.

    Two workers would else be enough to wait for two slow answers, and nobody to send to all the others. The process
    does not end before the thread does.
    """

    def wait() -> None:
        try:
            finish()
        finally:
            connections.close_all()

    threading.Thread(target=wait, name="webhook-last-answers").start()


def _take(slot: int, owner: str, *, patience: float, clock: Callable[[], datetime]) -> bool:
    waited = 0.0
    hold = timedelta(seconds=app_settings.DRAIN_BUDGET) + GRACE
    while not DrainSlot.objects.take(slot, owner=owner, now=clock(), until=clock() + hold):
        if waited >= patience:
            return False
        sleep(LOOK_AGAIN)
        waited += LOOK_AGAIN
    return True


def _release(slot: int, owner: str, *, clock: Callable[[], datetime]) -> None:
    DrainSlot.objects.release(slot, owner=owner, now=clock())
