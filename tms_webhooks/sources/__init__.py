"""Declare which changes of a host's models are events. A host's ``webhooks.py`` and ``models.py`` import from here."""

from __future__ import annotations

from tms_webhooks.computed import Computed, Constant, First, Not, Row
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.custom import Custom
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.registry import register
from tms_webhooks.sources.rules import (
    Change,
    Changed,
    Cleared,
    Created,
    Deleted,
    Entered,
    Filled,
    Moved,
    Otherwise,
    Passed,
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
    "Change",
    "Changed",
    "ClassSource",
    "Cleared",
    "ClosedWhen",
    "Computed",
    "ComputedLearningPathSource",
    "Constant",
    "CourseAssignmentSource",
    "Created",
    "Custom",
    "Deadline",
    "Deleted",
    "EnrollmentSource",
    "Entered",
    "FeedbackSource",
    "Filled",
    "First",
    "LearningPathSource",
    "Moved",
    "Not",
    "Otherwise",
    "Passed",
    "PlannedEvent",
    "Reopened",
    "Row",
    "Rule",
    "Source",
    "SubscriptionSource",
    "UserSource",
    "VoucherSource",
    "register",
]
