"""The models behind sources: each object is one row, and related models exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from django.apps import apps
from django.db import models

from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.paths import follow, steps_of
from tms_webhooks.sources.registry import all_sources, sources_of
from tms_webhooks.sources.tms import ActivityProgressSource, ComputedLearningPathSource


def check(source: Source) -> Iterator[DeclarationError]:
    """Yield problems with the models of one source."""
    yield from _parents(source)
    yield from _namesakes(source)
    if isinstance(source, ComputedLearningPathSource):
        yield from _learning_paths(source)
    if isinstance(source, ActivityProgressSource) and source.assignment_source is None:
        model = source.assigned_model
        problem = f"which is not a foreign key of {source.model._meta.label}"
        if model is source.model:
            problem = "which leads back to the same model"
        elif model is not None:
            problem = f"but {model._meta.label} is not registered with a CourseAssignmentSource"
        yield DeclarationError(
            "E057",
            f"assignment is {source.assignment!r}, {problem}.",
            "Write the path of foreign keys to your course assignments, and register their model with a "
            "CourseAssignmentSource.",
        )


def _parents(source: Source) -> Iterator[DeclarationError]:
    """Warn if the same rows can be changed through a parent model, whose signals Django sends instead."""
    for parent in source.model.__mro__[1:]:
        if not (issubclass(parent, models.Model) and hasattr(parent, "_meta")) or parent._meta.abstract:
            continue
        if not any(other.noun is source.noun for other in sources_of(parent)):
            label, above = source.model._meta.label, parent._meta.label
            yield DeclarationError(
                "W058",
                f"A row of {label} that is changed through {above} emits no event.",
                f"Register {above} as well, if each of its rows is an object; its source also captures {label}. If only "
                f"the rows of {label} are, write through_parents = True. Or silence this check, and set reconcile = True "
                "on the source to detect these changes once a day.",
            )
            return


def _namesakes(source: Source) -> Iterator[DeclarationError]:
    """Warn if two objects of one noun may have the same id: they would share sequence numbers and one-time events."""
    sources = all_sources()
    for other in sources[: sources.index(source)]:
        apart = not (issubclass(source.model, other.model) or issubclass(other.model, source.model))
        if other.noun is source.noun and apart and _is_counted(source) and _is_counted(other):
            yield DeclarationError(
                "W059",
                f"{source.model._meta.label} and {other.model._meta.label} both have the noun {source.noun.name!r} and number "
                "their keys from 1: two objects with the same id share sequence numbers and one-time events.",
                'Map "id" to a column with unique values, or give one of the models its own noun.',
            )


def _is_counted(source: Source) -> bool:
    """Return True if the ids of a source are automatic numbers of the database."""
    key = source.model._meta.pk
    mapped = source.own.get("id")
    return isinstance(key, models.AutoField) and mapped is not None and mapped.lookup == key.attname


def _learning_paths(source: ComputedLearningPathSource) -> Iterator[DeclarationError]:
    """Refuse names by which a source can't find the learning paths of a course."""
    name = getattr(source, "path_model", None)
    try:
        model = apps.get_model(str(name))
    except (LookupError, ValueError):
        nearest = difflib.get_close_matches(str(name), [model._meta.label for model in apps.get_models()])
        yield DeclarationError(
            "E050",
            f"path_model is {name!r}, which is not a model.",
            f"Write path_model = 'app_label.ModelName' with your model of learning paths.{did_you_mean(nearest)}",
        )
        return
    fields = model._meta.get_fields()
    problems = {}
    courses = steps_of(model, source.path_courses)[0]
    course = follow(source.model, str(source.path_of("course")))
    if courses.field is None or not courses.is_to_many:
        problems["path_courses"] = f"{model._meta.label} has no such relation to many courses"
    elif course is not None and course is not courses.target:
        problems["path_courses"] = f"it leads to {courses.field.related_model._meta.label}, not to {course._meta.label}"
    if source.path_enabled is not None and steps_of(model, source.path_enabled)[0].field is None:
        problems["path_enabled"] = f"{model._meta.label} has no such field"
    for attribute, problem in problems.items():
        many = attribute == "path_courses"
        names = [field.name for field in fields if bool(field.many_to_many or field.one_to_many) is many]
        remedy = (
            "Name the relation from the path to its courses."
            if many
            else "Name the field that says whether the path is in use, or write None if the model has none."
        )
        written = getattr(source, attribute)
        remedy += did_you_mean(difflib.get_close_matches(str(written), names))
        yield DeclarationError("E051", f"{attribute} is {written!r}, but {problem}.", remedy)
