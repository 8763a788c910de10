"""What a command does while it runs long: it stops on a signal, and draws a progress bar."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP.
)
WIDTH = 30
"""Characters of the bar."""


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


@contextmanager
def progress_bar(total: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """Return a function that draws a bar for a number of rows, if standard error is a terminal: logs stay readable.

    ``total`` is counted for a bar alone.
    """
    stream = sys.stderr
    whole = total() if stream.isatty() else 0

    def show(done: int) -> None:
        if whole:
            full = min(WIDTH, WIDTH * done // whole)
            stream.write(f"\r[{'#' * full}{'.' * (WIDTH - full)}] {min(done, whole)} of {whole}")
            stream.flush()

    show(0)
    yield show
    if whole:
        stream.write("\n")
