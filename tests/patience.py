"""How long tests wait. A bound in a test is there for what hangs: a busy machine is slow, and no test fails for that."""

import os
import time

PATIENCE = float(os.environ.get("TMS_TEST_PATIENCE", "120"))
"""Seconds after which something hangs. Nothing takes as long; a machine that is busier than any can have more."""

PACES = (1.0, 5.0, 25.0)


def until(happened, *, report=str, every=0.02):
    """Wait until something has happened; fail the test with the ``report`` where it hangs."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, report()
        time.sleep(every)


def at_some_pace(attempt):
    """Run what measures time by real clocks at a pace, and at slower ones where it fails.

    It multiplies each of its times by the pace. Where the code is wrong, it is so at every pace; where the machine is
    busy, what is left of the time that it is given grows.
    """
    for pace in PACES[:-1]:
        try:
            return attempt(pace)
        except AssertionError:
            continue
    return attempt(PACES[-1])
