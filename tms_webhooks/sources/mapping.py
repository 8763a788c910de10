"""Map canonical fields to attribute paths of the host's models, and paths to query lookups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import models

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.exceptions import ConfigurationError, PayloadError
from tms_webhooks.sources.aggregates import RelatedKeys, RelatedList, RelatedObjects, list_relation


@dataclass(frozen=True, slots=True)
class MappedField:
    """One canonical field and the host's attribute path for it.

    - ``lookup``: the path as a query lookup (``training_class__organization_id``), an expression for a list of related
      rows, or None where only Python can follow it (a property)
    - ``own``: whether the value is a column of the object's own row, so that its change is a change of the object
    - ``items``: for a list of objects, the path of each value in a listed object, by the name of the value
    """

    field: Field
    path: str
    lookup: str | RelatedList | None
    own: bool
    items: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def own_list(self) -> RelatedList | None:
        """The list whose change is a change of the object: ids behind a many-to-many field, or rows of the object's own.

        Objects behind a many-to-many field are not: their ids are, and what else they hold is an affair of their own.
        """
        if not isinstance(self.lookup, RelatedList):
            return None
        return self.lookup if self.field.kind is FieldKind.IDS or not self.lookup.relation.target else None

    def read(self, instance: models.Model) -> Any:
        """Return the value at the path from ``instance``; None if an attribute on the way is None."""
        value: Any = instance
        for part in self.path.split("."):
            value = _step(value, part)
            if callable(value) and not isinstance(value, models.Manager):
                value = value()
            if value is None:
                return None
        return self.objects(value) if self.items else value

    def objects(self, value: Any) -> list[dict[str, Any]] | PayloadError:
        """Return a list of objects as dictionaries. The objects may be dictionaries, such as those of a JSON column."""
        found = value.all() if isinstance(value, models.Manager) else value
        if isinstance(found, str | bytes) or not isinstance(found, Iterable):
            return PayloadError(
                f"{self.field.name}: a {type(value).__name__} is no list of objects; map the field to another path."
            )
        return [{name: _item_at(one, path) for name, path in self.items.items()} for one in found]


def _step(value: Any, part: str) -> Any:
    try:
        return getattr(value, part)
    except ObjectDoesNotExist as error:
        # The reverse side of a one-to-one field without an object: Django's exception is an AttributeError, too.
        if isinstance(error, AttributeError):
            return None
        raise


def map_field(
    model: type[models.Model], field: Field, path: str, *, items: Mapping[str, str] | None = None
) -> MappedField | None:
    """Return the mapping of ``field`` to ``path`` on ``model``, or None if the model has no such path.

    ``items`` are the paths of the values of a list of objects, which begin at a listed object.
    """
    items = items or {}
    relation = list_relation(model, path) if field.kind in (FieldKind.IDS, FieldKind.OBJECTS) else None
    if relation is not None and field.kind is FieldKind.IDS:
        return MappedField(field, path, RelatedKeys(relation), own=False)
    if relation is not None:
        lookups = {name: _lookup(relation.listed, item) for name, item in items.items()}
        columns = {name: lookup for name, lookup in lookups.items() if lookup is not None}
        return MappedField(field, path, RelatedObjects(relation, columns), own=False, items=items) if columns else None
    lookup = _lookup(model, path)
    if lookup is not None:
        return MappedField(field, path, lookup, own="__" not in lookup, items=items)
    if _python_can_follow(model, path):
        return MappedField(field, path, None, own=False, items=items)
    return None


def _item_at(value: Any, path: str) -> Any:
    """Return the value at a path in an object or a dictionary; None where it ends early."""
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def follow(model: type[models.Model], path: str) -> type[models.Model] | None:
    """Return the model at the end of a path of foreign keys, or None if ``path`` is something else."""
    for part in path.split("."):
        try:
            field = model._meta.get_field(part)
        except FieldDoesNotExist:
            return None
        related = field.related_model
        if not (field.many_to_one or field.one_to_one) or not isinstance(related, type):
            return None
        model = related
    return model


def column_at(model: type[models.Model], path: str) -> models.Field[Any, Any] | None:
    """Return the column at the end of a path of foreign keys, or None if ``path`` is something else."""
    leading, _, last = path.rpartition(".")
    parent = follow(model, leading) if leading else model
    return None if parent is None else _concrete(parent, last)


def key_name(name: str) -> str:
    """Return the name of the value with the foreign key of a custom field. It is compared, but in no payload."""
    return f"custom_key.{name.partition('.')[2]}"


def key_behind(model: type[models.Model], name: str, mapped: MappedField) -> MappedField | None:
    """Return the row's own foreign key at the beginning of a path, as the value ``name``; None if the path has none."""
    if not isinstance(mapped.lookup, str) or "__" not in mapped.lookup:
        return None
    first = _concrete(model, mapped.lookup.partition("__")[0])
    if first is None:
        return None
    return MappedField(Field(name, FieldKind.ID, FieldPrivacy.ID), first.name, first.attname, own=True)


def references_of(model: type[models.Model], path: str) -> list[str]:
    """Return the foreign keys at the beginning of a path, as an argument list for ``select_related``."""
    parts = path.split(".")
    lengths = [length for length in range(1, len(parts)) if follow(model, ".".join(parts[:length])) is not None]
    return ["__".join(parts[: max(lengths)])] if lengths else []


def _lookup(model: type[models.Model], path: str) -> str | None:
    """Return the query lookup for ``path`` if it follows foreign keys to one column, shortened to the nearest column."""
    parts = path.split(".")
    current: type[models.Model] | None = model
    names: list[str] = []
    for index, part in enumerate(parts):
        if current is None:
            return None
        field = _concrete(current, part)
        if field is None:
            return None
        last = index == len(parts) - 1
        # This row holds the key of the related row already: `course.id` is `course_id`.
        if not last and index == len(parts) - 2 and _is_target(field, parts[-1]):
            return "__".join([*names, field.attname])
        names.append(field.attname if last else field.name)
        related = field.related_model
        current = related if isinstance(related, type) else None
    return "__".join(names)


def _concrete(model: type[models.Model], name: str) -> models.Field[Any, Any] | None:
    if name == "pk":
        return model._meta.pk
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return None
    if not isinstance(field, models.Field) or not field.concrete or field.many_to_many:
        return None
    return field


def _is_target(field: models.Field[Any, Any], name: str) -> bool:
    if not isinstance(field, models.ForeignKey):
        return False
    target = field.target_field
    return name in {target.name, target.attname} or (name == "pk" and target.primary_key)


def _python_can_follow(model: type[models.Model], path: str) -> bool:
    """Return whether the class has the path's first attribute. What follows a property depends on its value."""
    first, _, rest = path.partition(".")
    if _concrete(model, first) is not None:
        related = model._meta.get_field(first).related_model if rest else None
        return bool(rest) and isinstance(related, type) and _python_can_follow(related, rest)
    return hasattr(model, first)


def merged_fields(cls: type, attribute: str = "fields") -> dict[str, Any]:
    """Return a class attribute merged with those of its bases, so that a subclass names only differences."""
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        value: Mapping[str, Any] = vars(base).get(attribute) or {}
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{base.__name__}.{attribute} is {value!r}; make it a dictionary.")
        merged.update(value)
    return merged
