"""Follow the attribute paths of a host's models: the models, columns and lists on them, and where one can't be followed."""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields.related_descriptors import ReverseManyToOneDescriptor

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
