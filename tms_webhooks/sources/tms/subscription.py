"""Subscriptions of learners to a library of courses (the real system's club memberships)."""

from __future__ import annotations

from tms_webhooks.catalogue.types.subscription import SUBSCRIPTION
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.rules import Created, Deleted, Filled, Otherwise, Passed, Reopened

EXPIRED = "subscription.expired"


class SubscriptionSource(Source):
    """A learner's subscription. A cancelled subscription does not expire."""

    noun = SUBSCRIPTION
    organization = "user.organization"
    owned_by_learner = True
    rules = (
        Created("subscription.created"),
        Filled("cancelled_at", "subscription.cancelled"),
        Passed("expires_at", EXPIRED),
        Reopened("subscription.reopened"),
        Otherwise("subscription.updated"),
        Deleted("subscription.deleted"),
    )
    deadline = Deadline("expires_at", expiring="subscription.expiring", expired=EXPIRED)
    closed_when = ClosedWhen(filled=("cancelled_at",))
