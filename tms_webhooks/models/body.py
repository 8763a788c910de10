"""The body of a delivery where it differs from the event's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from tms_webhooks.db import sql
from tms_webhooks.models.delivery import Delivery


class DeliveryBodyQuerySet(models.QuerySet["DeliveryBody"]):
    """Filters for bodies."""

    def of_events(self, events: Iterable[int]) -> DeliveryBodyQuerySet:
        """Keep those of deliveries of these events."""
        return self.filter(delivery__in=Delivery._base_manager.using(self.db).filter(event__in=events).values("pk"))


_DeliveryBodyManager = models.Manager.from_queryset(DeliveryBodyQuerySet)


class DeliveryBodyManager(_DeliveryBodyManager["DeliveryBody"]):
    """Writes bodies in bulk."""

    def store(self, rows: Collection[DeliveryBody]) -> None:
        """Insert these bodies, and replace those that exist."""
        # MariaDB and MySQL check every unique key, and take no column names.
        takes_names = sql.database().features.supports_update_conflicts_with_target
        with transaction.atomic(using=router.db_for_write(DeliveryBody)):
            self.bulk_create(
                rows,
                update_conflicts=True,
                update_fields=["content_type", "body"],
                unique_fields=["delivery"] if takes_names else None,
            )


class DeliveryBody(models.Model):
    """One event in the format of one webhook: rendered once, and sent with every attempt.

    A webhook with the standard format has none, and gets the body of the event. An empty ``content_type`` means that
    rendering failed; it is tried again when the delivery is replayed.

    ``merged`` is set for a delivery that carries several events of a quiet period. It is the event in the standard
    format, from which the body is rendered. It replaces the body of the delivery's own event.
    """

    # No constraint in the database, as on `Delivery.event`.
    delivery = models.OneToOneField(
        Delivery, on_delete=models.CASCADE, primary_key=True, related_name="+", db_constraint=False
    )
    content_type = models.CharField(max_length=255, blank=True, default="")
    body = models.TextField(blank=True, default="")
    merged = models.TextField(blank=True, default="")

    if TYPE_CHECKING:
        delivery_id: int

    objects = DeliveryBodyManager()

    class Meta:
        verbose_name = _("delivery body")
        verbose_name_plural = _("delivery bodies")

    def __str__(self) -> str:
        return f"body of delivery {self.delivery_id}"

    @property
    def stored(self) -> str:
        """The body as it was rendered, or the merged event before that; empty if rendering failed."""
        return self.body if self.content_type else self.merged
