"""Drain slots: they limit how many drains run."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.conf import app_settings
from tms_webhooks.models.encryption import keys_mark

GRACE = timedelta(seconds=2)
"""For how long a drain holds its slot beyond its budget."""

FAR_AHEAD = timedelta(minutes=1)
"""A slot that is held for longer than this, or than a longer budget, was taken before a clock was set back."""


OUTAGE_GRACE = timedelta(minutes=1)
"""For how long the outage of a drain counts that gave its slot up: its successor is about to begin."""


class DrainSlotManager(models.Manager["DrainSlot"]):
    """Takes and releases slots."""

    def take(self, number: int, *, owner: str, now: datetime, until: datetime) -> bool:
        """Take slot ``number`` for ``owner`` unless another drain holds it; return whether ``owner`` holds it now.

        The slot of a killed drain is free when its time is over. A slot that was taken before a clock was set back is
        free, too.
        """
        free = Q(owner="") | Q(held_until__lte=now) | Q(held_until__gt=_far_ahead(now)) | Q(owner=owner)
        values = {"owner": owner, "held_until": until, "keys": keys_mark()}
        if self.filter(free, number=number).update(**values):
            return True
        if self.filter(number=number).exists():
            return False
        self.bulk_create([self.model(number=number, owner="", held_until=now)], ignore_conflicts=True)
        return bool(self.filter(free, number=number).update(**values))

    def release(self, number: int, *, owner: str, now: datetime) -> None:
        """Free the slot if ``owner`` still holds it."""
        self.filter(number=number, owner=owner).update(owner="", held_until=now)

    def held(self, now: datetime) -> models.QuerySet[DrainSlot]:
        """Return the slots of running drains."""
        return self.filter(held_until__gt=now, held_until__lte=_far_ahead(now)).exclude(owner="")

    def cut_off(self, now: datetime) -> models.QuerySet[DrainSlot]:
        """Return the slots of drains that reach no receiver at all."""
        return self.filter(unreachable_since__isnull=False, held_until__gt=now - OUTAGE_GRACE)

    def is_own_outage(self, now: datetime) -> bool:
        """Return whether drains run, and none of them reaches a receiver."""
        return self.cut_off(now).exists() and not self.held(now).filter(unreachable_since=None).exists()

    def held_until(self, now: datetime, *, number: int | None = None) -> datetime | None:
        """Return how long a drain holds this slot, or any slot, at most; None if no drain runs."""
        slots = self.held(now)
        slots = slots if number is None else slots.filter(number=number)
        return slots.order_by("-held_until").values_list("held_until", flat=True).first()


class DrainSlot(models.Model):
    """The right of one drain to run."""

    number = models.PositiveSmallIntegerField(_("number"), unique=True)
    owner = models.CharField(_("owner"), max_length=64, blank=True, default="")
    held_until = models.DateTimeField(_("held until"))
    # The mark of the drain's encryption keys.
    keys = models.CharField(max_length=16, blank=True, default="", editable=False)
    # Since when its drains reach no receiver, once that has lasted for two minutes.
    unreachable_since = models.DateTimeField(null=True, editable=False)

    objects = DrainSlotManager()

    class Meta:
        verbose_name = _("drain slot")
        verbose_name_plural = _("drain slots")

    def __str__(self) -> str:
        return f"slot {self.number}"


def _far_ahead(now: datetime) -> datetime:
    return now + max(FAR_AHEAD, timedelta(seconds=app_settings.DRAIN_BUDGET_SECONDS) + GRACE)
