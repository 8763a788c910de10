"""One event on its way to one webhook."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import DeliveryStatus, ErrorClass, Priority
from tms_webhooks.db import sql
from tms_webhooks.db.lookups import key_in
from tms_webhooks.models.event import Event
from tms_webhooks.models.webhook import Webhook

OPEN = (DeliveryStatus.PENDING, DeliveryStatus.WAITING, DeliveryStatus.IN_FLIGHT)
FINISHED = (
    DeliveryStatus.DELIVERED,
    DeliveryStatus.EXHAUSTED,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
    DeliveryStatus.CANCELLED,
)


LEASE = """
UPDATE {delivery} SET status = 'in_flight', lease = %s, due_at = %s WHERE id IN ({ids}) AND due_at <= %s"""

DELIVERED = """status = 'delivered', lease = '', due_at = NULL, finished_at = {now}, error_class = '',
    attempts = attempts + 1, charged = charged + 1"""

MARK_DELIVERED = f"""
UPDATE {{delivery}} SET {DELIVERED.format(now="%s")}
WHERE id IN ({{ids}}) AND status = 'in_flight' AND lease = %s{{tried}}"""  # noqa: S608 (names of ours)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries by where they stand, and the changes that a worker makes to many at once."""

    def open(self) -> DeliveryQuerySet:
        """Keep those that still have somewhere to go."""
        return self.filter(due_at__isnull=False)

    def among(self, ids: Iterable[int]) -> DeliveryQuerySet:
        """Keep those with these keys."""
        return self.filter(key_in(ids))

    def due(self, now: datetime) -> DeliveryQuerySet:
        """Keep those that a worker may claim: due, or held under a lease that ran out."""
        return self.filter(due_at__lte=now)

    def born_before(self, moment: datetime) -> DeliveryQuerySet:
        """Keep those whose life, which begins anew with a replay, began before ``moment``."""
        return self.filter(Q(reopened_at__lt=moment) | Q(reopened_at__isnull=True, created_at__lt=moment))

    def held(self, token: str) -> DeliveryQuerySet:
        """Keep those that the claim with this token holds still."""
        return self.filter(status=DeliveryStatus.IN_FLIGHT, lease=token)

    def renew(self, *, token: str, until: datetime) -> int:
        """Extend the leases that ``token`` holds still; another worker's claim is left alone."""
        return self.held(token).update(due_at=until)

    def release(self, *, token: str, now: datetime) -> int:
        """Give back what ``token`` holds and never sent."""
        tried = self.held(token).filter(attempts__gt=0).update(status=DeliveryStatus.WAITING, lease="", due_at=now)
        fresh = self.held(token).update(status=DeliveryStatus.PENDING, lease="", due_at=now)
        return tried + fresh

    def lapse(self, *, now: datetime) -> int:
        """Take back those whose lease ran out, as `release` does: no worker has to come for them to be finished."""
        expired = self.due(now).filter(status=DeliveryStatus.IN_FLIGHT)
        tried = expired.filter(attempts__gt=0).update(status=DeliveryStatus.WAITING, lease="")
        return tried + expired.update(status=DeliveryStatus.PENDING, lease="")

    def skip(self, *, now: datetime) -> int:
        """Finish those that no worker holds as skipped: their webhook is disabled. What is resent by hand goes out."""
        return self.exclude(priority=Priority.MANUAL)._finish(DeliveryStatus.SKIPPED, now=now)

    def cancel(self, *, now: datetime) -> int:
        """Call off those that no worker holds; what is in flight can't be called back."""
        return self._finish(DeliveryStatus.CANCELLED, now=now)

    def exhaust(self, *, now: datetime) -> int:
        """Give up those that no worker holds: their life is over."""
        return self._finish(DeliveryStatus.EXHAUSTED, now=now)

    def reopen(self, *, now: datetime, priority: Priority) -> int:
        """Make finished ones due again, with all their retries before them; return how many."""
        return self.filter(status__in=FINISHED).update(
            status=DeliveryStatus.PENDING,
            due_at=now,
            reopened_at=now,
            finished_at=None,
            charged=0,
            priority=priority,
            error_class="",
        )

    def _finish(self, status: DeliveryStatus, *, now: datetime) -> int:
        # `open` says nothing new, and names the index: the finished ones of a webhook are many.
        return (
            self.open()
            .filter(status__in=(DeliveryStatus.PENDING, DeliveryStatus.WAITING))
            .update(status=status, due_at=None, finished_at=now)
        )


