"""Query expressions that collect several values into one value of a row.

`JSONArrayAgg` collects a column as a JSON array, on every database. `RelatedList` uses it to read the list behind a
many-to-many field or reverse foreign key in the query of the row's own columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zlib import crc32

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, Func, OuterRef, Subquery

from tms_webhooks.catalogue.values import in_utc
from tms_webhooks.sources.paths import Model, steps_of, stored_at


class JSONArrayAgg(Func):
    """Aggregate a column into a JSON array, in no particular order; null where no row matched.

    The array is returned as text, whatever type the column has: see `CompiledQuery`.
    """

    function = "JSON_ARRAYAGG"
    output_field = models.TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Use PostgreSQL's function, and cast its result to text."""
        template = "%(function)s(%(expressions)s)::text"
        return self.as_sql(compiler, connection, function="JSON_AGG", template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Use SQLite's function."""
        return self.as_sql(compiler, connection, function="JSON_GROUP_ARRAY", **context)


class JSONArray(Func):
    """Some columns of one row as a JSON array. Django's own asks SQLite whether it has JSON when it is first used."""

    function = "JSON_ARRAY"
    output_field = models.TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """Use PostgreSQL's function."""
        return self.as_sql(compiler, connection, function="JSON_BUILD_ARRAY", **context)


@dataclass(frozen=True, slots=True)
class ListRelation:
    """The rows behind a list of a model: those of a many-to-many field, or those whose foreign key leads to an object.

    - ``rows``: the model of the rows
    - ``owner``: the foreign key of a row to the object that has the list
    - ``target``: the foreign key of a row to the listed object; empty where the rows are the listed objects
    """

    rows: Model
    owner: str
    target: str = ""

    @property
    def listed(self) -> Any:
        """The model of the listed objects."""
        return self.rows._meta.get_field(self.target).related_model if self.target else self.rows

    @property
    def owner_attribute(self) -> str:
        """The attribute of a row that holds the key of the object that has the list."""
        field: Any = self.rows._meta.get_field(self.owner)
        return str(field.attname)


class RelatedList(Subquery):
    """A list of a row, sorted: an expression for a query of the row's model.

    - ``relation``: the rows behind the list
    - ``columns``: the lookup of one value in a listed object; or the lookups of several by their names, for a list of
      dictionaries
    - ``base``: the lookup of the key of the object that has the list; empty where that is the row itself
    """

    def __init__(self, relation: ListRelation, columns: Mapping[str, str] | str, *, base: str = "") -> None:
        self.relation, self.columns, self.base = relation, columns, base
        lookups = {"": columns} if isinstance(columns, str) else columns
        self._fields = {name: stored_at(relation.listed, lookup) for name, lookup in lookups.items()}
        rows: models.QuerySet[Any] = models.QuerySet(relation.rows)
        value: Any = (
            F(self._in_rows(columns)) if isinstance(columns, str) else JSONArray(*map(self._in_rows, columns.values()))
        )
        rows = rows.filter(**{relation.owner: OuterRef(base or "pk")}).order_by().values(values=JSONArrayAgg(value))
        super().__init__(rows, output_field=_ListField(self))

    def __repr__(self) -> str:
        return f"RelatedList({self.relation}, {self.columns}, {self.base})"

    @property
    def column(self) -> str:
        """The name of its column in a query. Equal lists share it."""
        return f"tms_webhooks_list_{crc32(repr(self).encode()):08x}"

    def to_python(self, values: list[Any]) -> list[Any]:
        """Return the values in a JSON array, or the dictionaries, as Python's."""
        fields = self._fields
        if isinstance(self.columns, str):
            return [_from_json(fields[""], value) for value in values]
        return [{name: _from_json(fields[name], one[name]) for name in fields if name in one} for one in values]

    def moved(self, base: str) -> RelatedList:
        """Return the same list for a query of another model, where ``base`` is the lookup of the object that has it."""
        return RelatedList(self.relation, self.columns, base=base)

    def _in_rows(self, lookup: str) -> str:
        return f"{self.relation.target}__{lookup}" if self.relation.target else lookup


class _ListField(models.TextField):  # type: ignore[type-arg]
    """A JSON array in the database, a list in Python."""

    def __init__(self, related: RelatedList) -> None:
        super().__init__()
        self.related = related

    def from_db_value(self, value: Any, *_context: Any) -> list[Any]:
        """Return the values sorted: no database promises an order of aggregated values."""
        values: list[Any] = json.loads(value) if value else []
        names = self.related.columns
        if not isinstance(names, str):
            # MariaDB returns arrays inside of arrays as text.
            rows = (json.loads(row) if isinstance(row, str) else row for row in values)
            values = [dict(zip(names, row, strict=True)) for row in rows]
        return sorted(self.related.to_python(values), key=_sort_key)


def _from_json(column: models.Field[Any, Any], value: Any) -> Any:
    """Return a column's value in JSON as Python's. Times without a zone are in UTC, as databases store them."""
    value = column.to_python(value)
    return in_utc(value) if isinstance(value, datetime) and settings.USE_TZ else value


def _sort_key(value: Any) -> list[tuple[bool, Any]]:
    values = value.values() if isinstance(value, dict) else [value]
    return [(one is None, 0 if one is None else one) for one in values]


def list_at(model: Model, path: str, *, one_to_one: bool = False) -> tuple[str, ListRelation, str] | None:
    """Return the list that a path leads through; None if it leads through none.

    With ``one_to_one``, the other side of a one-to-one field is a list, too.

    The first part of the result is the path of foreign keys to the object with the list, empty for an object of
    ``model``. The second is the list. The third is the path that continues from a listed object, which is empty for the
    object itself.
    """
    names = path.split(".")
    for index, step in enumerate(steps_of(model, path)):
        relation = list_relation(step.model, step.name, one_to_one=one_to_one)
        if relation is not None:
            return ".".join(names[:index]), relation, ".".join(names[index + 1 :])
    return None


def list_relation(model: Model, name: str, *, one_to_one: bool = False) -> ListRelation | None:
    """Return the rows behind the model's many-to-many field or reverse foreign key of this name, or None."""
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if isinstance(field, models.ManyToManyField):
        through: Any = field.remote_field.through
        return ListRelation(through, field.m2m_field_name(), field.m2m_reverse_field_name())
    if isinstance(field, models.ManyToOneRel) and (one_to_one or not field.one_to_one):
        return ListRelation(field.related_model, field.field.name)
    return None
