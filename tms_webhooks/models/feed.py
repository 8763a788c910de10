"""How far the catch-up feed reaches, at either end."""

from __future__ import annotations

from django.db import models, router
from django.utils.translation import gettext_lazy as _

ONLY = 1


class FeedEndsManager(models.Manager["FeedEnds"]):
    """Keeps the one row there is."""

    def current(self) -> FeedEnds:
        """Return the ends as they are; unsaved ones where nothing was published or forgotten yet."""
        return self.using(router.db_for_write(self.model)).filter(pk=ONLY).first() or self.model(pk=ONLY)

    def locked(self) -> FeedEnds | None:
        """Return the ends, locked until the current transaction ends; None where somebody else is at work on them."""
        rows = self.using(router.db_for_write(self.model))
        if not rows.filter(pk=ONLY).exists():
            rows.bulk_create([self.model(pk=ONLY)], ignore_conflicts=True)
        return rows.select_for_update(skip_locked=True).filter(pk=ONLY).first()

    def forget(self, position: int) -> None:
        """Note that events up to this position are no longer all there."""
        rows = self.using(router.db_for_write(self.model))
        rows.filter(pk=ONLY, forgotten__lt=position).update(forgotten=position)


class FeedEnds(models.Model):
    """The last position that was given to an event, and the last of an event that was deleted."""

    published = models.BigIntegerField(_("published"), default=0)
    forgotten = models.BigIntegerField(_("forgotten"), default=0)

    objects = FeedEndsManager()

    class Meta:
        verbose_name = _("ends of the feed")
        verbose_name_plural = _("ends of the feed")

    def __str__(self) -> str:
        return f"{self.forgotten} to {self.published}"

    def publish_up_to(self, position: int) -> None:
        """Note the last position that was given."""
        self.published = position
        self.save(update_fields=["published"])
