"""Learning paths that were edited, and that somebody has to look at: written with the edit, so that no crash loses it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models.source_state import LONGEST_KEY, LONGEST_SOURCE


class EditedPath(models.Model):
    """One edit of one path, until those whom it completes have been told. Each edit has a row of its own.

    So whoever looks at a path takes away what was there when it looked, and not an edit that comes meanwhile.
    """

    source = models.CharField(max_length=LONGEST_SOURCE)
    key = models.CharField(max_length=LONGEST_KEY)
    edited_at = models.DateTimeField()

    class Meta:
        verbose_name = _("edited path")
        verbose_name_plural = _("edited paths")
        indexes = [models.Index(fields=["source", "key"], name="tms_edited_path_by_key")]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"
