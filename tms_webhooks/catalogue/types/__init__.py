"""The built-in event types, one module per noun. Importing the package registers them, in the order of the reference."""

from __future__ import annotations

from tms_webhooks.catalogue.registry import all_types, register
from tms_webhooks.catalogue.types import (
    achievement,
    course_assignment,
    enrollment,
    feedback,
    learning_path,
    referenced,
    subscription,
    training_class,
    user,
    voucher,
    webhook,
)

for _event_type in (
    *training_class.EVENT_TYPES,
    *feedback.EVENT_TYPES,
    *course_assignment.EVENT_TYPES,
    *subscription.EVENT_TYPES,
    *enrollment.EVENT_TYPES,
    *user.EVENT_TYPES,
    *learning_path.EVENT_TYPES,
    *achievement.EVENT_TYPES,
    *voucher.EVENT_TYPES,
    *referenced.EVENT_TYPES,
    *webhook.EVENT_TYPES,
):
    register(_event_type)

# All built-in event types, with those of snapshots.
BUILT_IN = tuple(all_types())
