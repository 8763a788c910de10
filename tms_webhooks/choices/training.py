"""The statuses of a training system; the numbers are its API's own."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ClassStatus(models.IntegerChoices):
    """A class's confirmation status."""

    SCHEDULED = 0, _("Scheduled")
    GUARANTEED_TO_RUN = 1, _("Guaranteed To Run")
    CANCELLED = 2, _("Cancelled")
    RESCHEDULED = 3, _("Rescheduled")
    TENTATIVE = 4, _("Tentative")
    REQUESTED = 5, _("Requested")
    DENIED = 6, _("Denied")
    COMPLETED = 7, _("Completed")


class DeliveryType(models.IntegerChoices):
    """How a class is held."""

    PHYSICAL = 1, _("Physical")
    VIRTUAL = 2, _("Virtual")
    MIXED = 3, _("Mixed")


class EnrollmentStatus(models.IntegerChoices):
    """The status of a learner's enrollment in a class."""

    REQUEST = 0, _("Request")
    CANCEL = 10, _("Cancel")
    WAITLIST = 20, _("Waitlist")
    APPROVE = 30, _("Approve")
    DENY = 40, _("Deny")
    AUDIT = 50, _("Audit")
    ENROLL = 60, _("Enroll")


class CompletionStatus(models.IntegerChoices):
    """The completion status of an enrolled learner."""

    UNKNOWN = 0, _("Unknown")
    ATTENDING = 10, _("Attending")
    COMPLETE = 20, _("Complete")
    INCOMPLETE = 30, _("Incomplete")
    NO_SHOW = 40, _("No Show")
    FAILED = 50, _("Failed")


class AssignmentCompletion(models.IntegerChoices):
    """The progress of a learner in an assigned course; derived from its dates, never stored."""

    NOT_STARTED = 0, _("Not Started")
    INCOMPLETE = 10, _("Incomplete")
    COMPLETE = 30, _("Complete")


class AssignmentStatus(models.IntegerChoices):
    """The status of a course assignment. The real system publishes the names only, not the numbers."""

    ACTIVE = 0, _("Active")
    CANCELLED = 10, _("Cancelled")


class LocationType(models.IntegerChoices):
    """Where a learner attends a class."""

    TO_BE_DETERMINED = 0, _("To Be Determined")
    CLASSROOM = 10, _("Classroom")
    REMOTE_CLASSROOM = 20, _("Remote Classroom")
    VIRTUAL = 30, _("Virtual")


class ActivityType(models.IntegerChoices):
    """What a learner does in one step of a course."""

    SCORM_MODULE = 2, _("Scorm Module")
    LAB = 4, _("Lab")
    SURVEY = 10, _("Survey")
    INSTRUCTOR_SURVEY = 20, _("Instructor Survey")
    ORGANIZATION_SURVEY = 30, _("Organization Survey")
    EXTERNAL_LINK = 40, _("External Link")
    ASSESSMENT = 50, _("Assessment")
    VIDEO = 60, _("Video")
    DOCUMENT = 70, _("Document")
    SECTION = 80, _("Section")
