"""One event for one webhook, and the attempts to bring it there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, models, router
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import DelayReason, DeliveryStatus, ErrorClass, Lane
from tms_webhooks.models.event import Event
from tms_webhooks.models.keys import among
from tms_webhooks.models.webhook import Webhook

OPEN = (DeliveryStatus.PENDING, DeliveryStatus.WAITING, DeliveryStatus.IN_FLIGHT)
FINISHED = (
    DeliveryStatus.DELIVERED,
    DeliveryStatus.EXHAUSTED,
    DeliveryStatus.FAILED,
    DeliveryStatus.SKIPPED,
    DeliveryStatus.CANCELLED,
)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Deliveries by where they stand, and the changes that a worker makes to many at once."""

    def open(self) -> DeliveryQuerySet:
        """Keep those that still have somewhere to go."""
        return self.filter(due_at__isnull=False)

    def among(self, ids: Iterable[int]) -> DeliveryQuerySet:
        """Keep those with these keys."""
        return self.filter(among(Delivery, ids, using=self.db))

    def due(self, now: datetime) -> DeliveryQuerySet:
        """Keep those that a worker may claim: due, or held under a lease that ran out."""
        return self.filter(due_at__lte=now)

    def born_before(self, moment: datetime) -> DeliveryQuerySet:
        """Keep those whose life, which begins anew with a replay, began before ``moment``."""
        return self.filter(Q(reopened_at__lt=moment) | Q(reopened_at__isnull=True, created_at__lt=moment))

    def held(self, token: str) -> DeliveryQuerySet:
        """Keep those that the claim with this token holds still."""
        return self.filter(status=DeliveryStatus.IN_FLIGHT, lease=token)

    def claim(self, *, token: str, now: datetime, until: datetime) -> int:
        """Lease those that are due to the holder of ``token`` until ``until``; return how many."""
        return self.due(now).update(status=DeliveryStatus.IN_FLIGHT, lease=token, due_at=until)

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

    def mark_delivered(self, *, token: str, now: datetime) -> int:
        """Finish those that ``token`` holds: the receiver took them."""
        return self.held(token).update(
            status=DeliveryStatus.DELIVERED,
            lease="",
            due_at=None,
            attempts=F("attempts") + 1,
            charged=F("charged") + 1,
            finished_at=now,
            error_class="",
        )

    def skip(self, *, now: datetime) -> int:
        """Finish those that no worker holds as skipped: their webhook is disabled. What is resent by hand goes out."""
        return self.exclude(lane=Lane.BY_HAND)._finish(DeliveryStatus.SKIPPED, now=now)

    def cancel(self, *, now: datetime) -> int:
        """Call off those that no worker holds; what is in flight can't be called back."""
        return self._finish(DeliveryStatus.CANCELLED, now=now)

    def exhaust(self, *, now: datetime) -> int:
        """Give up those that no worker holds: their life is over."""
        return self._finish(DeliveryStatus.EXHAUSTED, now=now)

    def reopen(self, *, now: datetime, lane: Lane) -> int:
        """Make finished ones due again, with all their retries before them; return how many."""
        return self.filter(status__in=FINISHED).update(
            status=DeliveryStatus.PENDING,
            due_at=now,
            reopened_at=now,
            finished_at=None,
            charged=0,
            lane=lane,
            error_class="",
        )

    def _finish(self, status: DeliveryStatus, *, now: datetime) -> int:
        return self.filter(status__in=(DeliveryStatus.PENDING, DeliveryStatus.WAITING)).update(
            status=status, due_at=None, finished_at=now
        )


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
    lane = models.PositiveSmallIntegerField(_("lane"), choices=Lane.choices, default=Lane.LIVE)
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

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ("-pk",)
        indexes = [
            # stats.py, replay.py and every list: those of one webhook, from either end.
            models.Index(fields=["webhook", "id"], name="tms_delivery_of_webhook"),
            # claim.py: the next ones of one webhook.
            models.Index(
                fields=["webhook", "lane", "due_at"], name="tms_delivery_claim", condition=Q(due_at__isnull=False)
            ),
            # claim.py: is anything due, and when next?
            models.Index(fields=["due_at"], name="tms_delivery_due", condition=Q(due_at__isnull=False)),
            # claim.py: is there an earlier one of the same object?
            models.Index(
                fields=["webhook", "order_key", "event"],
                name="tms_delivery_order",
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
            models.CheckConstraint(condition=Q(charged__lte=F("attempts")), name="tms_delivery_charged"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class AttemptLine(NamedTuple):
    """One attempt as it is written down: the columns of `DeliveryAttempt`, in their order."""

    delivery_id: int
    number: int | None
    charged: bool
    started_at: datetime
    duration_ms: int
    status_code: int | None
    error_class: str
    message: str
    response_body: str
    next_delay: float | None
    delay_reason: str


STARTED_AT = AttemptLine._fields.index("started_at")


class AttemptManager(models.Manager["DeliveryAttempt"]):
    """Writes the log."""

    def write(self, lines: Sequence[AttemptLine], *, using: str | None = None) -> None:
        """Insert many attempts in one statement.

        ``bulk_create`` does the same at ten times the cost, which is a good part of what a delivery costs in all.
        """
        if not lines:
            return
        connection = connections[using or router.db_for_write(self.model)]
        moment = connection.ops.adapt_datetimefield_value
        quoted = ", ".join(connection.ops.quote_name(name) for name in AttemptLine._fields)
        line = f"({', '.join(['%s'] * len(AttemptLine._fields))})"
        table = connection.ops.quote_name(self.model._meta.db_table)
        params: list[Any] = []
        for one in lines:
            params += one
            params[-len(one) + STARTED_AT] = moment(one.started_at)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({quoted}) VALUES {', '.join([line] * len(lines))}", params)  # noqa: S608


class DeliveryAttempt(models.Model):
    """One HTTP call, and what came of it."""

    delivery = models.ForeignKey(
        Delivery,
        on_delete=models.CASCADE,
        related_name="attempt_log",
        db_constraint=False,
        db_index=False,
        verbose_name=_("delivery"),
    )
    # Empty for a late one: its worker had lost the lease, and the number belongs to the attempt that took over.
    number = models.PositiveIntegerField(_("number"), null=True)
    charged = models.BooleanField(_("charged"), default=True)
    started_at = models.DateTimeField(_("started at"))
    duration_ms = models.PositiveIntegerField(_("duration (ms)"))
    status_code = models.PositiveSmallIntegerField(_("status code"), null=True)
    error_class = models.CharField(_("error"), max_length=20, choices=ErrorClass.choices, blank=True, default="")
    message = models.CharField(_("message"), max_length=500, blank=True, default="")
    response_body = models.TextField(_("response body"), blank=True, default="")
    next_delay = models.FloatField(_("next delay (s)"), null=True)
    delay_reason = models.CharField(
        _("delay reason"), max_length=20, choices=DelayReason.choices, blank=True, default=""
    )

    if TYPE_CHECKING:
        delivery_id: int

    objects = AttemptManager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("pk",)
        indexes = [models.Index(fields=["started_at"], name="tms_attempt_by_age")]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="tms_attempt_number"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of delivery {self.delivery_id}"
