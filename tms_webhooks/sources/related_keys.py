"""The keys behind a many-to-many field, as one value of a row: read with its columns, and compared like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, OuterRef, Subquery

from tms_webhooks.sources.gathered import Gathered, gathered_values

# Django's own fields are not generic at run time.
if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField


class _KeysField(_TextField):
    """Keys that the database gathered, a list in Python."""

    def __init__(self, target: models.Field[Any, Any]) -> None:
        super().__init__()
        self.target = target

    def from_db_value(self, value: Any, *_context: Any) -> list[Any]:
        """Return the keys in their order, which no database promises for what it gathers."""
        return sorted(self.target.to_python(key) for key in gathered_values(value))


class RelatedKeys(Subquery):
    """The sorted keys of the objects that a row of ``field``'s model has behind this many-to-many field."""

    def __init__(self, field: models.ManyToManyField[Any, Any]) -> None:
        self.relation = field
        between: models.QuerySet[Any] = models.QuerySet(field.remote_field.through)
        behind = between.filter(**{field.m2m_field_name(): OuterRef("pk")}).order_by()
        keys = behind.values(keys=Gathered(F(field.m2m_reverse_field_name())))
        super().__init__(keys, output_field=_KeysField(field.remote_field.model._meta.pk))

    def __repr__(self) -> str:
        return f"RelatedKeys({self.relation})"


def many_to_many(model: type[models.Model], name: str) -> models.ManyToManyField[Any, Any] | None:
    """Return the model's many-to-many field of this name, or None where it has none."""
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, models.ManyToManyField) else None
