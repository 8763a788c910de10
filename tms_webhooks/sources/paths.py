"""Follow the attribute paths of a host's models: the models, columns and lists on them, and where one can't be followed.

`RelatedList` is the list behind a many-to-many field or reverse foreign key, read in the query of the row's own columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple
from zlib import crc32

from django.conf import settings
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, Func, OuterRef, Subquery
from django.db.models.fields.related_descriptors import ReverseManyToOneDescriptor

from tms_webhooks.catalogue.values import in_utc

Model = type[models.Model]


class PathProblem(StrEnum):
    """Why a path can't be followed."""

    MISSING = "has no attribute"
    MANY = "has many objects in"
    COLUMN = "has only a plain column"
    """The path continues behind it."""


class PathStep(NamedTuple):
    """One name of a path, at a model. ``field`` is the field or relation; None for another attribute, or none."""

    model: Model
    name: str
    field: Any

    @property
    def column(self) -> models.Field[Any, Any] | None:
        """The column of the model's own table, or its key."""
        is_field = isinstance(self.field, models.Field) and self.field.concrete and not self.field.many_to_many
        return self.field if is_field else None

    @property
    def target(self) -> Model | None:
        """The model to which the relation leads."""
        related = self.field.related_model if self.field is not None else None
        return related if isinstance(related, type) else None

    @property
    def is_to_one(self) -> bool:
        """Whether it leads to at most one other object."""
        is_to_one = self.name != "pk" and self.field is not None and (self.field.many_to_one or self.field.one_to_one)
        return is_to_one and self.target is not None

    @property
    def is_to_many(self) -> bool:
        """Whether it leads to many objects. The attribute of a relation may have another name than its query name."""
        if self.field is not None and (self.field.one_to_many or self.field.many_to_many):
            return True
        return isinstance(getattr(self.model, self.name, None), ReverseManyToOneDescriptor | models.Manager)


class BrokenPath(NamedTuple):
    """The part of a path that can't be followed, and the model that lacks it."""

    model: Model
    part: str
    problem: PathProblem

    def __str__(self) -> str:
        return f"{self.model._meta.label} {self.problem} {self.part!r}"


def all_rows(model: Model, *, using: str | None = None) -> models.QuerySet[Any]:
    """Return a query of all rows of a model. It uses no manager, which may hide some."""
    return models.QuerySet(model, using=using)


def steps_of(model: Model, path: str) -> list[PathStep]:
    """Return the steps of a path. They end where the models do not show more: the last one may be a property."""
    steps: list[PathStep] = []
    current: Model | None = model
    for name in path.split("."):
        if current is None:
            break
        steps.append(PathStep(current, name, _field_at(current, name)))
        current = steps[-1].target
    return steps


def _field_at(model: Model, name: str) -> Any:
    try:
        return model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        # The reverse side of a one-to-one field may have another name in queries.
        rows = (one for one in model._meta.related_objects if one.one_to_one)
        return next((one for one in rows if one.get_accessor_name() == name), None)


@cache
def field_at(model: Model, lookup: str) -> Any:
    """Return the field at the end of a query lookup."""
    return steps_of(model, lookup.replace("__", "."))[-1].field


def stored_at(model: Model, lookup: str) -> models.Field[Any, Any]:
    """Return the column at the end of a query lookup; for a foreign key, the one that it refers to."""
    field = field_at(model, lookup)
    column: models.Field[Any, Any] = getattr(field, "target_field", field)
    return column


def broken_path(model: Model, path: str) -> BrokenPath | None:
    """Return the first part of ``path`` that can't be followed from ``model``, or None.

    The search ends at a property: only a value can show what it returns.
    """
    steps = steps_of(model, path)
    for step in steps:
        if step.is_to_many:
            return BrokenPath(step.model, step.name, PathProblem.MANY)
        if step.field is None and not hasattr(step.model, step.name):
            return BrokenPath(step.model, step.name, PathProblem.MISSING)
    last = steps[-1]
    if last.field is not None and len(steps) <= path.count("."):
        return BrokenPath(last.model, last.name, PathProblem.COLUMN)
    return None


def follow(model: Model, path: str) -> Model | None:
    """Return the model at the end of a path of foreign keys, or None if ``path`` is something else."""
    steps = steps_of(model, path)
    is_followed = len(steps) > path.count(".") and all(step.is_to_one for step in steps)
    return steps[-1].target if is_followed else None


def column_at(model: Model, path: str) -> models.Field[Any, Any] | None:
    """Return the column at the end of a path of foreign keys, or None if ``path`` is something else."""
    *leading, last = steps_of(model, path)
    is_followed = len(leading) == path.count(".") and all(step.is_to_one for step in leading)
    return last.column if is_followed else None


def may_be_null(model: Model, path: str) -> bool:
    """Return whether a column on a path of foreign keys may be null, as far as the models show."""
    steps = steps_of(model, path)
    return len(steps) <= path.count(".") or any(step.column is None or step.column.null for step in steps)


def references_of(model: Model, path: str) -> list[str]:
    """Return the foreign keys at the beginning of a path, as an argument list for ``select_related``."""
    leading = takewhile(lambda step: step.is_to_one, steps_of(model, path)[: path.count(".")])
    names = "__".join(step.name for step in leading)
    return [names] if names else []


def lookup_of(model: Model, path: str) -> str | None:
    """Return the query lookup for ``path`` if it follows foreign keys, or one-to-one fields from either side, to one column.

    It is shortened to the nearest column.
    """
    *leading, last = steps_of(model, path)
    if len(leading) < path.count(".") or last.column is None:
        return None
    if not all(step.column is not None or isinstance(step.field, models.OneToOneRel) for step in leading):
        return None
    names = [step.field.name for step in leading]
    # The row holds the key of the related row already: `course.id` is `course_id`.
    key = leading[-1].field if leading else None
    if isinstance(key, models.ForeignKey) and last.column is key.target_field:
        return "__".join([*names[:-1], key.attname])
    return "__".join([*names, last.column.attname])


# Lists


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
        value: Any = (
            F(self._in_rows(columns)) if isinstance(columns, str) else JSONArray(*map(self._in_rows, columns.values()))
        )
        rows = all_rows(relation.rows).filter(**{relation.owner: OuterRef(base or "pk")}).order_by()
        super().__init__(rows.values(values=JSONArrayAgg(value)), output_field=_ListField(self))

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
