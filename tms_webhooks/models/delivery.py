"""Deliveries: one event for one webhook, with its status and next due time, and its body where it differs from the event's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Least
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import DeliveryStatus, ErrorClass, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.db import sql
from tms_webhooks.db.sql import KeyIn, PrimaryManager, key_in
from tms_webhooks.models.event import Event
from tms_webhooks.models.public_ids import DELIVERY_PREFIX, uids_in
from tms_webhooks.models.webhook import Webhook

OPEN = (DeliveryStatus.PENDING, DeliveryStatus.WAITING)
UNSUCCESSFUL = (DeliveryStatus.EXHAUSTED, DeliveryStatus.FAILED, DeliveryStatus.SKIPPED, DeliveryStatus.CANCELLED)
"""Those that a user looks for, and may send again."""
FINISHED = (DeliveryStatus.DELIVERED, *UNSUCCESSFUL, DeliveryStatus.MERGED)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Filters for deliveries, and changes of many in one statement."""

    def open(self) -> DeliveryQuerySet:
        """Keep unfinished ones."""
        return self.filter(due_at__isnull=False)

    def among(self, ids: Iterable[int]) -> DeliveryQuerySet:
        """Keep those with these keys."""
        return self.filter(key_in(ids))

    def due(self, now: datetime) -> DeliveryQuerySet:
        """Keep those that are due."""
        return self.filter(due_at__lte=now)

    def maybe_in_flight(self, now: datetime) -> DeliveryQuerySet:
        """Keep those that may be in flight: due ones whose webhook a worker holds. Only that worker knows more."""
        return self.due(now).filter(webhook__state__leased_until__gt=now)

    def opened_before(self, moment: datetime) -> DeliveryQuerySet:
        """Keep those that were created, or last replayed, before ``moment``."""
        return self.filter(Q(reopened_at__lt=moment) | Q(reopened_at__isnull=True, created_at__lt=moment))

    def of_quiet_periods(self, periods: Iterable[int | None]) -> DeliveryQuerySet:
        """Keep those of these quiet periods, the values of `Delivery.quiet_period`."""
        known = {period for period in periods if period is not None}
        # The second condition is implied; it lets the database use a partial index.
        return self.filter(KeyIn(F("quiet_period"), sql.numbers(known)), quiet_period__isnull=False)

    def by_index_of(self, statuses: Collection[str]) -> DeliveryQuerySet:
        """Add a condition that each delivery of these statuses meets, so that a list finds them in an index."""
        chosen = set(statuses)
        if chosen and chosen <= set(OPEN):
            return self.filter(due_at__isnull=False)
        if chosen == {DeliveryStatus.MERGED}:
            return self.filter(quiet_period__isnull=False)
        # SQLite reads the index tms_delivery_unsuccessful for one status. For others, the condition makes it read in
        # the order of the primary key instead of sorting all rows.
        return self if len(chosen) == 1 and chosen <= set(UNSUCCESSFUL) else self.filter(pk__gt=0)

    def finish(self, status: DeliveryStatus, *, now: datetime) -> int:
        """End open ones with this status. Manual resends are not skipped, and one in flight may be delivered anyway."""
        rows = self.waiting() if status == DeliveryStatus.SKIPPED else self.open()
        return rows.update(status=status, due_at=None, finished_at=now)

    def reopen(self, *, now: datetime, priority: Priority, job: int | None = None) -> int:
        """Make finished ones due again, with all their retries; return how many. Merged ones stay: others carry them.

        With the key of a ``job``, they count as deliveries of that job.
        """
        return self.filter(status__in=(DeliveryStatus.DELIVERED, *UNSUCCESSFUL)).update(
            # One that was delivered since it was given up stays so for the health. First: MariaDB assigns from left to right.
            given_up_at=Case(When(status=DeliveryStatus.DELIVERED, then=None), default=F("given_up_at")),
            status=DeliveryStatus.PENDING,
            due_at=now,
            reopened_at=now,
            finished_at=None,
            charged=0,
            priority=priority,
            resume_priority=None,
            error_class="",
            **({} if job is None else {"job": job}),
        )

    def waiting(self) -> DeliveryQuerySet:
        """Keep unfinished ones, without those that a user is sending."""
        return self.open().exclude(priority=Priority.MANUAL)

    def send_now(self, *, now: datetime, priority: Priority | None = None) -> int:
        """Make waiting ones due now, each for an extra attempt that uses up no retry; return how many.

        ``priority`` is that of this attempt; afterwards they have their own again.
        """
        values = {} if priority is None else {"priority": priority}
        # Those that are due keep their time, which is their place in the order. Set first: MariaDB assigns from left to
        # right. It is right for one that is to have an extra attempt already: its priority is still its own.
        due_at = Least(F("due_at"), Value(now, models.DateTimeField()))
        return self.waiting().update(resume_priority=F("priority"), due_at=due_at, **values)


