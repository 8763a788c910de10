"""A source class for each noun of a training system: its rules, and the usual paths of its fields."""

from __future__ import annotations

from tms_webhooks.sources.tms.achievement import AchievementSource
from tms_webhooks.sources.tms.course_assignment import ActivityProgressSource, CourseAssignmentSource
from tms_webhooks.sources.tms.enrollment import EnrollmentSource
from tms_webhooks.sources.tms.feedback import FeedbackSource
from tms_webhooks.sources.tms.learning_path import ComputedLearningPathSource, LearningPathSource
from tms_webhooks.sources.tms.subscription import SubscriptionSource
from tms_webhooks.sources.tms.training_class import ClassSource
from tms_webhooks.sources.tms.user import UserSource
from tms_webhooks.sources.tms.voucher import VoucherSource

__all__ = [
    "AchievementSource",
    "ActivityProgressSource",
    "ClassSource",
    "ComputedLearningPathSource",
    "CourseAssignmentSource",
    "EnrollmentSource",
    "FeedbackSource",
    "LearningPathSource",
    "SubscriptionSource",
    "UserSource",
    "VoucherSource",
]
