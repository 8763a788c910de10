"""From a canonical field to the place where a host keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import models

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources.related_keys import RelatedKeys, many_to_many


@dataclass(frozen=True, slots=True)
class MappedField:
    """One canonical field and the host's attribute path for it.

    ``lookup`` is the path as a query has it (``training_class__organization_id``), an expression where it leads to many
    objects, or None where Python alone can follow it (a property). ``own`` says that the value stands in the object's own row, so that a change of it is a
    change of the object.
    """

    field: Field
    path: str
    lookup: str | RelatedKeys | None
    own: bool

    def read(self, instance: models.Model) -> Any:
        """Follow the path from ``instance``; None as soon as something on the way is None."""
        value: Any = instance
        for part in self.path.split("."):
            value = _step(value, part)
            if callable(value) and not isinstance(value, models.Manager):
                value = value()
            if value is None:
                return None
        return value


def _step(value: Any, part: str) -> Any:
    try:
        return getattr(value, part)
    except ObjectDoesNotExist as error:
        # The other side of a one-to-one field, where there is none: Django makes an AttributeError of it, too.
        if isinstance(error, AttributeError):
            return None
        raise


def map_field(model: type[models.Model], field: Field, path: str) -> MappedField | None:
    """Find ``path`` on ``model``; None where it leads nowhere."""
    many = many_to_many(model, path) if field.kind is FieldKind.IDS else None
    if many is not None:
        return MappedField(field, path, RelatedKeys(many), own=False)
    lookup = _lookup(model, path)
    if lookup is not None:
        return MappedField(field, path, lookup, own="__" not in lookup)
    if _python_can_follow(model, path):
        return MappedField(field, path, None, own=False)
    return None


def follow(model: type[models.Model], path: str) -> type[models.Model] | None:
    """Return the model that a path of foreign keys ends at, or None where it is no such path."""
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


def references_of(model: type[models.Model], path: str) -> list[str]:
    """Return the foreign keys that a path begins with, as ``select_related`` takes them; none where it has none."""
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
        # The key of a related row stands in this row already: `course.id` is `course_id`.
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
    """Whether the path starts at something the class has; what lies behind a property only a value can tell."""
    first, _, rest = path.partition(".")
    if _concrete(model, first) is not None:
        related = model._meta.get_field(first).related_model if rest else None
        return bool(rest) and isinstance(related, type) and _python_can_follow(related, rest)
    return hasattr(model, first)


def merged_fields(cls: type, attribute: str = "fields") -> dict[str, Any]:
    """Merge a mapping over a class and its bases, so that a host names only what differs."""
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        value: Mapping[str, Any] = vars(base).get(attribute) or {}
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{base.__name__}.{attribute} is {value!r}; make it a dictionary.")
        merged.update(value)
    return merged
