"""The outbox: one row for each thing that happened, written in the transaction in which it happened."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from typing import TYPE_CHECKING, Any

from django.db import connections, models, router
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.subscription import Subscription

PUBLIC_PREFIX = "evt_"

LEARNERS_ELSEWHERE = Q(learner_organization__isnull=False) & ~Q(learner_organization=F("organization"))
"""Events of learners who learn at another organization than their own."""

# Django's own fields are not generic at run time.
if TYPE_CHECKING:
    _BigIntegerField = models.BigIntegerField[int, int]
else:
    _BigIntegerField = models.BigIntegerField
LONGEST_SUBJECT_KEY = 64
OUTSIDE_THE_FEED = 0
"""The position of an event that is in no feed, which begins with 1."""
LONGEST_EXTERNAL_ID = 64


def time_ordered_uuid() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562): time first, so that neighbours in time are neighbours in the index."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    number = number & ~(0xF000 << 64) & ~(0xC000 << 48) | (0x7000 << 64) | (0x8000 << 48)
    return uuid.UUID(int=number)


def subject_key(value: Any) -> str:
    """Return an object's key as text, as ``Event.subject_id`` keeps it; a digest of one that is too long for it."""
    text = value.hex if isinstance(value, uuid.UUID) else str(value)
    return text if len(text) <= LONGEST_SUBJECT_KEY else hashlib.sha256(text.encode()).hexdigest()