class Delivery(models.Model):
    """One event for one webhook.

    ``due_at`` is when it may be sent. It is empty once the delivery is finished. Whether it is in flight is known only to
    the worker that holds the webhook.
    """

    # No database constraints on these two: they would cost more than the rest of the insert.
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
    # Set for ordered webhooks: deliveries with the same key are sent one after the other. Also set for those that wait
    # for a quiet period, which are found by it.
    order_key = models.BigIntegerField(null=True, editable=False)
    # Not small integers: deferrals are not charged, and a receiver can cause 100,000 in the lifetime of a delivery.
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    charged = models.PositiveIntegerField(_("charged attempts"), default=0)
    error_class = models.CharField(_("error"), max_length=20, choices=ErrorClass.choices, blank=True, default="")
    created_at = models.DateTimeField(_("created at"))
    # When it was last replayed, which starts its lifetime again.
    reopened_at = models.DateTimeField(_("reopened at"), null=True)
    finished_at = models.DateTimeField(_("finished at"), null=True)
    # When it was last given up, also after it was replayed. An attempt that a user makes with *Resend* changes nothing.
    given_up_at = models.DateTimeField(null=True, editable=False)
    # The quiet period that it waited for: the key of the period's first delivery. All but one of a period are merged.
    quiet_period = models.BigIntegerField(_("quiet period"), null=True, editable=False)
    # Set while an extra attempt is to be made, which uses up no retry: the priority that the delivery returns to.
    resume_priority = models.PositiveSmallIntegerField(null=True, editable=False)
    # The key of the job that created it, or reopened it last.
    job = models.BigIntegerField(null=True, editable=False)

    event_id: int
    webhook_id: int

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ("-pk",)
        indexes = [
            # Lists, replays and statistics: the deliveries of one webhook, in either order.
            models.Index(fields=["webhook", "id"], name="tms_delivery_by_webhook"),
            # worker/statements.py: the next due ones of one webhook.
            models.Index(
                fields=["webhook", "priority", "due_at", "id"],
                name="tms_delivery_claim",
                condition=Q(due_at__isnull=False),
            ),
            # worker/statements.py: what is due, and when is the next one due?
            models.Index(fields=["due_at"], name="tms_delivery_due", condition=Q(due_at__isnull=False)),
            # worker/statements.py: does an ordered webhook have an earlier open one of the same object?
            models.Index(
                fields=["webhook", "order_key", "event"],
                name="tms_delivery_earlier_of_object",
                condition=Q(due_at__isnull=False, order_key__isnull=False),
            ),
            # worker/statements.py: which retries of a webhook are due?
            models.Index(
                fields=["status", "webhook", "due_at"],
                name="tms_delivery_retries",
                condition=Q(status=DeliveryStatus.WAITING),
            ),
            # fanout_sql.py: the deliveries of an object that wait for a quiet period.
            models.Index(
                fields=["order_key"],
                name="tms_delivery_quiet_waiting",
                condition=Q(due_at__isnull=False, quiet_period__isnull=False),
            ),
            # DeliveryQuerySet.of_quiet_periods.
            models.Index(
                fields=["quiet_period"], name="tms_delivery_quiet_period", condition=Q(quiet_period__isnull=False)
            ),
            # The lists of deliveries that went wrong. Without the delivered ones, which are almost all. The condition is an
            # OR, because SQLite uses such an index for one of its statuses.
            models.Index(
                fields=["status", "webhook", "id"],
                name="tms_delivery_unsuccessful",
                condition=reduce(or_, (Q(status=status) for status in UNSUCCESSFUL)),
            ),
            # monitoring/figures.py: what was given up lately?
            models.Index(
                fields=["webhook", "given_up_at"],
                name="tms_delivery_given_up",
                condition=Q(given_up_at__isnull=False),
            ),
            # delivery/replay.py: the deliveries of a job by their status.
            models.Index(fields=["job", "status"], name="tms_delivery_of_job", condition=Q(job__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["event", "webhook"], name="tms_delivery_once_per_webhook"),
            models.CheckConstraint(
                condition=Q(status__in=OPEN, due_at__isnull=False) | Q(status__in=FINISHED, due_at__isnull=True),
                name="tms_delivery_due_while_open",
            ),
            models.CheckConstraint(condition=Q(charged__lte=F("attempts")), name="tms_delivery_charged_attempts"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.public_id}"

    @property
    def public_id(self) -> str:
        """The id that customers see, of event and webhook. It never changes."""
        return f"{DELIVERY_PREFIX}{self.event.uid.hex}{self.webhook.uid.hex}"

    @classmethod
    def by_public_id(cls, text: str) -> Q:
        """Return the filter for the row with this public id. It matches no row if the text is no such id.

        By the unique indexes of the event's and the webhook's ``uid`` and ``tms_delivery_once_per_webhook``.
        """
        uids = uids_in(text, DELIVERY_PREFIX, count=2)
        return Q(event__uid=uids[0], webhook__uid=uids[1]) if uids else Q(pk__in=())

    def expires_at(self) -> datetime | None:
        """Return when it is given up at the latest: DELIVERY_LIFETIME_SECONDS after it was created or last replayed.

        None for a finished one.
        """
        if self.due_at is None:
            return None
        return (self.reopened_at or self.created_at) + timedelta(seconds=app_settings.DELIVERY_LIFETIME_SECONDS)

    def next_attempt_at(self, *, now: datetime | None = None) -> datetime | None:
        """Return when it is attempted next, at the earliest; in the past if it waits for a worker already.

        A pause and a hold of the webhook are included. A rate limit, earlier deliveries of the same object and the
        requests in flight may delay it further. The workers follow the same rules (`tms_webhooks.worker.endpoint_queues`).

        ``now`` is the current time by default. None if no attempt follows: it is finished, its webhook is deleted, disabled or pull-only, or it is given up before.
        """
        due_at, webhook = self.due_at, self.webhook
        if due_at is None or webhook.deleted_at is not None or webhook.pull_only:
            return None
        at, now = due_at, now or timezone.now()
        if self.priority != Priority.MANUAL:
            if not webhook.enabled:
                return None
            # A pause does not stop retries.
            paused_until = None if self.status == DeliveryStatus.WAITING else webhook.state.paused_until
            blocked = (webhook.state.held_until, paused_until)
            at = max([due_at, *(until for until in blocked if until is not None and until > now)])
        expires = self.expires_at()
        return None if expires is not None and max(at, now) >= expires else at

    @property
    def carrier(self) -> Delivery | None:
        """The delivery whose request carries this merged one; None for others, and if no request is needed."""
        if self.status != DeliveryStatus.MERGED or self.quiet_period is None:
            return None
        same = type(self).objects.using(self._state.db).of_quiet_periods([self.quiet_period])
        return same.exclude(status=DeliveryStatus.MERGED).first()


class DeliveryBody(models.Model):
    """One event in the format of one webhook: rendered once, and sent with every attempt.

    A webhook with the standard format has none, and gets the body of the event. An empty ``content_type`` means that
    rendering failed; it is tried again when the delivery is replayed.

    ``merged`` is set for a delivery that carries several events of a quiet period. It is the event in the standard
    format, from which the body is rendered. It replaces the body of the delivery's own event.
    """

    # No constraint in the database, as on `Delivery.event`.
    delivery = models.OneToOneField(
        Delivery, on_delete=models.CASCADE, primary_key=True, related_name="own_body", db_constraint=False
    )
    content_type = models.CharField(max_length=255, blank=True, default="")
    body = models.TextField(blank=True, default="")
    merged = models.TextField(blank=True, default="")

    delivery_id: int

    objects = PrimaryManager["DeliveryBody"]()

    @property
    def stored(self) -> str:
        """The body as it was rendered, or the merged event before that; empty if rendering failed."""
        return self.body if self.content_type else self.merged
