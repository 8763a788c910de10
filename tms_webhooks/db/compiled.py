"""Queries that run with every save: the ORM builds each once, and later runs reuse its SQL.

Building such a query takes the ORM several times as long as the database needs to answer it. PostgreSQL takes as long
again to plan it, so long-lived connections also prepare it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from django.db import connections, models
from django.db.models.expressions import Expression

from tms_webhooks.db.django_private import column_type, compile_select, composite_keys, converters_of, selected_columns
from tms_webhooks.db.prepared import run_often

SMALL_INTEGER_TYPES = frozenset({"smallint", "integer"})


class Parameter(Expression):
    """A placeholder in a query for the value at ``position`` of those that `CompiledQuery.run` is given."""

    def __init__(self, field: models.Field[Any, Any], position: int = 0) -> None:
        super().__init__(output_field=field)
        self.position = position

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Return itself as the parameter; `CompiledQuery.run` replaces it."""
        return "%s", [self]

    def value(self, values: Sequence[Any], connection: Any) -> Any:
        """Return its value as the database's driver takes it."""
        return self.output_field.get_db_prep_value(values[self.position], connection)


class CompiledQuery:
    """The query of a ``values_list()`` queryset, with a `Parameter` for each value that is known later.

    Threads may share it. Each has its own connection, and converters of that connection.
    """

    def __init__(self, rows: models.QuerySet[Any, Any], *, lock: str = "") -> None:
        """Compile a query; ``lock`` is its ``FOR UPDATE`` clause."""
        self._using = rows.db
        connection = connections[rows.db]
        sql, parameters, selected = compile_select(rows)
        sql = f"{sql} {lock}" if lock else sql
        self._parameters = {f"p{number}": parameter for number, parameter in enumerate(parameters)}
        # Named parameters, because for positional ones Django scans the statement on SQLite at each run.
        self._sql = sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in self._parameters)
        self._columns = selected_columns(selected)
        if connection.vendor == "postgresql":
            self._sql = _with_fixed_types(self._sql, self._columns, connection)
        self._composite_keys = composite_keys(selected)
        self._local = threading.local()

    def run(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows for these values."""
        return [self.as_python(row) for row in self.run_raw(*values)]

    def run_raw(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows as the database's driver returns them, for `as_python` or `value_at` in the same thread."""
        connection = connections[self._using]
        if getattr(self._local, "connection", None) is not connection:
            self._local.connection = connection
            # Of the columns that need any, by position; some depend on the connection.
            by_index = ((index, converters_of(column, connection)) for index, column in enumerate(self._columns))
            self._local.converters = {index: converters for index, converters in by_index if converters}
        parameters = {
            name: one.value(values, connection) if isinstance(one, Parameter) else one
            for name, one in self._parameters.items()
        }
        return run_often(connection, self._sql, parameters)

    def as_python(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """Return a row of `run_raw` with Python's values."""
        values = list(row)
        for index in self._local.converters:
            values[index] = self.value_at(index, values[index])
        for key in self._composite_keys:
            values[key] = [tuple(values[key])]
        return tuple(values)

    def value_at(self, index: int, value: Any) -> Any:
        """Return the driver's ``value`` of a column, given by its position, as Python's value."""
        for convert in self._local.converters.get(index, ()):
            value = convert(value, self._columns[index], self._local.connection)
        return value


def _with_fixed_types(sql: str, columns: list[Any], connection: Any) -> str:
    """Return the query with casts, so that its columns keep their types when a migration changes a host's column.

    PostgreSQL refuses a prepared statement once if its result types have changed, and that would fail a user's save.
    """
    names = [f"c{number}" for number in range(len(columns))]
    casts = list(names)
    for number, column in enumerate(columns):
        kind = column_type(column, connection)
        # Computed columns have none; their types do not change.
        if kind is not None:
            casts[number] += "::bigint" if kind in SMALL_INTEGER_TYPES else "::" + re.sub(r"\([^)]*\)", "", kind)
    return f"SELECT {', '.join(casts)} FROM ({sql}) AS found ({', '.join(names)})"  # noqa: S608 (names of ours)
