"""Find the part of a host's attribute path that can't be followed."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields.related_descriptors import ReverseManyToOneDescriptor

from tms_webhooks.computed import AND
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.sources.aggregates import list_at


class PathProblem(Enum):
    """Why a path can't be followed."""

    MISSING = auto()
    """The model has no attribute of this name."""
    MANY = auto()
    """The attribute leads to many objects."""
    COLUMN = auto()
    """The attribute is a plain column, but the path continues."""


@dataclass(frozen=True, slots=True)
class BrokenPath:
    """The part of a path that can't be followed, and the model that lacks it."""

    model: type[models.Model]
    part: str
    problem: PathProblem

    def __str__(self) -> str:
        words = {
            PathProblem.MISSING: "has no attribute",
            PathProblem.MANY: "has many objects in",
            PathProblem.COLUMN: "has only a plain column",
        }
        return f"{self.model._meta.label} {words[self.problem]} {self.part!r}"

    @property
    def suggestion(self) -> str:
        """A "Did you mean" question with the nearest attributes, or an empty string."""
        if self.problem is not PathProblem.MISSING:
            return ""
        return did_you_mean(difflib.get_close_matches(self.part, attributes_of(self.model)))


def broken_path(model: type[models.Model], path: str) -> BrokenPath | None:
    """Return the first part of ``path`` that can't be followed from ``model``, or None.

    The check ends at a property: only a value can show what it returns.
    """
    current: type[models.Model] = model
    *leading, last = path.split(".")
    for part in leading:
        field = field_of(current, part)
        problem = _problem_with(current, part, field)
        if problem is None and field is not None and field.related_model is None:
            problem = PathProblem.COLUMN
        if problem is not None:
            return BrokenPath(current, part, problem)
        if field is None or not isinstance(field.related_model, type):
            return None
        current = field.related_model
    problem = _problem_with(current, last, field_of(current, last))
    return None if problem is None else BrokenPath(current, last, problem)


def broken_input(model: type[models.Model], path: str) -> BrokenPath | None:
    """Return what `broken_path` does for a path that may lead through a list, and end with several of its columns."""
    found = list_at(model, path)
    if found is None:
        return broken_path(model, path)
    _base, relation, rest = found
    return next(filter(None, (broken_path(relation.listed, column) for column in (rest or "pk").split(AND))), None)


def field_of(model: type[models.Model], name: str) -> Any:
    """Return the field or relation of this name, or None. ``pk`` is the primary key."""
    try:
        return model._meta.pk if name == "pk" else model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def attributes_of(model: type[models.Model]) -> list[str]:
    """Return the names that a path may use: columns, relations to one object, properties."""
    fields = [field for field in model._meta.get_fields() if not (field.one_to_many or field.many_to_many)]
    properties = [name for base in model.__mro__ for name, value in vars(base).items() if isinstance(value, property)]
    return [*(field.name for field in fields), *(name for name in properties if name != "pk")]


def _problem_with(model: type[models.Model], name: str, field: Any) -> PathProblem | None:
    attribute = getattr(model, name, None)
    if field is not None and (field.one_to_many or field.many_to_many):
        return PathProblem.MANY
    # The accessor of a relation may have another name than its query name.
    if isinstance(attribute, ReverseManyToOneDescriptor | models.Manager):
        return PathProblem.MANY
    return PathProblem.MISSING if field is None and not hasattr(model, name) else None
