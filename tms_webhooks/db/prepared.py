"""Statements that PostgreSQL plans once for a connection, and not each time: for those that take longer to plan than to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

# By psycopg's connection: whether there is nobody in between who may hand it another server's process meanwhile.
_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
# And how often it could have been prepared for.
_uses: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


@contextmanager
def prepared(connection: BaseDatabaseWrapper, *, after: int = 0) -> Iterator[Any]:
    """Open a cursor whose statements are prepared, where this database and what lies before it allow that.

    Not before the connection was used ``after`` times with such a count: one that lives for a moment gains nothing.

    Behind a pooler such as PgBouncer they are not, nor where the host's ``OPTIONS`` set ``prepare_threshold`` to None,
    nor while queries are logged, because Django finds no text of theirs.
    """
    if not _can_prepare(connection, after):
        with connection.cursor() as cursor:
            yield cursor
        return
    from django.db.backends.postgresql.base import ServerBindingCursor

    raw: Any = connection.connection
    before = raw.cursor_factory, raw.prepare_threshold
    raw.cursor_factory, raw.prepare_threshold = ServerBindingCursor, 0
    try:
        with connection.cursor() as cursor:
            yield cursor
    except DatabaseError:
        # The server may have forgotten the statement: a new connection knows that it has none.
        if not connection.in_atomic_block:
            connection.close()
        raise
    finally:
        raw.cursor_factory, raw.prepare_threshold = before


def _can_prepare(connection: BaseDatabaseWrapper, after: int) -> bool:
    if connection.vendor != "postgresql" or connection.settings_dict["OPTIONS"].get("prepare_threshold", 0) is None:
        return False
    if connection.queries_logged:
        return False
    connection.ensure_connection()
    raw: Any = connection.connection
    uses = _uses.get(raw, 0) if after else 0
    if uses < after:
        _uses[raw] = uses + 1
        return False
    if raw not in _direct:
        _direct[raw] = _is_direct(connection)
    return _direct[raw]


def _is_direct(connection: Any) -> bool:
    """Return whether the server's process is the one that said hello: a pooler says hello in its own name."""
    if not hasattr(connection.connection, "prepare_threshold"):  # psycopg 2
        return False
    # Not a query of the host's: who counts or logs those does not see it.
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return bool(pid == connection.connection.info.backend_pid)
