"""The body of a delivery where it is not the event's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from django.db import models, router, transaction
from django.utils.translation import gettext_lazy as _

from tms_webhooks.db import sql
from tms_webhooks.models.delivery import Delivery


class DeliveryBodyQuerySet(models.QuerySet["DeliveryBody"]):
    """Bodies by what they are of."""

    def of_events(self, events: Iterable[int]) -> DeliveryBodyQuerySet:
        """Keep those that tell of these events."""
        return self.filter(delivery__in=Delivery._base_manager.using(self.db).filter(event__in=events).values("pk"))


_DeliveryBodyManager = models.Manager.from_queryset(DeliveryBodyQuerySet)


class DeliveryBodyManager(_DeliveryBodyManager["DeliveryBody"]):
    """Writes many bodies at once."""

    def keep(self, rows: Collection[DeliveryBody]) -> None:
        """Write these bodies; one that a delivery has already is replaced."""
        # MariaDB and MySQL look at every key, and take no names of columns.
        named = sql.database().features.supports_update_conflicts_with_target
        with transaction.atomic(using=router.db_for_write(DeliveryBody)):
            self.bulk_create(
                rows,
                update_conflicts=True,
                update_fields=["content_type", "body"],
                unique_fields=["delivery"] if named else None,
            )


class DeliveryBody(models.Model):
    """What one webhook is told of one event, in its own format: written once, and sent with every attempt.

    A webhook of the standard format needs none: it gets the body of the event. Where ``content_type`` is empty the body
    could not be made, and is made anew should the delivery be sent again.
    """

    # No constraint in the database, as on the delivery's own event.
    delivery = models.OneToOneField(
        Delivery,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="+",
        db_constraint=False,
        verbose_name=_("delivery"),
    )
    content_type = models.CharField(_("content type"), max_length=255, blank=True, default="")
    body = models.TextField(_("body"), blank=True, default="")

    if TYPE_CHECKING:
        delivery_id: int

    objects = DeliveryBodyManager()

    class Meta:
        verbose_name = _("delivery body")
        verbose_name_plural = _("delivery bodies")

    def __str__(self) -> str:
        return f"body of delivery {self.delivery_id}"
