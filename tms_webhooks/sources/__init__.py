"""Declare which changes of a host's models are events. A host's ``webhooks.py`` and ``models.py`` import from here."""

from __future__ import annotations

from tms_webhooks.computed import Computed, Constant, First, Not
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.custom import Custom
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.registry import register
from tms_webhooks.sources.rules import (
    AnyChange,
    AnyOtherChange,
    Change,
    Cleared,
    Created,
    DatePassed,
    Deleted,
    Entered,
    FieldChanged,
    Filled,
    PlannedEvent,
    Reopened,
    Rule,
)
from tms_webhooks.sources.tms import (
    AchievementSource,
    ActivityProgressSource,
    ClassSource,
    ComputedLearningPathSource,
    CourseAssignmentSource,
    EnrollmentSource,
    FeedbackSource,
    LearningPathSource,
    SubscriptionSource,
    UserSource,
    VoucherSource,
)

__all__ = [
    "AchievementSource",
    "ActivityProgressSource",
    "AnyChange",
    "AnyOtherChange",
    "Change",
    "ClassSource",
    "Cleared",
    "ClosedWhen",
    "Computed",
    "ComputedLearningPathSource",
    "Constant",
    "CourseAssignmentSource",
    "Created",
    "Custom",
    "DatePassed",
    "Deadline",
    "Deleted",
    "EnrollmentSource",
    "Entered",
    "FeedbackSource",
    "FieldChanged",
    "Filled",
    "First",
    "LearningPathSource",
    "Not",
    "PlannedEvent",
    "Reopened",
    "Rule",
    "Source",
    "SubscriptionSource",
    "UserSource",
    "VoucherSource",
    "register",
]
