"""Which event of a type was the first that a subscription wanted of an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import models, router
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models.event import LONGEST_SUBJECT_KEY, Event
from tms_webhooks.models.subscription import Subscription


class FirstOccurrenceManager(models.Manager["FirstOccurrence"]):
    """Keeps the first ones."""

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Note events as the first for a subscription, in this order, where there is none yet.

        Return those that are the first, as the keys of a subscription and an event: now, or noted before. A second
        transaction that notes another event of the same object waits for this one.
        """
        rows = self.using(router.db_for_write(self.model))
        notes = [
            self.model(
                subscription_id=subscription_id,
                event_type=event.type,
                subject_type=event.subject_type,
                subject_id=event.subject_id,
                event_id=event.pk,
            )
            for subscription_id, event in candidates
        ]
        # In the order of the objects, of each in that of its events: or two of these could wait for each other.
        notes.sort(key=lambda note: (note.subscription_id, note.event_type, note.subject_type, note.subject_id))
        rows.bulk_create(notes, ignore_conflicts=True)
        asked = {(subscription_id, event.pk) for subscription_id, event in candidates}
        noted = rows.filter(event_id__in={event.pk for _subscription, event in candidates})
        return asked & set(noted.values_list("subscription_id", "event_id"))

    def of(self, subscription_id: int, event: Event) -> int | None:
        """Return the key of the first event of the same type and object that a subscription wanted; None if none was yet."""
        rows = self.using(router.db_for_write(self.model)).filter(
            subscription_id=subscription_id,
            event_type=event.type,
            subject_type=event.subject_type,
            subject_id=event.subject_id,
        )
        return rows.values_list("event_id", flat=True).first()


class FirstOccurrence(models.Model):
    """The first event of one type of one object, for a subscription that wants no others."""

    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, related_name="+", db_index=False, verbose_name=_("subscription")
    )
    event_type = models.CharField(_("event"), max_length=100)
    subject_type = models.CharField(_("subject type"), max_length=50)
    subject_id = models.CharField(_("subject id"), max_length=LONGEST_SUBJECT_KEY)
    # The event may be forgotten; that there was one is not.
    event_id = models.BigIntegerField(_("event"), db_index=True)

    if TYPE_CHECKING:
        subscription_id: int

    objects = FirstOccurrenceManager()

    class Meta:
        verbose_name = _("first occurrence")
        verbose_name_plural = _("first occurrences")
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "event_type", "subject_type", "subject_id"], name="tms_first_of_subject"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.subject_type}:{self.subject_id}"
