"""Holding the database's writer for as short a time as can be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from weakref import WeakKeyDictionary

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tms_webhooks.db.sql import database, read

# Until the transaction ends, its commit does not wait for the disk. For PostgreSQL.
NOT_AT_ONCE = "SELECT set_config('synchronous_commit', 'off', true)"

LATELY = 1.0
"""For so many seconds after others have written they are expected to write again."""

Quiet = Callable[[], AbstractContextManager[None]]


class _Neighbours(threading.local):
    """What keeps the other threads of this process quiet while this one holds the writer."""

    quiet: Quiet = staticmethod(nullcontext)


_neighbours = _Neighbours()
# By connection: the database's version for it, and until when others are expected to write.
_versions: WeakKeyDictionary[BaseDatabaseWrapper, tuple[int, float]] = WeakKeyDictionary()


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


def others_write() -> bool:
    """Return whether others write, too, and wait for the one writer. They do where they have done so of late.

    SQLite has a new version for a connection whenever another one has committed something.
    """
    if not has_one_writer():
        return False
    connection = database()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        # Not a query of the host's: who counts or logs those does not see it.
        version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
    before, until = _versions.get(connection, (version, 0.0))
    if version != before:
        until = monotonic() + LATELY
    _versions[connection] = version, until
    return monotonic() < until


def undisturbed() -> AbstractContextManager[None]:
    """Keep the neighbours quiet inside the block, where the database works in this process.

    There each statement and each row lets go of Python's lock, and with busy threads about it takes ten times as long
    to get that back as to run.
    """
    return _neighbours.quiet() if has_one_writer() else nullcontext()


@contextmanager
def with_quiet_neighbours(quiet: Quiet) -> Iterator[None]:
    """Have this thread keep its neighbours quiet wherever it is to be `undisturbed` in the block."""
    before = _neighbours.quiet
    _neighbours.quiet = quiet
    try:
        yield
    finally:
        _neighbours.quiet = before
