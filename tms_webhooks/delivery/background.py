"""Run work that may hang, such as a conversation with a mail server, in a thread that is waited for only a moment."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread
from typing import TypeAlias

from django.db import connections

# Seconds that the caller waits.
PATIENCE = 5.0

Work: TypeAlias = Callable[[], None]
Run: TypeAlias = Callable[[Work], None]

_is_busy = Lock()


def in_background(work: Work) -> None:
    """Run ``work`` in a thread; return when it has ended, or after PATIENCE."""
    thread = Thread(target=_run, args=(work,), name="webhook-background", daemon=True)
    thread.start()
    thread.join(PATIENCE)


def one_at_a_time(work: Work) -> None:
    """Run ``work`` like `in_background`, unless the work of an earlier call still runs in this process.

    A server that hangs would collect threads otherwise. The next call does what this one left.
    """

    def run_and_release() -> None:
        try:
            work()
        finally:
            _is_busy.release()

    if _is_busy.acquire(blocking=False):
        in_background(run_and_release)


def _run(work: Work) -> None:
    try:
        work()
    finally:
        # Only this thread uses its connections.
        connections.close_all()
