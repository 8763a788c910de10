"""Which signals a process ignores from its start on: a script ignores SIGINT for its background, and nohup SIGHUP.

A run of tests may have been started so itself, and each process inherits it.
"""

import signal
from contextlib import contextmanager

INHERITED = (signal.SIGINT, signal.SIGHUP)


def ignored():
    """Return those of these signals that a process ignores which is started now."""
    return [number for number in INHERITED if signal.getsignal(number) is signal.SIG_IGN]


@contextmanager
def children_ignore(*numbers):
    """Inside the block, processes are started that ignore these signals and no others, as a shell would start them."""
    before = {number: signal.getsignal(number) for number in INHERITED}
    set_ignored(numbers, otherwise=lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def set_ignored(numbers, *, otherwise):
    """Ignore these signals; the others are handled so."""
    for number in INHERITED:
        signal.signal(number, signal.SIG_IGN if number in numbers else otherwise)
