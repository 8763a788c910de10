"""Course assignments: their states follow from dates, and time itself makes two of their events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.db import models

from tms_webhooks.catalogue.schema import Field
from tms_webhooks.catalogue.types.course_assignment import ACTIVITY, COURSE_ASSIGNMENT
from tms_webhooks.choices import AssignmentCompletion, AssignmentStatus
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.mapping import follow
from tms_webhooks.sources.rules import Changed, Created, Entered, Filled, Moved, Passed, Rule

EXPIRED = "course_assignment.expired"
PROGRESSED = "course_assignment.progressed"


class CourseAssignmentSource(Source):
    """One course for one learner. Needs ``started_at``, ``completed_at`` and an indexed ``expires_at``.

    An assignment that counts its own ``progress`` tells of it; for one row an activity see `ActivityProgressSource`.
    """

    noun = COURSE_ASSIGNMENT
    organization = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("course_assignment.created"),
        Filled("started_at", "course_assignment.started"),
        Filled("completed_at", "course_assignment.completed"),
        Entered("assignment_status", {AssignmentStatus.CANCELLED: "course_assignment.cancelled"}),
        Passed("expires_at", EXPIRED),
        Moved("progress", PROGRESSED, optional=True),
    )
    deadline: ClassVar[Deadline | None] = Deadline("expires_at", expiring="course_assignment.expiring", expired=EXPIRED)
    closing = ClosedWhen(
        moments=("completed_at",),
        statuses=(
            ("completion_status", AssignmentCompletion.COMPLETE),
            ("assignment_status", AssignmentStatus.CANCELLED),
        ),
    )

    def derived(self, values: dict[str, Any]) -> Mapping[str, Any]:
        """Add the completion status, which no training system stores: it follows from the dates."""
        if "started_at" not in values or "completed_at" not in values:
            return {}
        if values["completed_at"] is not None:
            return {"completion_status": AssignmentCompletion.COMPLETE.value}
        started = values["started_at"] is not None
        return {
            "completion_status": (
                AssignmentCompletion.INCOMPLETE if started else AssignmentCompletion.NOT_STARTED
            ).value
        }

    def supplies(self) -> Collection[str]:
        """Name the completion status where there are the two dates that it follows from."""
        return ("completion_status",) if {"started_at", "completed_at"} <= self.mapped.keys() else ()


class ActivityProgressSource(CourseAssignmentSource):
    """How far a learner is with one activity of an assigned course: a row that appears when it is begun, and changes.

    It tells of the assignment, which it reads by the source that is registered for the model behind ``assignment``; a
    host names only that, and what its activity is called.
    """

    assignment: ClassVar[str] = "assignment"
    organization = "assignment.user.organization"
    fields = {"activity.completed_at": "completed_at", "activity.score": "score"}
    rules = (Created(PROGRESSED), Changed(PROGRESSED))
    deadline = None

    @cached_property
    def all_fields(self) -> tuple[Field, ...]:
        """The assignment's fields, and those of the activity."""
        return (*super().all_fields, *ACTIVITY)

    def path_of(self, name: str) -> str:
        """Return the path of the assignment's own field behind ``assignment``, and that of anything else as it is."""
        reference, _, _rest = name.partition(".")
        if reference == "activity" or not self.paths.keys().isdisjoint({name, reference}):
            return super().path_of(name)
        if self.read_by is None:
            return f"{self.assignment}.{'pk' if name == 'id' else name}"
        path = self.read_by.path_of(name)
        return f"{self.assignment}.{path}" if path else ""

    @property
    def assigned_model(self) -> type[models.Model] | None:
        """The model behind ``assignment``; None where that is no path of foreign keys."""
        return follow(self.model, self.assignment)

    @property
    def read_by(self) -> Source | None:
        """The source that knows how to read an assignment, which must not ask this one again; None as a check tells."""
        model = self.assigned_model
        for source in self._related.get(model, ()) if model else ():
            if source.noun is self.noun and not isinstance(source, ActivityProgressSource):
                return source
        return None
