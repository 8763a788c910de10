"""The logs of jobs, which resend, send or cancel many deliveries, and of changes: who changed which webhook, and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import ScopedAdmin, column, sees_all
from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment, format_total, moment_cell
from tms_webhooks.admin.logs import LogAdmin, WebhookFilter
from tms_webhooks.admin.words import cut
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, JobKind, JobStatus
from tms_webhooks.models import AuditEntry, Job
from tms_webhooks.models.webhook import heavy_columns

if TYPE_CHECKING:
    from tms_webhooks.delivery.replay import JobProgress


@admin.register(Job)
class JobAdmin(LogAdmin):
    """Jobs, newest first."""

    organization_path = "webhook__organization"

    list_display = ("kind", "webhook_link", "status_dot", "results", "requester", "created", "finished")
    list_filter = ("kind", "status")
    fields = (
        "kind",
        "webhook_link",
        "begin",
        "end",
        "objects",
        "status_dot",
        "results",
        "skipped",
        "requested_by",
        "error",
        "created",
        "finished",
    )

    requester = column(_("requested by"), lambda job: cut(job.requested_by or EMPTY))
    created = column(_("created at"), lambda job: moment_cell(job.created_at))
    finished = column(_("finished at"), lambda job: moment_cell(job.finished_at))
    begin = column(_("since"), lambda job: format_moment(job.since))
    end = column(_("until"), lambda job: format_moment(job.until))
    objects = column(_("objects"), lambda job: ", ".join(map(noun_title, job.nouns)) or EMPTY)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = Job.objects.all() if sees_all(request, Action.VIEW) else super().get_queryset(request)
        return rows.select_related("webhook").defer(*heavy_columns())

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the user may do ``action`` on a job; one without a webhook is for users who see all."""
        if obj is not None and obj.webhook_id is None:
            return sees_all(request, action)
        return super().may(request, action, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields: either those of a range or those of objects."""
        is_of_objects = obj.kind in (JobKind.SNAPSHOT, JobKind.MOVE)
        left_out = ("begin", "end") if is_of_objects else ("objects", "skipped")
        return [name for name in self.fields if name not in left_out]

    @admin.display(description=_("status"))
    def status_dot(self, obj: Job) -> SafeString:
        """Return the status in its color."""
        return format_html('<span class="tms-status tms-{}">{}</span>', *job_status(obj, counted(obj)))

    @admin.display(description=_("result"))
    def results(self, obj: Job) -> SafeString:
        """Return the progress of a job and the results of its deliveries."""
        return result_link(self, obj, counted(obj))

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        from tms_webhooks.delivery.replay import progress_by_job

        found = progress_by_job(rows)
        for job in rows:
            job.counted = found.get(job.pk)


def counted(job: Any) -> JobProgress | None:
    """Return the numbers of a job's deliveries, which are counted once."""
    if not hasattr(job, "counted"):
        from tms_webhooks.delivery.replay import progress_by_job

        job.counted = progress_by_job([job]).get(job.pk)
    return job.counted


def job_status(job: Job, counted: JobProgress | None) -> tuple[str, Any]:
    """Return the color of a job and its status: of one that has queued its deliveries, that of the deliveries."""
    if counted is not None and job.status == JobStatus.FINISHED:
        if counted.waiting:
            return JobStatus.RUNNING, JobStatus.RUNNING.label
        if counted.failed or counted.skipped or counted.cancelled:
            return JobStatus.FAILED, _("Partly delivered") if counted.delivered else _("Not delivered")
    return job.status, job.get_status_display()


def result_link(pages: ScopedAdmin, job: Job, counted: JobProgress | None) -> SafeString:
    """Return the progress of a job and the results of its deliveries, with a link to these: "12 of 12, 11 delivered, 1 failed"."""
    total = format_count(job.total) if job.status == JobStatus.FINISHED else format_total(job.total, job.kind)
    done = gettext("%(done)s of %(total)s") % {"done": format_count(job.done), "total": total}
    if counted is None or not any(counted):
        return format_html("{}", done)
    address = f"{pages.url('delivery_changelist')}?{urlencode({'job': job.public_id})}"
    return format_html('<a href="{}">{}, {}</a>', address, done, progress_text(counted))


def progress_text(counted: JobProgress) -> str:
    """Return the numbers of deliveries in words, without those that are zero."""
    texts = {
        "delivered": gettext("%(count)s delivered"),
        "failed": gettext("%(count)s failed"),
        "skipped": gettext("%(count)s skipped because the webhook was disabled"),
        "cancelled": gettext("%(count)s cancelled"),
        "waiting": gettext("%(count)s waiting"),
    }
    numbers = counted._asdict()
    return ", ".join(text % {"count": format_count(numbers[name])} for name, text in texts.items() if numbers[name])


def noun_title(name: str) -> str:
    """Return the title of a noun, or its name if no source has it any longer."""
    event_types = registry.grouped().get(name)
    return gettext(event_types[0].noun.title) if event_types else name


@admin.register(AuditEntry)
class AuditLogAdmin(LogAdmin):
    """Audit entries of the user's organizations, newest first."""

    list_display = ("action", "author", "webhook_link", "changed", "moment")
    list_filter = (WebhookFilter, "action", "actor_kind")
    fields = ("action", "actor", "organization", "webhook_link", "target", "moment", "formatted_changes")

    changed = column(_("changes"), lambda entry: cut(", ".join(entry.changes)))
    moment = column(AuditEntry._meta.get_field("at").verbose_name, lambda entry: moment_cell(entry.at))
    author = column(_("by"), lambda entry: cut(entry.actor_label or entry.get_actor_kind_display()))
    actor = column(
        _("by"), lambda entry: f"{entry.actor_label or entry.actor_id} ({entry.get_actor_kind_display()})".strip()
    )
    formatted_changes = column(
        _("changes"),
        lambda entry: format_html("<pre>{}</pre>", json.dumps(entry.changes, indent=2, ensure_ascii=False)),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("webhook", "organization").defer(*heavy_columns())
