"""Read the newest attempts, and then those that are recorded later."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from django.db.models import F, QuerySet

from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.db.lookups import key_in
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook
from tms_webhooks.models.webhook import heavy_columns

KEY_OVERLAP = 500
"""Keys are assigned before the commit: an attempt may appear with a key lower than one that was already returned."""
MAX_NEW = 1_000
BATCH = 1_000
MOST_WEBHOOKS = 100
MOST_READ = 10_000
"""Of the newest attempts, and of the newest deliveries of a webhook or organization."""


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
        """Return the newest attempts, oldest first. Call it first, once."""
        self._newest = DeliveryAttempt.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        recent = DeliveryAttempt.objects.filter(pk__gt=self._newest - KEY_OVERLAP).values_list("pk", flat=True)
        self._returned = set(recent)
        if not count:
            return []
        if not self._where:
            found = list(DeliveryAttempt.objects.order_by("-pk").values_list("pk", flat=True)[:count])
        elif len(found := self._among_newest(count, webhooks := self._webhooks())) < count:
            # One webhook after the other: MariaDB would read and sort all deliveries of the organization.
            served_last = webhooks[:MOST_WEBHOOKS]
            older = (_of_webhook(pk, count, most=MOST_READ // len(served_last)) for pk in served_last)
            found = sorted({*found, *chain.from_iterable(older)})[-count:]
        return list(self._rows().filter(key_in(found)).order_by("pk"))

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

    def _among_newest(self, count: int, webhooks: Collection[int]) -> list[int]:
        """Return the keys of this many attempts of these webhooks, if the newest of all webhooks have so many."""
        # By primary keys: a join might read all deliveries of the webhooks.
        chosen = frozenset(webhooks)
        found: list[int] = []
        for end in range(self._newest, max(0, self._newest - MOST_READ), -BATCH):
            batch = DeliveryAttempt.objects.filter(pk__gt=end - BATCH, pk__lte=end).order_by("-pk")
            deliveries = dict(batch.values_list("pk", "delivery"))
            rows = (
                Delivery.objects.among(set(deliveries.values())).order_by() if deliveries else Delivery.objects.none()
            )
            matching = {pk for pk, webhook in rows.values_list("pk", "webhook") if webhook in chosen}
            found += [pk for pk, delivery in deliveries.items() if delivery in matching]
            if len(found) >= count:
                break
        return found[:count]

    def _webhooks(self) -> Sequence[int]:
        """Return the keys of the chosen webhooks, those first that were served last."""
        if "webhook" in self._where:
            return [self._where["webhook"]]
        own = Webhook.objects.filter(organization=self._where["webhook__organization"])
        served_last = own.order_by(F("state__served_at").desc(nulls_last=True))
        return list(served_last.values_list("pk", flat=True))

    def _rows(self) -> QuerySet[DeliveryAttempt]:
        return DeliveryAttempt.objects.select_related("delivery__event", "delivery__webhook").defer(
            "response_headers",
            "response_body",
            "delivery__event__body",
            *heavy_columns("delivery__webhook"),
        )


def _of_webhook(webhook: int, count: int, *, most: int) -> Sequence[int]:
    """Return the keys of the newest attempts of a webhook's newest tried deliveries, and of those that are retried."""
    # Attempts have no index by webhook. In an outage, the newest deliveries are queued and untried.
    own = Delivery.objects.filter(webhook=webhook)
    newest = own.order_by("-pk").values_list("pk", "attempts")[: count + most]
    tried = [pk for pk, attempts in newest if attempts][:count]
    retried = own.filter(status=DeliveryStatus.WAITING, due_at__isnull=False).order_by("-due_at")
    deliveries = {*tried, *retried.values_list("pk", flat=True)[:count]}
    rows = DeliveryAttempt.objects.filter(delivery__in=deliveries).order_by("-pk")
    return list(rows.values_list("pk", flat=True)[:count])
