"""Declare which changes of a host's models are events. A host's ``webhooks.py`` and ``models.py`` import from here."""

from __future__ import annotations

from tms_webhooks.sources.base import Source
from tms_webhooks.sources.custom import Custom
from tms_webhooks.sources.querysets import WebhookManager, WebhookQuerySet
from tms_webhooks.sources.registry import register
from tms_webhooks.sources.rules import Changed, Created, Deleted, Entered, Filled, Moved, Passed, Rule
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
    "Changed",
    "ClassSource",
    "ComputedLearningPathSource",
    "CourseAssignmentSource",
    "Created",
    "Custom",
    "Deleted",
    "EnrollmentSource",
    "Entered",
    "FeedbackSource",
    "Filled",
    "LearningPathSource",
    "Moved",
    "Passed",
    "Rule",
    "Source",
    "SubscriptionSource",
    "UserSource",
    "VoucherSource",
    "WebhookManager",
    "WebhookQuerySet",
    "register",
]
