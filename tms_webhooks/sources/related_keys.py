"""The keys behind a many-to-many field, as one value of a row: read with its columns, and compared like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, Func

# Django's own fields are not generic at run time.
if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField

# Each database has its own word for it.
JOINED = {"postgresql": "string_agg(CAST({key} AS text), ',')", "mysql": "GROUP_CONCAT({key} SEPARATOR ',')"}
ELSEWHERE = "group_concat({key}, ',')"


class _KeysField(_TextField):
    """Keys with commas between them in the database, a list in Python."""

    def __init__(self, target: models.Field[Any, Any]) -> None:
        super().__init__()
        self.target = target

    def from_db_value(self, value: str | None, *_context: Any) -> list[Any]:
        """Return the keys in their order, which no database promises for what it joins."""
        return sorted(self.target.to_python(key) for key in value.split(",")) if value else []


class RelatedKeys(Func):
    """The sorted keys of the objects that a row of ``field``'s model has behind this many-to-many field."""

    def __init__(self, field: models.ManyToManyField[Any, Any]) -> None:
        self.relation = field
        super().__init__(F("pk"), output_field=_KeysField(field.remote_field.model._meta.pk))

    def __repr__(self) -> str:
        return f"RelatedKeys({self.relation})"

    def as_sql(self, compiler: Any, connection: Any, **_context: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        """Return a subquery of the table between the two."""
        key, params = compiler.compile(self.get_source_expressions()[0])
        quote = connection.ops.quote_name
        near, far = (f"{quote('between')}.{quote(name)}" for name in (self._column(), self._reverse_column()))
        joined = JOINED.get(connection.vendor, ELSEWHERE).format(key=far)
        between: Any = self.relation.remote_field.through
        table = quote(between._meta.db_table)
        return f"(SELECT {joined} FROM {table} {quote('between')} WHERE {near} = {key})", list(params)  # noqa: S608

    def _column(self) -> str:
        return str(self.relation.m2m_column_name())

    def _reverse_column(self) -> str:
        return str(self.relation.m2m_reverse_name())


def many_to_many(model: type[models.Model], name: str) -> models.ManyToManyField[Any, Any] | None:
    """Return the model's many-to-many field of this name, or None where it has none."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, models.ManyToManyField) else None
