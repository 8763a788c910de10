"""How much processor this process asks for, which is more than it gets where others want it, too."""

from __future__ import annotations

from pathlib import Path
from time import process_time

# Of each thread: nanoseconds that it ran, that it stood in line for a processor, and how often. Linux only.
TASKS = Path("/proc/self/task")


def asked_for() -> float:
    """Return the seconds for which this process has run, and its threads have stood in line to run.

    Where the system does not tell who stands in line, it is the first alone.
    """
    return process_time() + _in_line()


def _in_line() -> float:
    nanoseconds = 0
    for task in TASKS.glob("*/schedstat"):
        try:
            nanoseconds += int(task.read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue  # It has just ended.
    return nanoseconds / 1e9
