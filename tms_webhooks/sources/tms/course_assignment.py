"""Course assignments: their states follow from dates, and time itself makes two of their events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db.models import IntegerChoices, Q

from tms_webhooks.catalogue.types.course_assignment import COURSE_ASSIGNMENT
from tms_webhooks.choices import AssignmentCompletion, AssignmentStatus
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models.event import subject_key
from tms_webhooks.sources.base import Source, Told
from tms_webhooks.sources.deadlines import Deadline, expired_key
from tms_webhooks.sources.rules import Change, Created, Entered, Filled, Passed

EXPIRED = "course_assignment.expired"


class CourseAssignmentSource(Source):
    """One course for one learner. Needs ``started_at``, ``completed_at`` and an indexed ``expires_at``."""

    noun = COURSE_ASSIGNMENT
    organization = "user.organization"
    rules = (
        Created("course_assignment.created"),
        Filled("started_at", "course_assignment.started"),
        Filled("completed_at", "course_assignment.completed"),
        Entered("assignment_status", {AssignmentStatus.CANCELLED: "course_assignment.cancelled"}),
        Passed("expires_at", EXPIRED),
    )
    deadline = Deadline("expires_at", expiring="course_assignment.expiring", expired=EXPIRED)

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

    def tells(self, change: Change) -> Iterable[Told]:
        """Tell of an expiry only while the assignment is open, and once for each date."""
        for told in super().tells(change):
            if told.event_type != EXPIRED:
                yield told
            elif self.is_open(change.after):
                expires_at = change.after["expires_at"]
                once = expired_key(EXPIRED, subject_key(change.after["id"]), expires_at)
                yield Told(EXPIRED, once=once, deadline=expires_at)

    def is_open(self, values: Mapping[str, Any]) -> bool:
        """Return whether an assignment can still expire: it is neither complete nor cancelled."""
        complete = values.get("completion_status") == AssignmentCompletion.COMPLETE
        cancelled = values.get("assignment_status") == AssignmentStatus.CANCELLED
        return values.get("completed_at") is None and not complete and not cancelled

    def open_rows(self) -> Q:
        """Return the same as a filter of the host's model, as far as its own row tells."""
        rows = Q()
        if "completed_at" in self.own:
            rows &= Q(**{f"{self.own['completed_at'].lookup}__isnull": True})
        else:
            rows &= self._without("completion_status", AssignmentCompletion.COMPLETE)
        return rows & self._without("assignment_status", AssignmentStatus.CANCELLED)

    def _without(self, name: str, member: IntegerChoices) -> Q:
        """Return a filter that leaves out the host's own values for a status."""
        if name not in self.own:
            return Q()
        mapping = self.status_mapping(name)
        values = mapping or self.host_choices(name) or [member.value]
        return ~Q(**{f"{self.own[name].lookup}__in": [value for value in values if self._means(name, value, member)]})

    def _means(self, name: str, value: Any, member: IntegerChoices) -> bool:
        try:
            return self.status(name, value) == member
        except PayloadError:
            # A value that means nothing does not mean this.
            return False
