"""The statuses of the training system, with the numbers of its API and the words of its pages."""

from __future__ import annotations

from django.db import models


class ConfirmationStatus(models.IntegerChoices):
    """How certain it is that a class takes place."""

    SCHEDULED = 0, "Scheduled"
    GUARANTEED_TO_RUN = 1, "Guaranteed to run"
    CANCELLED = 2, "Cancelled"
    RESCHEDULED = 3, "Rescheduled"
    TENTATIVE = 4, "Tentative"
    REQUESTED = 5, "Requested"
    DENIED = 6, "Denied"
    COMPLETED = 7, "Completed"


class DeliveryType(models.IntegerChoices):
    """Where a class is held."""

    PHYSICAL = 1, "Physical"
    VIRTUAL = 2, "Virtual"
    MIXED = 3, "Mixed"


class EnrollmentStatus(models.IntegerChoices):
    """Where a learner's place in a class stands."""

    REQUESTED = 0, "Requested"
    CANCELLED = 10, "Cancelled"
    WAITLISTED = 20, "Wait-listed"
    APPROVED = 30, "Approved"
    DENIED = 40, "Denied"
    AUDIT = 50, "Audit"
    ENROLLED = 60, "Enrolled"


class CompletionStatus(models.IntegerChoices):
    """How an enrolled learner did."""

    UNKNOWN = 0, "Unknown"
    ATTENDING = 10, "Attending"
    COMPLETE = 20, "Complete"
    INCOMPLETE = 30, "Incomplete"
    NO_SHOW = 40, "No show"
    FAILED = 50, "Failed"


class LocationType(models.IntegerChoices):
    """Where a learner attends a class."""

    TO_BE_DETERMINED = 0, "To be determined"
    CLASSROOM = 10, "Classroom"
    REMOTE_CLASSROOM = 20, "Remote classroom"
    VIRTUAL = 30, "Virtual"


class AssignmentStatus(models.IntegerChoices):
    """Whether a course assignment still stands."""

    ACTIVE = 0, "Active"
    CANCELLED = 10, "Cancelled"


class AssignmentCompletion(models.IntegerChoices):
    """How far a learner is with an assigned course; follows from its dates."""

    NOT_STARTED = 0, "Not started"
    INCOMPLETE = 10, "Incomplete"
    COMPLETE = 30, "Complete"


class ActivityType(models.IntegerChoices):
    """What a learner does in one step of a course."""

    SCORM_MODULE = 2, "SCORM module"
    LAB = 4, "Lab"
    SURVEY = 10, "Survey"
    INSTRUCTOR_SURVEY = 20, "Instructor survey"
    ORGANIZATION_SURVEY = 30, "Organization survey"
    EXTERNAL_LINK = 40, "External link"
    ASSESSMENT = 50, "Assessment"
    VIDEO = 60, "Video"
    DOCUMENT = 70, "Document"
    SECTION = 80, "Section"


class DurationUnit(models.IntegerChoices):
    """What a course's duration counts."""

    MINUTES = 0, "Minutes"
    HOURS = 1, "Hours"
    DAYS = 2, "Days"
    WEEKS = 3, "Weeks"


class AudienceLevel(models.TextChoices):
    """Whom a learning path is made for."""

    BEGINNER = "beginner", "Beginner"
    INTERMEDIATE = "intermediate", "Intermediate"
    ADVANCED = "advanced", "Advanced"


class ConditionSubject(models.IntegerChoices):
    """What a condition of an achievement counts."""

    LAB = 0, "Lab"
    COURSE = 10, "Course"
    COURSE_TAG = 20, "Course tag"
    USER_ACHIEVEMENT = 40, "User achievement"


class FrequencyType(models.TextChoices):
    """What an achievement's frequency limits."""

    PER_USER = "per_user", "Per user"
    PER_DAY = "per_day", "Per day"
    PER_ACHIEVEMENT = "per_achievement", "Per achievement"
