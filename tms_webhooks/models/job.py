"""Jobs: long work on many deliveries, with its progress."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import JobKind, JobStatus
from tms_webhooks.models.public_ids import PublicIDModel
from tms_webhooks.models.webhook import Webhook

ALL_READ = "-"
"""`Job.source` of a job that has read every source. The name of a source has a colon."""


class JobQuerySet(models.QuerySet["Job"]):
    """Filters for jobs."""

    def unfinished(self) -> JobQuerySet:
        """Keep pending and running ones, oldest first."""
        return self.filter(status__in=(JobStatus.PENDING, JobStatus.RUNNING)).order_by("pk")


class Job(PublicIDModel):
    """One recovery, replay, cancellation or snapshot, or what moves with objects. It runs in batches, each in a transaction with its progress."""

    PUBLIC_PREFIX = "job_"

    kind = models.CharField(_("kind"), max_length=20, choices=JobKind.choices)
    # Null for a job about what moved with an object, which is for all webhooks.
    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, null=True, blank=True, related_name="jobs", verbose_name=_("webhook")
    )
    since = models.DateTimeField(_("since"), null=True, blank=True)
    until = models.DateTimeField(_("until"), null=True, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=JobStatus.choices, default=JobStatus.PENDING)
    total = models.PositiveIntegerField(_("total"), default=0)
    done = models.PositiveIntegerField(_("done"), default=0)
    # The last key that was processed: an interrupted job continues after it. A snapshot counts its batches here.
    position = models.BigIntegerField(default=0, editable=False)
    # Only for snapshots: the nouns of the objects, and which of them are sent (`snapshot.Selection`). Also the cursor of the
    # feed at the start, and the source that is read now. Also the key, as text, of the last object that was read there, and the number of objects that could not be
    # sent.
    nouns = models.JSONField(_("nouns"), default=list, blank=True)
    selection = models.JSONField(default=dict, blank=True, editable=False)
    cursor = models.TextField(blank=True, default="", editable=False)
    source = models.CharField(max_length=200, blank=True, default="", editable=False)
    key = models.TextField(blank=True, default="", editable=False)
    skipped = models.PositiveIntegerField(_("skipped"), default=0)
    # Only for moves: the source of the objects that moved, and what said whose they were, by their ids. Of a branch of the
    # tree: the organizations that the webhook includes no longer, and from now on.
    moved = models.JSONField(default=dict, blank=True, editable=False, encoder=DjangoJSONEncoder)
    requested_by = models.CharField(_("requested by"), max_length=100, blank=True, default="")
    error = models.CharField(_("error"), max_length=500, blank=True, default="")
    created_at = models.DateTimeField(_("created at"))
    finished_at = models.DateTimeField(_("finished at"), null=True)

    webhook_id: Any

    objects = JobQuerySet.as_manager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ("-pk",)
        indexes = [
            # JobQuerySet.unfinished.
            models.Index(
                fields=["status"],
                name="tms_job_unfinished",
                condition=Q(status__in=(JobStatus.PENDING, JobStatus.RUNNING)),
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

    def _unfinished(self) -> JobQuerySet:
        return type(self).objects.unfinished().filter(pk=self.pk)

    def advance(self, *, position: int, done: int, **values: Any) -> bool:
        """Record a batch of ``done`` deliveries up to this key; return False if another worker recorded it first.

        ``values`` are other fields to set.
        """
        current = self._unfinished().filter(position=self.position)
        values |= {"status": JobStatus.RUNNING, "position": position}
        # More may match than were counted, so only the status shows the end. First, because MariaDB assigns from left to right.
        total = Greatest(F("total"), F("done") + done)
        moved = current.update(total=total, done=F("done") + done, **values)
        if moved:
            for name, value in values.items():
                setattr(self, name, value)
            self.done += done
            self.total = max(self.total, self.done)
        return bool(moved)

    def advance_page(
        self, sources: Sequence[str], source: str, *, end: str | None, done: int, skipped: int = 0
    ) -> bool:
        """Record a page of objects of ``source``, one of these names; return False if another worker recorded it first.

        ``end`` is the key of the last object, as text; None at the end of the source. The next page is then one of the next source.
        """
        following = [*sources[sources.index(source) + 1 :], ALL_READ]
        return self.advance(
            position=self.position + 1,
            done=done,
            skipped=self.skipped + skipped,
            source=following[0] if end is None else source,
            key=end or "",
        )

    def finish(self, *, now: datetime, error: str = "") -> None:
        """End the job, as failed if there is an error, unless it has ended."""
        values: dict[str, Any] = {
            "status": JobStatus.FAILED if error else JobStatus.FINISHED,
            "finished_at": now,
            "error": error[:500],
        }
        if self._unfinished().update(**values):
            for name, value in values.items():
                setattr(self, name, value)
