"""Edited learning paths whose learners are still to be checked. Written with the edit, so that no crash loses one."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models.source_state import LONGEST_KEY, LONGEST_SOURCE


class EditedPath(models.Model):
    """One edit of one path, until the events of the learners that it completes are recorded.

    Each edit has its own row. A check of a path deletes the rows that it has read, and leaves those of later edits.
    """

    source = models.CharField(max_length=LONGEST_SOURCE)
    key = models.CharField(max_length=LONGEST_KEY)
    edited_at = models.DateTimeField()

    class Meta:
        verbose_name = _("edited path")
        verbose_name_plural = _("edited paths")
        indexes = [
            # The edits of one path.
            models.Index(fields=["source", "key"], name="tms_edited_path_by_key"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"
