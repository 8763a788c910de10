"""Statements that run often: the ORM builds a query once, and PostgreSQL plans it once for a connection.

To build a query of one row, the ORM takes several times as long as the database needs to answer it. PostgreSQL takes as
long again to plan it. Long-lived connections prepare such statements.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression

from tms_webhooks.db.django_private import (
    column_type,
    compile_select,
    converters_of,
    server_side_binding,
)

SHORT_LIVED = 20
"""How often a connection runs a statement before it prepares it: to prepare one costs more than to run it once."""
SMALL_INTEGER_TYPES = frozenset({"smallint", "integer"})

# By psycopg's connection: whether it is direct, without a pooler that may switch it to another server process.
_direct: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


@contextmanager
def prepared(connection: BaseDatabaseWrapper, *, after: int = 0) -> Iterator[Any]:
    """Open a cursor whose statements are prepared, or a plain cursor where that is not possible or not worth it.

    Statements are not prepared

    - on databases other than PostgreSQL, and with psycopg 2;
    - behind a pooler such as PgBouncer;
    - where the host's ``OPTIONS`` set ``prepare_threshold`` to None;
    - while queries are logged, because Django finds no text of prepared ones;
    - the first ``after`` times that the connection runs it: a short-lived connection gains nothing.
    """
    if not _can_prepare(connection):
        with connection.cursor() as cursor:
            yield cursor
        return
    with server_side_binding(connection, after=after):
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


@lru_cache(maxsize=1024)
def _for_sqlite(sql: str) -> str:
    return re.sub(r"%\((\w+)\)s", r":\1", sql).replace("%%", "%")


def _can_prepare(connection: BaseDatabaseWrapper) -> bool:
    if connection.vendor != "postgresql" or connection.settings_dict["OPTIONS"].get("prepare_threshold", 0) is None:
        return False
    if connection.queries_logged:
        return False
    connection.ensure_connection()
    raw: Any = connection.connection
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


# Compiled queries


Converters: TypeAlias = dict[int, tuple[Any, list[Callable[[Any, Any, Any], Any]]]]
"""The columns whose values the driver returns in another form, by position, each with the functions that convert them."""


def converters_by_index(columns: Sequence[Any], connection: BaseDatabaseWrapper) -> Converters:
    """Return the converters of these columns for a connection."""
    converters = {index: (column, converters_of(column, connection)) for index, column in enumerate(columns)}
    return {index: one for index, one in converters.items() if one[1]}


class Parameter(Expression):
    """A placeholder in a query for the value at ``position`` of those that `CompiledQuery.run` is given."""

    def __init__(self, field: models.Field[Any, Any], position: int = 0) -> None:
        super().__init__(output_field=field)
        self.position = position

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Return itself as the parameter; `CompiledQuery.run` replaces it."""
        return "%s", [self]


class CompiledQuery:
    """The query of a ``values_list()`` queryset, with a `Parameter` for each value that is known later.

    Threads may share it. Each has its own connection, and converters of that connection.
    """

    def __init__(self, rows: models.QuerySet[Any, Any], *, lock: str = "") -> None:
        """Compile a query; ``lock`` is its ``FOR UPDATE`` clause."""
        self._using = rows.db
        connection = connections[rows.db]
        sql, parameters, self._columns = compile_select(rows)
        sql = f"{sql} {lock}" if lock else sql
        self._parameters = {f"p{number}": parameter for number, parameter in enumerate(parameters)}
        # Named parameters, because for positional ones Django scans the statement on SQLite at each run.
        self._sql = sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in self._parameters)
        if connection.vendor == "postgresql":
            self._sql = _with_fixed_types(self._sql, self._columns, connection)
        self._local = threading.local()

    def run(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows for these values."""
        return [self.as_python(row) for row in self.run_raw(*values)]

    def run_raw(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows as the database's driver returns them, for `as_python` or `value_at` in the same thread."""
        connection = connections[self._using]
        if getattr(self._local, "connection", None) is not connection:
            self._local.connection = connection
            self._local.converters = converters_by_index(self._columns, connection)
        parameters = {
            name: one.output_field.get_db_prep_value(values[one.position], connection)
            if isinstance(one, Parameter)
            else one
            for name, one in self._parameters.items()
        }
        return run_often(connection, self._sql, parameters)

    def as_python(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return a row of `run_raw` with Python's values."""
        values = list(row)
        for index, (column, converters) in self._local.converters.items():
            for convert in converters:
                values[index] = convert(values[index], column, self._local.connection)
        return tuple(values)

    def value_at(self, index: int, value: Any) -> Any:
        """Return the driver's ``value`` of a column, given by its position, as Python's value."""
        column, converters = self._local.converters.get(index, (None, ()))
        for convert in converters:
            value = convert(value, column, self._local.connection)
        return value


def _with_fixed_types(sql: str, columns: list[Any], connection: Any) -> str:
    """Return the query with casts, so that its columns keep their types when a migration changes a host's column.

    PostgreSQL refuses a prepared statement once if its result types have changed, and that would fail a user's save.
    """
    names = [f"c{number}" for number in range(len(columns))]
    casts = []
    for name, column in zip(names, columns, strict=True):
        # Computed columns have none; their types do not change.
        kind = column_type(column, connection)
        lasting = "bigint" if kind in SMALL_INTEGER_TYPES else re.sub(r"\([^)]*\)", "", kind or "")
        casts.append(f"{name}::{lasting}" if lasting else name)
    return f"SELECT {', '.join(casts)} FROM ({sql}) AS found ({', '.join(names)})"  # noqa: S608 (names of ours)
