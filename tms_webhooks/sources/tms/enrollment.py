"""Enrollments, with their two independent statuses."""

from __future__ import annotations

from typing import Any, ClassVar

from tms_webhooks.catalogue.types.enrollment import ENROLLMENT
from tms_webhooks.choices import CompletionStatus, EnrollmentStatus
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import AnyOtherChange, Deleted, Entered, Rule


class EnrollmentSource(Source):
    """A learner's place in a class. ``owner`` is the organization that owns the class."""

    noun = ENROLLMENT
    owner: ClassVar[Any] = "training_class.organization"
    learner: ClassVar[Any] = "user.organization"
    fields = {"class": "training_class", "course": "training_class.course"}
    rules: ClassVar[tuple[Rule, ...]] = (
        Entered(
            "status",
            {
                EnrollmentStatus.REQUEST: "enrollment.requested",
                EnrollmentStatus.CANCEL: "enrollment.cancelled",
                EnrollmentStatus.WAITLIST: "enrollment.waitlisted",
                EnrollmentStatus.APPROVE: "enrollment.approved",
                EnrollmentStatus.DENY: "enrollment.denied",
                EnrollmentStatus.AUDIT: "enrollment.audited",
                EnrollmentStatus.ENROLL: "enrollment.enrolled",
            },
        ),
        Entered(
            "completion_status",
            {
                CompletionStatus.ATTENDING: "enrollment.attending",
                CompletionStatus.COMPLETE: "enrollment.completed",
                CompletionStatus.INCOMPLETE: "enrollment.incomplete",
                CompletionStatus.NO_SHOW: "enrollment.no_show",
                CompletionStatus.FAILED: "enrollment.failed",
            },
        ),
        AnyOtherChange("enrollment.updated"),
        Deleted("enrollment.deleted"),
    )
