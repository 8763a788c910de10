"""The clock of the simulation: how many seconds it is ahead, in a file that all processes map."""

import mmap
import os
import time
from datetime import UTC, datetime

real = time.time


class Clock:
    """Reads and moves it. The number is written in one piece."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self._ahead = memoryview(mmap.mmap(file.fileno(), 8)).cast("d")

    def time(self):
        """Return the simulated seconds since 1970."""
        return real() + self._ahead[0]

    def now(self, tz=UTC):
        return datetime.fromtimestamp(self.time(), tz)

    def move_to(self, seconds):
        self._ahead[0] = seconds - real()


def new(path, seconds):
    """Make the file, and return a clock that is at ``seconds``."""
    path.write_bytes(bytes(8))
    clock = Clock(path)
    clock.move_to(seconds)
    return clock


def install():
    """Have this process go by the clock of ``TMS_YEAR_CLOCK``. Models that are imported before keep the real time."""
    from django.utils import timezone

    clock = Clock(os.environ["TMS_YEAR_CLOCK"])
    timezone.now, time.time = clock.now, clock.time
