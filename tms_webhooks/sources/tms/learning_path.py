"""Completed learning paths: recorded in a model of the host, or computed from completed courses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.apps import apps
from django.db import DatabaseError, models, transaction

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.types.learning_path import LEARNING_PATH
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.computed import Computed
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Occurrence
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Change, Filled, PlannedEvent, Rule

COMPLETED = "learning_path.completed"
COURSE = Field("course.id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the course that was completed.")


class LearningPathSource(Source):
    """A model with a row for each learner and path. A path is completed when ``completed_at`` is set."""

    noun = LEARNING_PATH
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (Filled("completed_at", COMPLETED),)


class ComputedLearningPathSource(LearningPathSource):
    """Compute completed paths from a model of course assignments, for a host that stores no completed paths.

    A path is completed when the learner has completed every course that it has at that moment. The event is emitted
    once per learner and path. Override `paths_with` to limit the paths of a learner.

    - ``path_model``: label of the path's model
    - ``path_courses``: the many-to-many field from a path to its courses
    - ``path_enabled``: boolean field of the path, or None if every path counts
    """

    path_model: ClassVar[str]
    path_courses: ClassVar[str] = "courses"
    path_enabled: ClassVar[str | None] = "enabled"
    _lock_order = "user.id"
    # The rows are assignments, and a completed path has none.
    snapshot = False
    # The assignment's own id and learning path are not those of the completed path.
    fields = {
        "id": None,
        "learning_path": None,
        **dict.fromkeys(
            ("learning_path.id", "learning_path.external_id", "learning_path.name", "course_count", "courses"),
            Computed(),
        ),
    }

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The noun's fields, and the course of the assignment, which is in no payload."""
        return (*super().all_fields, COURSE)

    def events_for(self, change: Change) -> Iterable[PlannedEvent]:
        """Return an event for each path that the completion of this course completes."""
        learner, course = change.after.get("user.id"), change.after.get("course.id")
        if learner is None or not list(super().events_for(change)):
            return
        for path in self._candidates(course, learner, using=change.using):
            key = f"{path.pk}:{learner}"
            # If two transactions complete two courses of one path concurrently, the second must see the first.
            Occurrence.objects.lock(f"{COMPLETED}:{key}", now=change.now, using=change.using)
            courses = self._courses_of(path, using=change.using)
            completed = self._completed_courses(learner, using=change.using)
            # A host's own `paths_with` may return a path without courses.
            if courses and completed.keys() >= courses.keys():
                extra = self._path_values(path, courses, completed)
                yield PlannedEvent(COMPLETED, once=f"{COMPLETED}:{key}", subject_id=key, extra=extra)

    def paths_with(self, course: Any, learner: Any) -> models.QuerySet[Any]:
        """Return the paths that the completion of ``course`` may complete for ``learner``; both are keys.

        By default, all enabled paths with this course.
        """
        model = apps.get_model(self.path_model)
        paths: models.QuerySet[Any] = model._default_manager.filter(**{self.path_courses: course})
        return paths.filter(**{self.path_enabled: True}) if self.path_enabled else paths

    def _candidates(self, course: Any, learner: Any, *, using: str) -> list[models.Model]:
        """Return the result of `paths_with` in the order of keys, so that two transactions lock paths in the same order."""
        try:
            # In a savepoint: a failing query of the host must not break its transaction.
            with transaction.atomic(using=using):
                return sorted(self.paths_with(course, learner).using(using), key=lambda path: path.pk)
        except DatabaseError as error:
            raise PayloadError(f"paths_with of {self!r} failed: {type(error).__name__}.") from error

    def _courses_of(self, path: models.Model, *, using: str) -> dict[Any, models.Model]:
        """Return the path's courses by their keys; by a many-to-many field in the order of the table between both."""
        field: Any = path._meta.get_field(self.path_courses)
        if not isinstance(field, models.ManyToManyField):
            return {course.pk: course for course in getattr(path, self.path_courses).using(using)}
        through: Any = field.remote_field.through
        steps: models.QuerySet[Any] = models.QuerySet(through, using=using).filter(**{field.m2m_field_name(): path})
        name = field.m2m_reverse_field_name()
        ordered = steps.order_by(*(through._meta.ordering or [f"{name}_id"])).select_related(name)
        return {course.pk: course for course in (getattr(step, name) for step in ordered)}

    def _completed_courses(self, learner: Any, *, using: str) -> dict[Any, Any]:
        """Return when the learner first completed each course, by the courses' keys."""
        column = self._columns()
        done = {column["user.id"]: learner, f"{column['completed_at']}__isnull": False}
        rows = self.model._base_manager.using(using).filter(**done).order_by(f"-{column['completed_at']}")
        return dict(rows.values_list(column["course.id"], column["completed_at"]))

    def _columns(self) -> dict[str, str]:
        return {name: str(self.mapped[name].lookup) for name in ("user.id", "course.id", "completed_at")}

    def _path_values(
        self, path: models.Model, courses: Mapping[Any, models.Model], completed: Mapping[Any, Any]
    ) -> Mapping[str, Any]:
        return {
            **{f"learning_path.{name}": value for name, value in _named(path).items()},
            "course_count": len(courses),
            "courses": [{**_named(course), "completed_at": completed[key]} for key, course in courses.items()],
        }


def _named(one: models.Model) -> dict[str, Any]:
    """Return the ids and the name of a path or course."""
    return {
        "id": one.pk,
        "external_id": getattr(one, "external_id", None),
        "name": getattr(one, "name", str(one)),
    }
