"""Learning paths: with a record of their completion, or worked out from the courses of the path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.apps import apps
from django.db import models
from django.utils import timezone

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.types.learning_path import LEARNING_PATH
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.models import Occurrence
from tms_webhooks.sources.base import Source, Told
from tms_webhooks.sources.rules import Change, Filled

COMPLETED = "learning_path.completed"
COURSE = Field("course.id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the course that was completed.")


class LearningPathSource(Source):
    """A record of a learner's way along a path, whose ``completed_at`` gets set or that is born with it."""

    noun = LEARNING_PATH
    organization = "user.organization"
    rules = (Filled("completed_at", COMPLETED),)


class ComputedLearningPathSource(LearningPathSource):
    """The same from a model of course assignments, for a host that keeps no record of a finished path.

    A path is completed when the learner has completed every course that it has at that moment; it is told once per
    learner and path. Name the path's model and how it leads to its courses; `paths_with` narrows the choice.
    """

    path_model: ClassVar[str]
    path_courses: ClassVar[str] = "courses"
    path_enabled: ClassVar[str] = "enabled"
    # Of the assignment's own fields, only these say something of the path.
    fields = {"id": "", "learning_path": ""}

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The noun's fields, and the course of the assignment, which no payload holds."""
        return (*super().all_fields, COURSE)

    def supplies(self) -> Collection[str]:
        """Name what is read from the path."""
        return ("learning_path.id", "learning_path.external_id", "learning_path.name", "course_count")

    def tells(self, change: Change) -> Iterable[Told]:
        """Tell of each path that the completion of this course completes."""
        if not list(super().tells(change)):
            return
        learner, course = change.after["user.id"], change.after["course.id"]
        for path in self.paths_with(course, learner):
            key = f"{path.pk}:{learner}"
            # Two courses of one path, completed in two transactions at once: the second one has to see the first.
            Occurrence.objects.lock(f"{COMPLETED}:{key}", now=timezone.now())
            courses = getattr(path, self.path_courses).values_list("pk", flat=True)
            if set(courses) <= self._completed_courses(learner):
                yield Told(
                    COMPLETED, once=f"{COMPLETED}:{key}", subject_id=key, extra=self._path_values(path, len(courses))
                )

    def paths_with(self, course: Any, learner: Any) -> models.QuerySet[Any]:
        """Return the paths that ``course`` (its key) may complete for ``learner``: all that are enabled and have it."""
        model = apps.get_model(self.path_model)
        paths = model._default_manager.filter(**{self.path_courses: course})
        return paths.filter(**{self.path_enabled: True}) if self.path_enabled else paths

    def _completed_courses(self, learner: Any) -> set[Any]:
        done = self.model._base_manager.filter(
            **{self.path_of("user").replace(".", "__"): learner, f"{self.path_of('completed_at')}__isnull": False}
        )
        return set(done.values_list(self.path_of("course").replace(".", "__"), flat=True))

    def _path_values(self, path: models.Model, course_count: int) -> Mapping[str, Any]:
        return {
            "learning_path.id": path.pk,
            "learning_path.external_id": getattr(path, "external_id", None),
            "learning_path.name": getattr(path, "name", str(path)),
            "course_count": course_count,
        }
