"""Queries that are asked with every save: built by the ORM once, and run as the SQL that came out from then on.

To build one takes the ORM several times as long as the database needs to answer it. PostgreSQL takes as long again to
plan it, so there it is also `prepared`, by a connection that lives long enough.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connections, models
from django.db.models.expressions import Col, ColPairs, Expression

from tms_webhooks.db.prepared import prepared

SHORT_LIVED = 20
"""Queries of a connection before they are prepared: to prepare one costs more than to run it once."""
WHOLE_NUMBERS = frozenset({"smallint", "integer"})


class Parameter(Expression):
    """The place in a query of a value that is given when it is run: the first, or another of those that are given."""

    def __init__(self, field: models.Field[Any, Any], position: int = 0) -> None:
        super().__init__(output_field=field)
        self.position = position

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Stand among the parameters of the SQL until `CompiledQuery.run` replaces it."""
        return "%s", [self]

    def take(self, values: Sequence[Any], connection: Any) -> Any:
        """Return its value as the database's driver takes it."""
        return self.output_field.get_db_prep_value(values[self.position], connection)


class CompiledQuery:
    """What a ``values_list()`` asks, with a `Parameter` for each value that is known later.

    Threads may share it. Each has a connection of its own, and its own converters with it.
    """

    def __init__(self, rows: models.QuerySet[Any, Any]) -> None:
        self._using = rows.db
        compiler: Any = rows.query.get_compiler(using=rows.db)
        sql, parameters = compiler.as_sql()
        self._parameters = {f"p{number}": parameter for number, parameter in enumerate(parameters)}
        # By name, because for SQLite Django looks for places without names letter by letter, each time.
        self._sql = sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in self._parameters)
        self._selected = [expression for expression, _sql, _alias in compiler.select]
        if compiler.connection.vendor == "postgresql":
            self._sql = _with_lasting_types(self._sql, list(_columns(self._selected)), compiler.connection)
        self._pairs = list(_pairs(self._selected))
        self._known = threading.local()

    def run(self, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows that there are for these values."""
        connection = connections[self._using]
        parameters = {
            name: one.take(values, connection) if isinstance(one, Parameter) else one
            for name, one in self._parameters.items()
        }
        with prepared(connection, after=SHORT_LIVED) as cursor:
            cursor.execute(self._sql, parameters)
            rows = cursor.fetchall()
        return [self._as_python(row, connection) for row in rows]

    def _as_python(self, row: Sequence[Any], connection: Any) -> tuple[Any, ...]:
        values = list(row)
        for index, column, converters in self._converters(connection):
            for convert in converters:
                values[index] = convert(values[index], column, connection)
        for pair in self._pairs:
            values[pair] = [tuple(values[pair])]
        return tuple(values)

    def _converters(self, connection: Any) -> list[tuple[int, Expression, list[Any]]]:
        known = self._known
        if getattr(known, "connection", None) is not connection:
            known.connection = connection
            of_columns = [
                (index, column, converters_of(column, connection))
                for index, column in enumerate(_columns(self._selected))
            ]
            known.converters = [one for one in of_columns if one[2]]
        found: list[tuple[int, Expression, list[Any]]] = known.converters
        return found


def _with_lasting_types(sql: str, columns: list[Expression], connection: Any) -> str:
    """Return the query so that its columns keep their types when a migration changes those of the host's.

    PostgreSQL refuses a plan from before, once, where the result would look different: that would be somebody's save.
    """
    names = [f"c{number}" for number in range(len(columns))]
    casts = [name + _cast(column, connection) for name, column in zip(names, columns, strict=True)]
    return f"SELECT {', '.join(casts)} FROM ({sql}) AS found ({', '.join(names)})"  # noqa: S608 (names of ours)


def _cast(column: Expression, connection: Any) -> str:
    """Return what makes a column of a table keep its type; what is worked out from columns is of our own making."""
    kind = column.output_field.db_type(connection) if isinstance(column, Col) else None
    if kind is None:
        return ""
    return "::bigint" if kind in WHOLE_NUMBERS else "::" + re.sub(r"\([^)]*\)", "", kind)


def _columns(selected: list[Expression]) -> Iterator[Expression]:
    """Yield what is selected, column by column: a composite key has several."""
    for expression in selected:
        if isinstance(expression, ColPairs):
            yield from expression.get_source_expressions()
        else:
            yield expression


def _pairs(selected: list[Expression]) -> Iterator[slice]:
    """Yield where the parts of each composite key are, when those before it have become one value each."""
    for index, expression in enumerate(selected):
        if isinstance(expression, ColPairs):
            yield slice(index, index + len(expression))


def converters_of(column: Expression, connection: Any) -> list[Any]:
    """Return what makes a value of this column, as the driver gives it, one for Python: to be called one after the other."""
    return [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
