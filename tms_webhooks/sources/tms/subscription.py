"""Subscriptions of learners to many courses at once (the real system's club memberships)."""

from __future__ import annotations

from tms_webhooks.catalogue.types.subscription import SUBSCRIPTION
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.rules import Created, Filled


class SubscriptionSource(Source):
    """One learner's subscription."""

    noun = SUBSCRIPTION
    organization = "user.organization"
    rules = (
        Created("subscription.created"),
        Filled("cancelled_at", "subscription.cancelled"),
    )
