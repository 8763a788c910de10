"""Course assignments and the progress of their activities."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.db import models

from tms_webhooks.catalogue.custom import CustomField
from tms_webhooks.catalogue.schema import Field
from tms_webhooks.catalogue.types.course_assignment import ACTIVITY, COURSE_ASSIGNMENT
from tms_webhooks.choices import AssignmentCompletion, AssignmentStatus
from tms_webhooks.computed import Computed, Path, joined
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.paths import follow
from tms_webhooks.sources.rules import AnyOtherChange, Created, DatePassed, Deleted, Entered, Filled, Reopened, Rule

EXPIRED = "course_assignment.expired"
PROGRESSED = "course_assignment.progressed"


def completion_status(started_at: datetime | None, completed_at: datetime | None) -> int:
    """Return the completion status, which follows from the dates."""
    if completed_at is not None:
        return AssignmentCompletion.COMPLETE.value
    return (AssignmentCompletion.NOT_STARTED if started_at is None else AssignmentCompletion.INCOMPLETE).value


class CourseAssignmentSource(Source):
    """A course assigned to a learner. Needs ``started_at``, ``completed_at`` and an indexed ``expires_at``.

    A model with a ``progress`` field emits its changes. For a row per activity, see `ActivityProgressSource`.
    """

    noun = COURSE_ASSIGNMENT
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    fields = {
        "completion_status": Computed(
            completion_status, reads={"started_at": "started_at", "completed_at": "completed_at"}
        )
    }
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("course_assignment.created"),
        Filled("started_at", "course_assignment.started"),
        Filled("completed_at", "course_assignment.completed"),
        Entered("assignment_status", {AssignmentStatus.CANCELLED: "course_assignment.cancelled"}),
        DatePassed("expires_at", EXPIRED),
        Reopened("course_assignment.reopened"),
        AnyOtherChange(PROGRESSED, field="progress"),
        AnyOtherChange("course_assignment.updated"),
        Deleted("course_assignment.deleted"),
    )
    deadline: ClassVar[Deadline | None] = Deadline("expires_at", expiring="course_assignment.expiring", expired=EXPIRED)
    closed_when = ClosedWhen(
        filled=("completed_at",),
        statuses=(
            ("completion_status", AssignmentCompletion.COMPLETE),
            ("assignment_status", AssignmentStatus.CANCELLED),
        ),
    )


class ActivityProgressSource(CourseAssignmentSource):
    """The progress of a learner in one activity of an assigned course: a row that is created at the start and changes.

    The events are events of the assignment. Its fields are read with the source of the model at ``assignment``, so
    that a host names only ``assignment`` and the paths of its activity.
    """

    assignment: ClassVar[str] = "assignment"
    owner: ClassVar[Any] = "assignment.user.organization"
    fields = {"activity.completed_at": "completed_at", "activity.score": "score"}
    rules: ClassVar[tuple[Rule, ...]] = (Created(PROGRESSED), AnyOtherChange(PROGRESSED))
    deadline: ClassVar[Deadline | None] = None
    # The rows are activities; the assignments have a source of their own.
    snapshot = False

    @property
    def custom_fields(self) -> tuple[CustomField, ...]:
        """Its own, and those of the assignment's source."""
        assigned = self.assignment_source
        return (*super().custom_fields, *(assigned.custom_fields if assigned is not None else ()))

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The assignment's fields, and those of the activity."""
        return (*super().all_fields, *ACTIVITY)

    @cached_property
    def time_zone_path(self) -> Path | None:
        """The path to the time zone, by which the assignment's own date is a moment."""
        source = self.assignment_source
        path = source.time_zone_path if source is not None and self.time_zone is None else None
        return joined(self.assignment, path) if path else self.time_zone

    @cached_property
    def due_field(self) -> str:
        """The assignment's date, which has no events here and is the same moment in its payloads."""
        return self.assignment_source.due_field if self.assignment_source is not None else ""

    def path_of(self, name: str) -> Path | None:
        """Return the path of a field of the activity, or of the assignment's field behind ``assignment``."""
        reference, _, _rest = name.partition(".")
        if reference == "activity" or not self.paths.keys().isdisjoint({name, reference}):
            return super().path_of(name)
        if self.assignment_source is None:
            return f"{self.assignment}.{'pk' if name == 'id' else name}"
        path = self.assignment_source.path_of(name)
        return joined(self.assignment, path) if path else None

    @property
    def assigned_model(self) -> type[models.Model] | None:
        """The model at ``assignment``; None if that is not a path of foreign keys."""
        return follow(self.model, self.assignment)

    @property
    def assignment_source(self) -> Source | None:
        """The source that reads the assignment; None if its model has none, which the checks report."""
        model = self.assigned_model
        for source in self._related.get(model, ()) if model else ():
            if source.noun is self.noun and not isinstance(source, ActivityProgressSource):
                return source
        return None
