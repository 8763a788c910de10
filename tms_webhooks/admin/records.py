"""The logs of jobs, which resend, send or cancel many deliveries, and of changes: who changed which webhook, and when."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.validators import EMPTY_VALUES
from django.db.models import DateTimeField, Field, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import ScopedAdmin, column, object_names, sees_all
from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment, format_total, moment_cell
from tms_webhooks.admin.logs import LogAdmin, WebhookFilter
from tms_webhooks.admin.words import cut
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, JobStatus
from tms_webhooks.models import AuditEntry, Job, Subscription, Webhook
from tms_webhooks.models.webhook import heavy_columns


def count_deliveries(jobs: Collection[Any]) -> None:
    """Set ``counted`` of these jobs: the numbers of their deliveries, or None."""
    from tms_webhooks.delivery.replay import progress_by_job

    found = progress_by_job(jobs)
    for job in jobs:
        job.counted = found.get(job.pk)


def job_status(job: Any) -> tuple[str, Any]:
    """Return the color of a job and its status: of one that has queued its deliveries, that of the deliveries."""
    counted = job.counted
    if counted is not None and job.status == JobStatus.FINISHED:
        if counted.waiting:
            return JobStatus.RUNNING, JobStatus.RUNNING.label
        if counted.failed or counted.skipped or counted.cancelled:
            return JobStatus.FAILED, _("Partly delivered") if counted.delivered else _("Not delivered")
    return job.status, job.get_status_display()


def is_moving(job: Any) -> bool:
    """Return whether a job, or one of its deliveries, is unfinished."""
    return job_status(job)[0] in (JobStatus.PENDING, JobStatus.RUNNING)


def colored_status(job: Any) -> SafeString:
    """Return the status of a job in its color."""
    return format_html('<span class="tms-status tms-{}">{}</span>', *job_status(job))


def result_link(pages: ScopedAdmin, job: Any) -> SafeString:
    """Return the progress of a job and the results of its deliveries, with a link to these: "12 of 12, 11 delivered, 1 failed"."""
    total = format_count(job.total) if job.status == JobStatus.FINISHED else format_total(job.total, job.kind)
    done = gettext("%(done)s of %(total)s") % {"done": format_count(job.done), "total": total}
    texts = {
        "delivered": gettext("%(count)s delivered"),
        "failed": gettext("%(count)s failed"),
        "skipped": gettext("%(count)s skipped because the webhook was disabled"),
        "cancelled": gettext("%(count)s cancelled"),
        "waiting": gettext("%(count)s waiting"),
    }
    numbers = {} if job.counted is None else job.counted._asdict()
    counts = [texts[name] % {"count": format_count(number)} for name, number in numbers.items() if number]
    if not counts:
        return format_html("{}", done)
    address = f"{pages.url('delivery_changelist')}?{urlencode({'job': job.public_id})}"
    return format_html('<a href="{}">{}</a>', address, ", ".join([done, *counts]))


def noun_title(name: str) -> str:
    """Return the title of a noun, or its name if no source has it any longer."""
    event_types = registry.grouped().get(name)
    return gettext(event_types[0].noun.title) if event_types else name


@admin.register(Job)
class JobAdmin(LogAdmin):
    """Jobs, newest first."""

    organization_path = "webhook__organization"

    list_display = ("kind", "webhook_link", "status_dot", "results", "requester", "created", "finished")
    list_filter = ("kind", "status")

    status_dot = column(_("status"), colored_status)
    results = admin.display(result_link, description=_("result"))
    requester = column(_("requested by"), lambda job: cut(job.requested_by or EMPTY))
    created = column(_("created at"), lambda job: moment_cell(job.created_at))
    finished = column(_("finished at"), lambda job: moment_cell(job.finished_at))

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = Job.objects.all() if sees_all(request, Action.VIEW) else super().get_queryset(request)
        return rows.select_related("webhook").defer(*heavy_columns())

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the user may do ``action`` on a job; one without a webhook is for users who see all."""
        if obj is not None and obj.webhook_id is None:
            return sees_all(request, action)
        return super().may(request, action, obj)

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        count_deliveries(rows)

    def show(self, request: HttpRequest, row: Any) -> HttpResponse:
        """Show one job: its range or its objects, and its progress."""
        count_deliveries([row])
        return self.page(
            request,
            "job/page",
            row,
            title=row.get_kind_display(),
            status=colored_status(row),
            result=result_link(self, row),
            objects=", ".join(map(noun_title, row.nouns)),
            is_moving=is_moving(row),
        )


FIELDS: dict[str, Any] = {field.name: field for model in (Job, Webhook, Subscription) for field in model._meta.fields}
"""The fields that entries of the audit log name."""


def field_label(name: str) -> str:
    """Return the label of a field that an entry names. Other names are facts, such as "status_code"."""
    return str(FIELDS[name].verbose_name) if name in FIELDS else name.replace("_", " ")


@admin.register(AuditEntry)
class AuditLogAdmin(LogAdmin):
    """Audit entries of the user's organizations, newest first."""

    list_display = ("action", "author", "webhook_link", "changed", "moment")
    list_filter = (WebhookFilter, "action", "actor_kind")

    changed = column(_("changes"), lambda entry: cut(", ".join(map(field_label, entry.changes))))
    moment = column(AuditEntry._meta.get_field("at").verbose_name, lambda entry: moment_cell(entry.at))
    author = column(_("by"), lambda entry: cut(entry.actor_label or entry.get_actor_kind_display()))

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("webhook", "organization").defer(*heavy_columns())

    def show(self, request: HttpRequest, row: AuditEntry) -> HttpResponse:
        """Show one entry: its changes in words, with names for the ids that the user may see."""
        from tms_webhooks.admin.forms.fields import shown_value
        from tms_webhooks.admin.forms.subscription import LABELS, described

        changed = {
            name: change if isinstance(change, dict) and "to" in change else {"to": change}
            for name, change in row.changes.items()
        }
        subscriptions = Subscription.objects.filter(Subscription.by_public_id(row.target.partition(":")[2]))
        pattern = subscriptions.values_list("event_type", flat=True).first() or ""
        filters = [Subscription(filters=one) for one in changed.get("filters", {}).values() if one]
        names = object_names(request, filters)

        def text(name: str, value: Any) -> str:
            if name == "organization":
                return str(row.organization)
            if name == "filters" and value:
                words = described(Subscription(event_type=pattern, filters=value), names)
                return "; ".join(text for key, text in words if key in LABELS)
            if isinstance(FIELDS.get(name), DateTimeField):
                return format_moment(parse_datetime(value or ""))
            return shown_value(FIELDS.get(name, Field()), value)

        return self.page(
            request,
            "auditentry/page",
            row,
            title=row.get_action_display(),
            pattern=pattern,
            changes=[
                (
                    field_label(name),
                    {end: text(name, value) for end, value in change.items() if value not in EMPTY_VALUES},
                )
                for name, change in changed.items()
            ],
        )
