"""Holding the database's writer for as short a time as can be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from django.db import transaction

from tms_webhooks.models.statements import database, read

# Until the transaction ends, its commit does not wait for the disk. For PostgreSQL.
NOT_AT_ONCE = "SELECT set_config('synchronous_commit', 'off', true)"

Quiet = Callable[[], AbstractContextManager[None]]


class _Neighbours(threading.local):
    """What keeps the other threads of this process quiet while this one holds the writer."""

    quiet: Quiet = staticmethod(nullcontext)


_neighbours = _Neighbours()


@contextmanager
def brief_write(*, durable: bool = True) -> Iterator[None]:
    """Run the block in a transaction; read and reckon before it, and leave in it as few statements as can be.

    One that need not be ``durable`` may be undone if the database's machine dies in the next second, as if it had never
    been: for what is simply done again then.

    Where a database has one writer, as SQLite has, everybody else who saves something waits for the end: so it is
    `undisturbed`.
    """
    connection = database()
    with undisturbed(), transaction.atomic(using=connection.alias):
        if not durable and connection.vendor == "postgresql":
            read(NOT_AT_ONCE)
        yield


def has_one_writer() -> bool:
    """Return whether the database has one writer, for whom all others wait."""
    return not database().features.has_select_for_update


def undisturbed() -> AbstractContextManager[None]:
    """Keep the neighbours quiet inside the block, where the database works in this process.

    There each statement and each row lets go of Python's lock, and with busy threads about it takes ten times as long
    to get that back as to run.
    """
    return _neighbours.quiet() if has_one_writer() else nullcontext()


@contextmanager
def among_neighbours(quiet: Quiet) -> Iterator[None]:
    """Have this thread keep its neighbours quiet wherever it is to be `undisturbed` in the block."""
    before = _neighbours.quiet
    _neighbours.quiet = quiet
    try:
        yield
    finally:
        _neighbours.quiet = before