def subject_number(subject_type: str, subject_id: str) -> int:
    """Return a 64-bit number for an object, the same everywhere. Two objects that share one only wait for each other."""
    digest = hashlib.sha256(f"{subject_type}:{subject_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


class SubjectNumberField(_BigIntegerField):
    """Holds the number of the row's subject, whichever way the row is written."""

    def pre_save(self, model_instance: models.Model, add: bool) -> int:  # noqa: FBT001 (Django's signature)
        """Work the number out anew."""
        number = subject_number(model_instance.subject_type, model_instance.subject_id)  # type: ignore[attr-defined]
        setattr(model_instance, self.attname, number)
        return number


class EventQuerySet(models.QuerySet["Event"]):
    """Events by where they stand."""

    def to_fan_out(self) -> EventQuerySet:
        """Keep those that have no deliveries yet, oldest first. Served by the index ``tms_event_to_fan_out``."""
        return self.filter(fanned_out_at__isnull=True).order_by("pk")

    def called(self, name: str) -> EventQuerySet:
        """Keep those of objects with this external id."""
        # The first says nothing new, and names the index.
        return self.filter(external_id__gt="", external_id=name)

    def without_position(self) -> EventQuerySet:
        """Keep those that have no place in the feed yet, oldest first. Served by the index ``tms_event_feed``."""
        return self.filter(position__isnull=True).order_by("pk")


class Event(models.Model):
    """One thing that happened to one object."""

    uid = models.UUIDField(_("id"), default=time_ordered_uuid, unique=True, editable=False)
    type = models.CharField(_("type"), max_length=100)
    version = models.PositiveSmallIntegerField(_("schema version"), default=1)
    organization = models.ForeignKey(
        organization_model(),
        on_delete=models.CASCADE,
        related_name="+",
        # The index tms_event_feed_of_owner begins with it.
        db_index=False,
        verbose_name=_("organization"),
    )
    # Empty where there is no learner. What counts is whose learner it was at that moment.
    learner_organization = models.ForeignKey(
        organization_model(),
        # Nobody is left to read them by it.
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("learner organization"),
    )
    subject_type = models.CharField(_("subject type"), max_length=50)
    subject_id = models.CharField(_("subject id"), max_length=LONGEST_SUBJECT_KEY)
    # What the customer's own system calls it, to find its events by; empty where it has no name there, or a longer one.
    external_id = models.CharField(
        _("external id"), max_length=LONGEST_EXTERNAL_ID, blank=True, default="", db_default=""
    )
    # The subject in one number, so that deliveries of one object find each other.
    subject_key = SubjectNumberField(editable=False)
    sequence = models.PositiveIntegerField(_("sequence"))
    actor_kind = models.CharField(_("actor kind"), max_length=20)
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True, default="")
    occurred_at = models.DateTimeField(_("occurred at"))
    body = models.TextField(_("body"), blank=True, default="")
    error = models.TextField(_("error"), blank=True, default="")
    fanned_out_at = models.DateTimeField(_("fanned out at"), null=True, editable=False)
    # Its place in the catch-up feed. Given after the commit: keys are handed out before, and not in the same order.
    position = models.BigIntegerField(_("position"), null=True, editable=False)
    subscription = models.ForeignKey(
        Subscription,
        # The event must not become everybody's when the subscription goes.
        on_delete=models.DO_NOTHING,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        verbose_name=_("subscription"),
        help_text=_("Set where the event is for this subscription alone, as an expiry window is."),
    )

    if TYPE_CHECKING:
        organization_id: Any
        learner_organization_id: Any
        subscription_id: int | None

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("-pk",)
        indexes = [
            models.Index(
                fields=["fanned_out_at", "id"], name="tms_event_to_fan_out", condition=Q(fanned_out_at__isnull=True)
            ),
            # pick.py: is an earlier one of the same object still to be fanned out?
            models.Index(
                fields=["subject_key"], name="tms_event_object_to_fan_out", condition=Q(fanned_out_at__isnull=True)
            ),
            models.Index(fields=["occurred_at"], name="tms_event_by_age"),
            # The delivery log's search. Most objects of most systems have none.
            models.Index(fields=["external_id"], name="tms_event_by_external_id", condition=Q(external_id__gt="")),
            # Where it is the owner, that index finds it.
            models.Index(
                fields=["learner_organization", "id"],
                name="tms_event_by_learner",
                condition=LEARNERS_ELSEWHERE,
            ),
            models.Index(fields=["position", "id"], name="tms_event_feed"),
            models.Index(fields=["organization", "position"], name="tms_event_feed_of_owner"),
            models.Index(
                fields=["learner_organization", "position"],
                name="tms_event_feed_of_learner",
                condition=LEARNERS_ELSEWHERE,
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["subject_type", "subject_id", "sequence"], name="tms_event_sequence_once"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.public_id}"

    @property
    def public_id(self) -> str:
        """The id that receivers see: the same for every webhook, every retry and every replay."""
        return PUBLIC_PREFIX + self.uid.hex


class EventSequenceManager(models.Manager["EventSequence"]):
    """Counts the events of each object."""

    def advance(self, subject_type: str, subject_id: str, *, using: str | None = None) -> int:
        """Return the object's next number, from 1 and without gaps.

        The row stays locked until the caller's transaction ends, so two changes of one object can't share a number;
        a rollback gives the number back.
        """
        using = using or router.db_for_write(self.model)
        connection = connections[using]
        if connection.vendor == "mysql":
            return self._advance_in_mysql(subject_type, subject_id, using=using)
        if not connection.features.can_return_columns_from_insert:
            return self._advance_by_lock(subject_type, subject_id, using=using)
        with connection.cursor() as cursor:
            cursor.execute(self.counting(using), {"subject_type": subject_type, "subject_id": subject_id})
            row: tuple[int] = cursor.fetchone()
        return row[0]

    def counting(self, using: str) -> str:
        """Return the statement that counts, on a database that can do it in one. It takes the subject by name."""
        table = connections[using].ops.quote_name(self.model._meta.db_table)
        return (
            f"INSERT INTO {table} (subject_type, subject_id, last) VALUES (%(subject_type)s, %(subject_id)s, 1) "  # noqa: S608
            f"ON CONFLICT (subject_type, subject_id) DO UPDATE SET last = {table}.last + 1 RETURNING last"
        )

    def _advance_in_mysql(self, subject_type: str, subject_id: str, *, using: str) -> int:
        """Update first: an insert that finds its row locks the gap beside it, too, where others begin to count.

        Transactions that tell of different objects would then wait for each other.
        """
        connection = connections[using]
        table = connection.ops.quote_name(self.model._meta.db_table)
        update = f"UPDATE {table} SET last = LAST_INSERT_ID(last + 1) WHERE subject_type = %s AND subject_id = %s"  # noqa: S608
        insert = (
            f"INSERT INTO {table} (subject_type, subject_id, last) VALUES (%s, %s, 1) "  # noqa: S608
            "ON DUPLICATE KEY UPDATE last = LAST_INSERT_ID(last + 1)"
        )
        with connection.cursor() as cursor:
            cursor.execute(update, [subject_type, subject_id])
            if not cursor.rowcount:
                cursor.execute(insert, [subject_type, subject_id])
                if cursor.rowcount == 1:
                    return 1
            return int(cursor.lastrowid)

    def _advance_by_lock(self, subject_type: str, subject_id: str, *, using: str) -> int:
        rows = self.using(using)
        rows.bulk_create([self.model(subject_type=subject_type, subject_id=subject_id, last=0)], ignore_conflicts=True)
        row = rows.select_for_update().get(subject_type=subject_type, subject_id=subject_id)
        row.last += 1
        row.save(using=using, update_fields=["last"])
        return row.last


class EventSequence(models.Model):
    """The number of the last event of one object. It outlives the events, which are pruned."""

    subject_type = models.CharField(max_length=50)
    subject_id = models.CharField(max_length=64)
    last = models.PositiveIntegerField()

    objects = EventSequenceManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject_type", "subject_id"], name="tms_event_sequence_of_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.subject_type}:{self.subject_id} {self.last}"
