"""Model instances from the rows of handwritten statements.

`QuerySet.raw` matches columns to fields at each run, which takes as long as the query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from tms_webhooks.db.django_private import column_of, converters_of
from tms_webhooks.db.sql import database

M = TypeVar("M", bound=Model)
Names = tuple[str, ...]
Conversions = list[tuple[int, Any, list[Any]]]

# By connection, because converters depend on it.
_cached_conversions: WeakKeyDictionary[BaseDatabaseWrapper, dict[tuple[type[Model], Names], Conversions]] = (
    WeakKeyDictionary()
)


def columns_of(model: type[Model], table: str, names: Names = ()) -> str:
    """Return the columns that a statement selects for `instances`: of the fields in ``names``, or of all fields."""
    return _columns(model, table, names, database().alias)


def instances(model: type[M], rows: Iterable[Sequence[Any]], *, names: Names = ()) -> Iterator[tuple[M, Sequence[Any]]]:
    """Yield an instance for each row, with the rest of the row as the driver returned it.

    A row begins with the columns that `columns_of` returns for the same ``names``.
    """
    connection, fields = database(), _fields(model, names)
    attributes, conversions = [field.attname for field in fields], _conversions(model, names, connection)
    for row in rows:
        values = list(row[: len(fields)])
        for index, column, converters in conversions:
            for convert in converters:
                values[index] = convert(values[index], column, connection)
        yield model.from_db(connection.alias, attributes, values), row[len(fields) :]


@cache
def _fields(model: type[Model], names: Names) -> tuple[Field[Any, Any], ...]:
    return tuple(field for field in model._meta.concrete_fields if not names or field.attname in names)


@cache
def _columns(model: type[Model], table: str, names: Names, alias: str) -> str:
    quote = connections[alias].ops.quote_name
    return ", ".join(f"{table}.{quote(str(field.column))}" for field in _fields(model, names))


def _conversions(model: type[Model], names: Names, connection: BaseDatabaseWrapper) -> Conversions:
    """Return the columns that need converting, by position, with their converters."""
    cached = _cached_conversions.setdefault(connection, {})
    if (model, names) not in cached:
        columns = [column_of(field, model) for field in _fields(model, names)]
        by_column = [(index, column, converters_of(column, connection)) for index, column in enumerate(columns)]
        cached[model, names] = [one for one in by_column if one[2]]
    return cached[model, names]
