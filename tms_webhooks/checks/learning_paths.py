"""Checks of learning paths whose completion is computed from their courses."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.paths import follow, steps_of
from tms_webhooks.sources.tms import ComputedLearningPathSource


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the names by which a source finds the learning path of a course."""
    if not isinstance(source, ComputedLearningPathSource):
        return
    name = getattr(source, "path_model", None)
    try:
        path_model = apps.get_model(str(name))
    except (LookupError, ValueError):
        nearest = difflib.get_close_matches(str(name), [model._meta.label for model in apps.get_models()])
        yield message(
            "E050",
            f"path_model is {name!r}, which is not a model.",
            hint="Write path_model = 'app_label.ModelName' with your model of learning paths." + did_you_mean(nearest),
            obj=source,
        )
        return
    for attribute, problem in _problems(source, path_model):
        yield message(
            "E051",
            f"{attribute} is {getattr(source, attribute)!r}, but {problem}.",
            hint=_remedy(attribute, source, path_model),
            obj=source,
        )


def _problems(source: ComputedLearningPathSource, path_model: type[models.Model]) -> Iterator[tuple[str, str]]:
    label = path_model._meta.label
    courses = steps_of(path_model, source.path_courses)[0].field
    if courses is None or not (courses.many_to_many or courses.one_to_many):
        yield "path_courses", f"{label} has no such relation to many courses"
    elif (
        courses.related_model is not (course := follow(source.model, str(source.path_of("course"))))
        and course is not None
    ):
        yield "path_courses", f"it leads to {courses.related_model._meta.label}, not to {course._meta.label}"
    if source.path_enabled and steps_of(path_model, source.path_enabled)[0].field is None:
        yield "path_enabled", f"{label} has no such field"


def _remedy(attribute: str, source: ComputedLearningPathSource, path_model: type[models.Model]) -> str:
    many = attribute == "path_courses"
    names = [
        field.name for field in path_model._meta.get_fields() if bool(field.many_to_many or field.one_to_many) is many
    ]
    nearest = did_you_mean(difflib.get_close_matches(str(getattr(source, attribute)), names))
    if many:
        return f"Name the relation from the path to its courses.{nearest}"
    return f'Name the field that says whether the path is in use, or write "" if the model has none.{nearest}'
