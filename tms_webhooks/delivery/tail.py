"""The newest attempts, and those after them as they are written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from tms_webhooks.models import Delivery, DeliveryAttempt

LOOK_BEHIND = 500
"""Keys are handed out before a transaction is committed: an attempt may turn up behind those that were seen."""
MOST_AT_ONCE = 1_000


class Tail:
    """The attempts of one webhook, of one organization's webhooks, or of all; each is returned once."""

    def __init__(self, *, webhook: int | None = None, organization: Any = None) -> None:
        self._where: dict[str, Any] = {}
        if webhook is not None:
            self._where["webhook"] = webhook
        if organization is not None:
            self._where["webhook__organization"] = organization
        self._seen: set[int] = set()
        self._newest = 0

    def last(self, count: int) -> Sequence[DeliveryAttempt]:
        """Return the newest attempts of the newest deliveries, oldest first; what was before counts as seen."""
        self._newest = DeliveryAttempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        recent = list(DeliveryAttempt.objects.filter(pk__gt=self._newest - LOOK_BEHIND).values_list("pk", flat=True))
        self._seen = set(recent)
        if not count:
            return []
        # By way of the deliveries, which have an index by webhook: the log itself may have millions of others'.
        deliveries = Delivery.objects.filter(**self._where).order_by("-pk").values_list("pk", flat=True)[:count]
        rows = self._rows().filter(delivery__in=list(deliveries)).order_by("-pk")[:count]
        return list(reversed(rows))

    def new(self) -> Sequence[DeliveryAttempt]:
        """Return what was written down since the last call, in the order in which it was begun to be written."""
        floor = self._newest - LOOK_BEHIND
        where = {f"delivery__{name}": value for name, value in self._where.items()}
        found = self._rows().filter(pk__gt=floor, **where).order_by("pk")[: MOST_AT_ONCE + LOOK_BEHIND]
        fresh = [row for row in found if row.pk not in self._seen]
        self._seen.update(row.pk for row in fresh)
        self._newest = max((row.pk for row in fresh), default=self._newest)
        self._seen = {pk for pk in self._seen if pk > self._newest - LOOK_BEHIND}
        return fresh

    def _rows(self) -> QuerySet[DeliveryAttempt]:
        return DeliveryAttempt.objects.select_related("delivery__event", "delivery__webhook").defer(
            "response_body", "delivery__event__body", "delivery__webhook__headers", "delivery__webhook__content"
        )
