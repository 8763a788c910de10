"""Query expressions that collect several values into one value of a row.

`JSONArrayAgg` collects a column as a JSON array, on every database. `RelatedKeys` uses it to read the keys behind a
many-to-many field together with a row's own columns, so that they can be compared like a column.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, Func, OuterRef, Subquery

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


class RelatedKeys(Subquery):
    """The keys of the objects behind a many-to-many field of a row, as a sorted list."""

    def __init__(self, field: models.ManyToManyField[Any, Any]) -> None:
        self.relation = field
        links: models.QuerySet[Any] = models.QuerySet(field.remote_field.through)
        of_row = links.filter(**{field.m2m_field_name(): OuterRef("pk")}).order_by()
        keys = of_row.values(keys=JSONArrayAgg(F(field.m2m_reverse_field_name())))
        super().__init__(keys, output_field=_KeysField(field.remote_field.model._meta.pk))

    def __repr__(self) -> str:
        return f"RelatedKeys({self.relation})"


class _KeysField(_TextField):
    """A JSON array of keys in the database, a list in Python."""

    def __init__(self, target: models.Field[Any, Any]) -> None:
        super().__init__()
        self.target = target

    def from_db_value(self, value: Any, *_context: Any) -> list[Any]:
        """Return the keys sorted: no database promises an order of aggregated values."""
        return sorted(self.target.to_python(key) for key in aggregated_values(value))


def aggregated_values(result: Any) -> list[Any]:
    """Return the values of a `JSONArrayAgg` result, in no particular order; an empty list where no row matched."""
    values: list[Any] = json.loads(result) if result else []
    return values


def many_to_many(model: type[models.Model], name: str) -> models.ManyToManyField[Any, Any] | None:
    """Return the model's many-to-many field of this name, or None."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, models.ManyToManyField) else None
