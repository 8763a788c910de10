"""A plugin that ends the processes which tests have left behind: where a test fails, or a whole run is ended.

On Linux the process that runs tests becomes the parent of each descendant whose own parent has ended. So all are found
below it, whatever session or group they are in. Elsewhere nothing is done.
"""

import ctypes
import os
import signal
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

from tests.patience import until

PR_SET_CHILD_SUBREAPER = 36
IS_LINUX = sys.platform.startswith("linux")

kept = set()
"""Processes that live as long as the run."""


def pytest_configure(config):
    """Become the parent of orphans, and let SIGTERM end the run as Ctrl-C does."""
    if IS_LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if not hasattr(config, "workerinput"):
        signal.signal(signal.SIGTERM, _interrupt)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item, nextitem):
    """After the last test of a file, end what its fixtures have not ended."""
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            end_what_is_left()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    """End everything, also that of workers of the run which were killed."""
    try:
        return (yield)
    finally:
        kept.clear()
        end_what_is_left()


def end_what_is_left():
    """Kill every descendant that is not kept, and wait until they have ended."""

    def none_runs():
        running = {pid for pid in _below(os.getpid()) - kept if not has_ended(pid)}
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not running

    until(none_runs, every=0.01)


def _interrupt(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _below(pid):
    """Return the ids of all processes below this one."""
    children = defaultdict(set)
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            children[int(_fields(status)[1])].add(int(status.parent.name))
    found = set()
    level = {pid}
    while level := set().union(*(children[one] for one in level)):
        found |= level
    return found


def has_ended(pid):
    """Return whether a process has ended, also if its parent has not waited for it."""
    try:
        return _fields(Path(f"/proc/{pid}/stat"))[0] == "Z"
    except OSError:
        return True


def _fields(status):
    # The name, in parentheses, may have spaces.
    return status.read_text().rpartition(")")[2].split()
