"""The jobs that resend, send or cancel many deliveries, and snapshots."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import LogAdmin
from tms_webhooks.admin.delivery_rows import cut
from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment
from tms_webhooks.admin.scope import ScopedAdmin
from tms_webhooks.choices import JobKind, JobStatus
from tms_webhooks.delivery.replay import MOST_COUNTED, JobProgress, progress_by_job
from tms_webhooks.models import Job
from tms_webhooks.models.webhook import heavy_columns

MOST_IN_LIST = 1_000
"""The number up to which the list of jobs counts deliveries."""


@admin.register(Job)
class JobAdmin(ScopedAdmin, LogAdmin):
    """Jobs, newest first."""

    organization_path = "webhook__organization"

    list_display = ("kind", "webhook_name", "status_dot", "results", "requester", "created", "finished")
    list_filter = ("kind", "status")
    fields = (
        "kind",
        "webhook_link",
        "since",
        "until",
        "nouns",
        "status_dot",
        "progress",
        "skipped",
        "deliveries",
        "requested_by",
        "error",
        "created_at",
        "finished_at",
    )
    readonly_fields = ("webhook_link", "status_dot", "progress", "deliveries")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Select the webhooks together with the jobs."""
        return super().get_queryset(request).select_related("webhook").defer(*heavy_columns())

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields; those of a snapshot's objects for a snapshot alone."""
        return [name for name in self.fields if obj.kind == JobKind.SNAPSHOT or name not in ("nouns", "skipped")]

    @admin.display(description=_("webhook"))
    def webhook_name(self, obj: Job) -> SafeString:
        """Return the name of the webhook."""
        return cut(obj.webhook.name)

    @admin.display(description=_("status"))
    def status_dot(self, obj: Job) -> SafeString:
        """Return the status in its color."""
        color, text = job_status(obj, self._counted(obj))
        return format_html('<span class="tms-status tms-{}">{}</span>', color, text)

    @admin.display(description=_("requested by"))
    def requester(self, obj: Job) -> SafeString:
        """Return the user who started the job."""
        return cut(obj.requested_by or EMPTY)

    @admin.display(description=_("created at"))
    def created(self, obj: Job) -> str:
        """Return when the job was started, with seconds."""
        return format_moment(obj.created_at)

    @admin.display(description=_("finished at"))
    def finished(self, obj: Job) -> str:
        """Return when the job ended, with seconds."""
        return format_moment(obj.finished_at)

    @admin.display(description=_("progress"))
    def progress(self, obj: Job) -> str:
        """Return the number of finished deliveries, of the total."""
        return _("%(done)s of %(total)s") % {"done": format_count(obj.done), "total": format_count(obj.total)}

    @admin.display(description=_("deliveries"))
    def deliveries(self, obj: Job) -> str:
        """Return how the deliveries of a job ended, and how many wait."""
        counted = self._counted(obj)
        return EMPTY if counted is None else progress_text(counted)

    @admin.display(description=_("progress"))
    def results(self, obj: Job) -> str:
        """Return what became of the deliveries of a job, and its progress unless it has queued them all."""
        counted = self._counted(obj)
        texts = [self.progress(obj)] if counted is None or obj.status != JobStatus.FINISHED else []
        return " · ".join([*texts, *([] if counted is None else [progress_text(counted, most=MOST_IN_LIST)])])

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Count the deliveries of the jobs of a page."""
        counted = progress_by_job(rows, most=MOST_IN_LIST)
        for job in rows:
            job.counted = counted.get(job.pk)

    def _counted(self, obj: Any) -> JobProgress | None:
        """Return the numbers of a job's deliveries, which are counted once."""
        if not hasattr(obj, "counted"):
            obj.counted = progress_by_job([obj]).get(obj.pk)
        counted: JobProgress | None = obj.counted
        return counted


def job_status(job: Job, counted: JobProgress | None) -> tuple[str, Any]:
    """Return the color of a job and its status: of one that has queued its deliveries, that of the deliveries."""
    if counted is not None and job.status == JobStatus.FINISHED:
        if counted.waiting:
            return JobStatus.RUNNING, JobStatus.RUNNING.label
        if counted.failed or counted.skipped or counted.cancelled:
            return JobStatus.FAILED, _("Partly delivered") if counted.delivered else _("Not delivered")
    return job.status, job.get_status_display()


def progress_text(counted: JobProgress, *, most: int = MOST_COUNTED) -> str:
    """Return the numbers of a job's deliveries in words. ``most`` is the number up to which they were counted."""
    numbers = {
        name: f"{format_count(number)}{'+' if number >= most else ''}" for name, number in asdict(counted).items()
    }
    texts = [gettext("%(delivered)s delivered, %(failed)s failed, %(waiting)s waiting")]
    if counted.skipped:
        texts.append(gettext("%(skipped)s skipped because the webhook was disabled"))
    if counted.cancelled:
        texts.append(gettext("%(cancelled)s cancelled"))
    return ", ".join(texts) % numbers
