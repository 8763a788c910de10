"""Subscriptions of learners to a library of courses (the real system's club memberships)."""

from __future__ import annotations

from typing import Any, ClassVar

from tms_webhooks.catalogue.types.subscription import SUBSCRIPTION
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.rules import AnyOtherChange, Created, DatePassed, Deleted, Filled, Reopened, Rule

EXPIRED = "subscription.expired"


class SubscriptionSource(Source):
    """A learner's subscription. A cancelled subscription does not expire."""

    noun = SUBSCRIPTION
    owner: ClassVar[Any] = "user.organization"
    owned_by_learner = True
    rules: ClassVar[tuple[Rule, ...]] = (
        Created("subscription.created"),
        Filled("cancelled_at", "subscription.cancelled"),
        DatePassed("expires_at", EXPIRED),
        Reopened("subscription.reopened"),
        AnyOtherChange("subscription.updated"),
        Deleted("subscription.deleted"),
    )
    deadline: ClassVar[Deadline | None] = Deadline("expires_at", expiring="subscription.expiring", expired=EXPIRED)
    closed_when = ClosedWhen(filled=("cancelled_at",))
