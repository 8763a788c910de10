"""Cursors with prepared statements: PostgreSQL plans each once for a connection instead of at every run.

For short statements planning takes longer than running.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from tms_webhooks.db.django_private import server_side_binding

SHORT_LIVED = 20
"""Statements that a connection runs before it prepares them: to prepare one costs more than to run it once."""

# By psycopg's connection: whether it is direct, without a pooler that may switch it to another server process.
_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
# By psycopg's connection: how often `prepared` was asked for it with a minimum of uses.
_uses: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


@contextmanager
def prepared(connection: BaseDatabaseWrapper, *, after: int = 0) -> Iterator[Any]:
    """Open a cursor whose statements are prepared, or a plain cursor where that is not possible or not worth it.

    Statements are not prepared

    - on databases other than PostgreSQL, and with psycopg 2;
    - behind a pooler such as PgBouncer;
    - where the host's ``OPTIONS`` set ``prepare_threshold`` to None;
    - while queries are logged, because Django finds no text of prepared ones;
    - in the first ``after`` uses of a connection that pass ``after``: a short-lived connection gains nothing.
    """
    if not _can_prepare(connection, after):
        with connection.cursor() as cursor:
            yield cursor
        return
    with server_side_binding(connection):
        try:
            with connection.cursor() as cursor:
                yield cursor
        except DatabaseError:
            # The server may have dropped the prepared statement; a new connection starts without any.
            if not connection.in_atomic_block:
                connection.close()
            raise


def run_often(connection: BaseDatabaseWrapper, sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement of every save, which returns rows, and return them; prepared on a connection that stays open.

    On SQLite it runs on the driver's connection unless the statement is logged or wrapped: Django's cursor takes longer
    than the statement.
    """
    # Django's cursor would only pass the statement on.
    is_open = connection.vendor == "sqlite" and connection.connection is not None
    if is_open and not connection.queries_logged and not connection.execute_wrappers:
        connection.validate_no_broken_transaction()
        with connection.wrap_database_errors:
            found: list[tuple[Any, ...]] = connection.connection.execute(_for_sqlite(sql), params).fetchall()
        return found
    with prepared(connection, after=SHORT_LIVED) as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


class _Places(dict[str, str]):
    """Maps each name of a parameter to the place that SQLite has for it."""

    def __missing__(self, name: str) -> str:
        return f":{name}"


@lru_cache(maxsize=1024)
def _for_sqlite(sql: str) -> str:
    return sql % _Places()


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
    """Return whether the server process that answers is the one that opened the connection; a pooler's is not."""
    if not hasattr(connection.connection, "prepare_threshold"):  # psycopg 2
        return False
    # On the driver's cursor, so that the host's query counts and logs do not include it.
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return bool(pid == connection.connection.info.backend_pid)