_DeliveryManager = models.Manager.from_queryset(DeliveryQuerySet)


class DeliveryManager(_DeliveryManager["Delivery"]):
    """The two changes that every batch makes."""

    def lease(self, ids: Collection[int], *, token: str, now: datetime, until: datetime) -> int:
        """Lease those of these that are due to the holder of ``token`` until ``until``; return how many."""
        params = [token, sql.moment(until), sql.moment(now)]
        return sql.write(LEASE, params, ids=sql.numbers(ids))

    def mark_delivered(self, ids: Collection[int], *, token: str, now: datetime, attempts: int | None = None) -> int:
        """Finish those of these that ``token`` holds, and that had so many ``attempts``: the receiver took them."""
        tried = "" if attempts is None else f" AND attempts = {int(attempts)}"
        params = [sql.moment(now), token]
        return sql.write(MARK_DELIVERED, params, ids=sql.numbers(ids), tried=tried)


class Delivery(models.Model):
    """One event on its way to one webhook.

    ``due_at`` is when a worker may take it: for a leased delivery, the end of the lease, so that the rows of a worker
    that died come due by themselves. It is empty once the delivery is finished.
    """

    # No constraints in the database on these two: they cost more than all the rest of the insert.
    event = models.ForeignKey(
        Event,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
        verbose_name=_("event"),
    )
    webhook = models.ForeignKey(
        Webhook,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_constraint=False,
        db_index=False,
        verbose_name=_("webhook"),
    )
    status = models.CharField(
        _("status"), max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING
    )
    due_at = models.DateTimeField(_("due at"), null=True)
    priority = models.PositiveSmallIntegerField(_("priority"), choices=Priority.choices, default=Priority.LIVE)
    # Set for ordered webhooks: deliveries with the same number go one after the other.
    order_key = models.BigIntegerField(null=True, editable=False)
    lease = models.CharField(_("lease"), max_length=36, blank=True, default="", editable=False)
    # No small ones: deferrals are free, and a receiver can ask for a hundred thousand in the life of a delivery.
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    charged = models.PositiveIntegerField(_("charged attempts"), default=0)
    error_class = models.CharField(_("error"), max_length=20, choices=ErrorClass.choices, blank=True, default="")
    created_at = models.DateTimeField(_("created at"))
    # Its life begins anew when it is replayed.
    reopened_at = models.DateTimeField(_("reopened at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)

    if TYPE_CHECKING:
        event_id: int
        webhook_id: int

    objects = DeliveryManager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ("-pk",)
        indexes = [
            # stats.py, replay.py and every list: those of one webhook, from either end.
            models.Index(fields=["webhook", "id"], name="tms_delivery_by_webhook"),
            # claim.py: the next ones of one webhook.
            models.Index(
                fields=["webhook", "priority", "due_at", "id"],
                name="tms_delivery_claim",
                condition=Q(due_at__isnull=False),
            ),
            # claim.py: is anything due, and when next?
            models.Index(fields=["due_at"], name="tms_delivery_due", condition=Q(due_at__isnull=False)),
            # claim.py: is there an earlier one of the same object?
            models.Index(
                fields=["webhook", "order_key", "event"],
                name="tms_delivery_earlier_of_object",
                condition=Q(due_at__isnull=False, order_key__isnull=False),
            ),
            # claim.py: how many are in flight per webhook?
            models.Index(
                fields=["status", "webhook"],
                name="tms_delivery_in_flight",
                condition=Q(status=DeliveryStatus.IN_FLIGHT),
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["event", "webhook"], name="tms_delivery_once_per_webhook"),
            models.CheckConstraint(
                condition=Q(status__in=OPEN, due_at__isnull=False) | Q(status__in=FINISHED, due_at__isnull=True),
                name="tms_delivery_due_while_open",
            ),
            models.CheckConstraint(
                condition=(Q(status=DeliveryStatus.IN_FLIGHT) & ~Q(lease=""))
                | (~Q(status=DeliveryStatus.IN_FLIGHT) & Q(lease="")),
                name="tms_delivery_lease_in_flight",
            ),
            models.CheckConstraint(condition=Q(charged__lte=F("attempts")), name="tms_delivery_charged_attempts"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"
