"""Long work in batches, which alternate between several pieces of it, within a time budget.

A piece of work is an iterator. Each step does one batch in a short transaction and yields the number of rows that it
changed; the iterator ends when nothing is left. Between two steps no transaction is open, so the work can be left there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import NamedTuple, TypeAlias

Stop: TypeAlias = Callable[[], bool]
Batches: TypeAlias = Iterator[int]


class Done(NamedTuple):
    """The number of rows that each piece of work changed, and whether nothing is left of any."""

    rows: dict[str, int]
    is_finished: bool


def never() -> bool:
    """Return False: the work has no time limit."""
    return False


def after(seconds: float) -> Stop:
    """Return a function that returns whether this many seconds have passed since this call."""
    end = monotonic() + seconds
    return lambda: monotonic() >= end


def run_alternately(work: Mapping[str, Batches], *, stop: Stop = never) -> Done:
    """Do one batch of each piece of work after the other, again and again, so that none waits for the end of another.

    ``stop`` is called before each batch and returns whether to leave the rest.
    """
    rows = dict.fromkeys(work, 0)
    unfinished = deque(work.items())
    while unfinished and not stop():
        name, batches = unfinished.popleft()
        changed = next(batches, None)
        if changed is None:
            continue
        rows[name] += changed
        unfinished.append((name, batches))
    return Done(rows, not unfinished)
