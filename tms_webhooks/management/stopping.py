"""Let a command stop cleanly on SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP.
)


@contextmanager
def stop_on_signal() -> Iterator[threading.Event]:
    """Set the event at the first of these signals inside the ``with`` block; the same one again kills the process.

    A signal that the process ignores, such as SIGHUP under ``nohup``, remains ignored.
    """
    stop = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
