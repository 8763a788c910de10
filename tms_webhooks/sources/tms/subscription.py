"""Subscriptions of learners to many courses at once (the real system's club memberships)."""

from __future__ import annotations

from tms_webhooks.catalogue.types.subscription import SUBSCRIPTION
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.rules import Created, Filled, Passed

EXPIRED = "subscription.expired"


class SubscriptionSource(Source):
    """One learner's subscription. One that is cancelled does not expire."""

    noun = SUBSCRIPTION
    organization = "user.organization"
    owned_by_learner = True
    rules = (
        Created("subscription.created"),
        Filled("cancelled_at", "subscription.cancelled"),
        Passed("expires_at", EXPIRED),
    )
    deadline = Deadline("expires_at", expiring="subscription.expiring", expired=EXPIRED)
    closing = ClosedWhen(moments=("cancelled_at",))
