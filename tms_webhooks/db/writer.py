"""Short write transactions, above all for databases with one writer, such as SQLite: there all other writers wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from time import monotonic
from weakref import WeakKeyDictionary

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tms_webhooks.db.sql import database, read

# For PostgreSQL: the commit of the current transaction does not wait for the disk.
ASYNCHRONOUS_COMMIT = "SELECT set_config('synchronous_commit', 'off', true)"

LATELY = 1.0
"""For this many seconds after a write of another connection, further ones are expected."""

# Deadlock, serialization failure and lock timeout of PostgreSQL; the same, and a row that has changed, of MariaDB.
_CONFLICTS = {"40P01", "40001", "55P03", 1213, 1205, 1020}

# By connection: the database version that it saw last, and until when writes of others are expected.
_versions: WeakKeyDictionary[BaseDatabaseWrapper, tuple[int, float]] = WeakKeyDictionary()


@contextmanager
def brief_write(*, durable: bool = True) -> Iterator[None]:
    """Run the block in a transaction. Compute before the transaction; keep few statements inside it.

    If it need not be ``durable``, its commit may be lost when the database's machine fails within the next second. That
    is for work that is repeated then.
    """
    connection = database()
    with transaction.atomic(using=connection.alias):
        if not durable and connection.vendor == "postgresql":
            read(ASYNCHRONOUS_COMMIT)
        yield


def is_conflict(error: Exception) -> bool:
    """Return whether another transaction was in the way, as happens now and then: the same statements succeed later."""
    code = getattr(error.__cause__, "sqlstate", None) or next(iter(error.args), None)
    return code in _CONFLICTS


def log_refusal(logger: Logger, error: Exception, text: str, *args: object) -> None:
    """Log an error that a repetition can help: with its traceback, or quietly if it is a conflict."""
    if is_conflict(error):
        logger.debug("%s Another transaction was in the way.", text % args)
    else:
        logger.error(text, *args, exc_info=error)


def has_one_writer() -> bool:
    """Return whether the database has one writer, so that all others wait for it."""
    return not database().features.has_select_for_update


def others_write() -> bool:
    """Return whether other connections have written recently, and so may be waiting for the one writer.

    SQLite changes the data version of a connection whenever another connection commits.
    """
    if not has_one_writer():
        return False
    connection = database()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        # On the driver's connection, so that the host's query counts and logs do not include it.
        version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
    before, until = _versions.get(connection, (version, 0.0))
    if version != before:
        until = monotonic() + LATELY
    _versions[connection] = version, until
    return monotonic() < until
