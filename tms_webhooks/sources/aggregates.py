"""Query expressions that collect several values into one value of a row.

`JSONArrayAgg` collects a column as a JSON array, on every database. `RelatedValues` and `RelatedObjects` use it to read
the list behind a many-to-many field or reverse foreign key in the query of the row's own columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zlib import crc32

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, Func, OuterRef, Subquery

from tms_webhooks.catalogue.values import in_utc
from tms_webhooks.sources.paths import field_at, steps_of

# Django's own fields are not generic at run time.
if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class JSONArrayAgg(Func):
    """Aggregate a column into a JSON array; `aggregated_values` reads the result.

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
    """Some columns of one row as a JSON array."""

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

    rows: type[models.Model]
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
    """A list of a row: an expression for a query of the row's model."""

    relation: ListRelation
    base: str
    """The lookup of the key of the object that has the list; empty where that is the row itself."""

    @property
    def column(self) -> str:
        """The name of its column in a query. Equal lists share it."""
        return f"tms_webhooks_list_{crc32(repr(self).encode()):08x}"

    def to_python(self, values: list[Any]) -> list[Any]:
        """Return the values in a JSON array as Python's."""
        raise NotImplementedError

    def moved(self, base: str) -> RelatedList:
        """Return the same list for a query of another model, where ``base`` is the lookup of the object that has it."""
        raise NotImplementedError


class RelatedValues(RelatedList):
    """One value of each object in a list of a row, by default its key, as a sorted list.

    ``lookup`` is the lookup of the value in a listed object.
    """

    def __init__(self, relation: ListRelation, lookup: str = "pk", *, base: str = "") -> None:
        self.relation, self.lookup, self.base = relation, lookup, base
        column = relation.target or "pk" if lookup == "pk" else _in_rows(relation, lookup)
        values = _rows_of_outer(relation, base).values(values=JSONArrayAgg(F(column)))
        super().__init__(values, output_field=_ValuesField(_column_at(relation.listed, lookup)))

    def __repr__(self) -> str:
        return f"RelatedValues({self.relation}, {self.lookup}, {self.base})"

    def to_python(self, values: list[Any]) -> list[Any]:
        """Return the values in a JSON array as Python's."""
        column = _column_at(self.relation.listed, self.lookup)
        return [column.to_python(value) for value in values]

    def moved(self, base: str) -> RelatedValues:
        """Return the same list for a query of another model."""
        return RelatedValues(self.relation, self.lookup, base=base)


class RelatedObjects(RelatedList):
    """Values of the objects in a list of a row, as a list of dictionaries, sorted by these values.

    ``columns`` are the lookups of the values in the listed objects, by the names of the values.
    """

    def __init__(self, relation: ListRelation, columns: Mapping[str, str], *, base: str = "") -> None:
        self.relation, self.base = relation, base
        self.columns = dict(columns)
        lookups = (F(_in_rows(relation, lookup)) for lookup in columns.values())
        rows = _rows_of_outer(relation, base).values(objects=JSONArrayAgg(JSONArray(*lookups)))
        super().__init__(rows, output_field=_ObjectsField(self.columns, relation.listed))

    def __repr__(self) -> str:
        return f"RelatedObjects({self.relation}, {self.columns}, {self.base})"

    def to_python(self, values: list[Any]) -> list[Any]:
        """Return dictionaries of JSON values as dictionaries of Python's."""
        fields = {name: _column_at(self.relation.listed, lookup) for name, lookup in self.columns.items()}
        return [{name: _from_json(fields[name], one[name]) for name in fields if name in one} for one in values]

    def keys_for(self, key: Any, *, using: str) -> models.QuerySet[Any]:
        """Return a query of the values "id" in the list of the object with this key."""
        rows: models.QuerySet[Any] = models.QuerySet(self.relation.rows, using=using)
        return rows.filter(**{self.relation.owner: key}).order_by().values(_in_rows(self.relation, self.columns["id"]))

    def moved(self, base: str) -> RelatedObjects:
        """Return the same list for a query of another model."""
        return RelatedObjects(self.relation, self.columns, base=base)


def _rows_of_outer(relation: ListRelation, base: str) -> models.QuerySet[Any]:
    rows: models.QuerySet[Any] = models.QuerySet(relation.rows)
    return rows.filter(**{relation.owner: OuterRef(base or "pk")}).order_by()


def _in_rows(relation: ListRelation, lookup: str) -> str:
    """Return the lookup in the rows of a list for one in the listed objects."""
    return f"{relation.target}__{lookup}" if relation.target else lookup


class _ValuesField(_TextField):
    """A JSON array of values in the database, a list in Python."""

    def __init__(self, target: models.Field[Any, Any]) -> None:
        super().__init__()
        self.target = target

    def from_db_value(self, value: Any, *_context: Any) -> list[Any]:
        """Return the values sorted: no database promises an order of aggregated values."""
        found = (self.target.to_python(one) for one in aggregated_values(value))
        return sorted(found, key=lambda one: (one is None, one if one is not None else 0))


class _ObjectsField(_TextField):
    """A JSON array of arrays in the database, a list of dictionaries in Python."""

    def __init__(self, columns: Mapping[str, str], listed: type[models.Model]) -> None:
        super().__init__()
        self.targets = {name: _column_at(listed, lookup) for name, lookup in columns.items()}

    def from_db_value(self, value: Any, *_context: Any) -> list[dict[str, Any]]:
        """Return the dictionaries sorted: no database promises an order of aggregated values."""
        found = [
            {
                name: _from_json(target, one)
                for (name, target), one in zip(self.targets.items(), _read_json(row), strict=True)
            }
            for row in aggregated_values(value)
        ]
        return sorted(found, key=_sort_key)


def _read_json(row: Any) -> list[Any]:
    """Return an inner array. MariaDB returns arrays inside of arrays as text."""
    values: list[Any] = json.loads(row) if isinstance(row, str) else row
    return values


def _from_json(target: models.Field[Any, Any], value: Any) -> Any:
    """Return a column's value in JSON as Python's. Times without a zone are in UTC, as databases store them."""
    value = target.to_python(value)
    if isinstance(value, datetime) and settings.USE_TZ:
        return in_utc(value)
    return value


def _sort_key(values: Mapping[str, Any]) -> list[tuple[bool, Any]]:
    return [(value is None, value if value is not None else 0) for value in values.values()]


def _column_at(model: type[models.Model], lookup: str) -> models.Field[Any, Any]:
    """Return the column at the end of a lookup."""
    field = field_at(model, lookup)
    target: models.Field[Any, Any] = getattr(field, "target_field", field)
    return target


def aggregated_values(result: Any) -> list[Any]:
    """Return the values of a `JSONArrayAgg` result, in no particular order; an empty list where no row matched."""
    values: list[Any] = json.loads(result) if result else []
    return values


def list_at(model: type[models.Model], path: str, *, one_to_one: bool = False) -> tuple[str, ListRelation, str] | None:
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


def list_relation(model: type[models.Model], name: str, *, one_to_one: bool = False) -> ListRelation | None:
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
