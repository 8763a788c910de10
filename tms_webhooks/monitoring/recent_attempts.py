"""Read the newest attempts, and then those that are recorded later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.models.webhook import heavy_columns

KEY_OVERLAP = 500
"""Keys are assigned before the commit: an attempt may appear with a key lower than one that was already returned."""
MAX_NEW = 1_000


class RecentAttempts:
    """The attempts of one webhook, of one organization's webhooks, or of all. Each attempt is returned once."""

    def __init__(self, *, webhook: int | None = None, organization: Any = None) -> None:
        self._where: dict[str, Any] = {}
        if webhook is not None:
            self._where["webhook"] = webhook
        if organization is not None:
            self._where["webhook__organization"] = organization
        self._returned: set[int] = set()
        self._newest = 0

    def latest(self, count: int) -> Sequence[DeliveryAttempt]:
        """Return the newest attempts of the newest deliveries, oldest first. Call it first, once."""
        self._newest = DeliveryAttempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        recent = DeliveryAttempt.objects.filter(pk__gt=self._newest - KEY_OVERLAP).values_list("pk", flat=True)
        self._returned = set(recent)
        if not count:
            return []
        # Deliveries have an index by webhook; attempts have none, and there may be millions of other webhooks' attempts.
        deliveries = Delivery.objects.filter(**self._where).order_by("-pk").values_list("pk", flat=True)[:count]
        rows = self._rows().filter(delivery__in=list(deliveries)).order_by("-pk")[:count]
        return list(reversed(rows))

    def new(self) -> Sequence[DeliveryAttempt]:
        """Return the attempts that were recorded since the last call, by key."""
        floor = self._newest - KEY_OVERLAP
        where = {f"delivery__{name}": value for name, value in self._where.items()}
        found = self._rows().filter(pk__gt=floor, **where).order_by("pk")[: MAX_NEW + KEY_OVERLAP]
        new = [row for row in found if row.pk not in self._returned]
        self._returned.update(row.pk for row in new)
        self._newest = max((row.pk for row in new), default=self._newest)
        self._returned = {pk for pk in self._returned if pk > self._newest - KEY_OVERLAP}
        return new

    def _rows(self) -> QuerySet[DeliveryAttempt]:
        return DeliveryAttempt.objects.select_related("delivery__event", "delivery__webhook").defer(
            "response_headers",
            "response_body",
            "delivery__event__body",
            *heavy_columns("delivery__webhook"),
        )
