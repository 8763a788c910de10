"""Instances of models from statements written by hand.

`QuerySet.raw` finds out each time anew what becomes of which column, which takes as long as the query.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from tms_webhooks.db.compiled import converters_of
from tms_webhooks.db.sql import database

M = TypeVar("M", bound=Model)
Names = tuple[str, ...]
Conversions = list[tuple[int, Any, list[Any]]]

# By the connection, which takes part in them.
_known: WeakKeyDictionary[BaseDatabaseWrapper, dict[tuple[type[Model], Names], Conversions]] = WeakKeyDictionary()


def columns_of(model: type[Model], table: str, names: Names = ()) -> str:
    """Return what a statement selects for `instances`: the columns of these fields, or of all, of a model's table."""
    return _columns(model, table, names, database().alias)


def instances(model: type[M], rows: Iterable[Sequence[Any]], *, names: Names = ()) -> Iterator[tuple[M, Sequence[Any]]]:
    """Yield an instance for each row, which begins with the columns that `columns_of` names for the same fields.

    Beside it comes what the row has beyond these, as the driver gives it.
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
    known = _known.setdefault(connection, {})
    if (model, names) not in known:
        columns = [field.get_col(model._meta.db_table) for field in _fields(model, names)]
        found = [(index, column, converters_of(column, connection)) for index, column in enumerate(columns)]
        known[model, names] = [one for one in found if one[2]]
    return known[model, names]
