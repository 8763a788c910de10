"""The ends of the catch-up feed: the last published position, and the last pruned one."""

from __future__ import annotations

from django.db import models, router
from django.utils.translation import gettext_lazy as _

ONLY = 1
"""The key of the one row."""


class FeedEndsManager(models.Manager["FeedEnds"]):
    """Reads and changes the one row."""

    def current(self) -> FeedEnds:
        """Return the ends; an unsaved row of zeros before the first event is published."""
        return self.using(router.db_for_write(self.model)).filter(pk=ONLY).first() or self.model(pk=ONLY)

    def locked(self) -> FeedEnds | None:
        """Return the ends, locked until the current transaction ends; None if another transaction has locked them."""
        rows = self.using(router.db_for_write(self.model))
        if not rows.filter(pk=ONLY).exists():
            rows.bulk_create([self.model(pk=ONLY)], ignore_conflicts=True)
        return rows.select_for_update(skip_locked=True).filter(pk=ONLY).first()

    def forget(self, position: int) -> None:
        """Record that events up to this position may have been deleted."""
        rows = self.using(router.db_for_write(self.model))
        rows.filter(pk=ONLY, forgotten__lt=position).update(forgotten=position)


class FeedEnds(models.Model):
    """The last position that was assigned to an event, and the last one of a deleted event."""

    published = models.BigIntegerField(_("published"), default=0)
    forgotten = models.BigIntegerField(_("forgotten"), default=0)

    objects = FeedEndsManager()

    class Meta:
        verbose_name = _("ends of the feed")
        verbose_name_plural = _("ends of the feed")

    def __str__(self) -> str:
        return f"{self.forgotten} to {self.published}"

    def publish_up_to(self, position: int) -> None:
        """Record the last position that was assigned."""
        self.published = position
        self.save(update_fields=["published"])
