"""How a host's models become events. A host imports what it needs from here, in its ``webhooks.py``."""

from __future__ import annotations

from tms_webhooks.sources.base import Source
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
