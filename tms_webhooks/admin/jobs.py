"""The jobs that resend, send or cancel many deliveries, and snapshots."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import LogAdmin
from tms_webhooks.admin.delivery_rows import cut
from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment
from tms_webhooks.admin.scope import ScopedAdmin
from tms_webhooks.delivery.job_progress import progress as count_deliveries
from tms_webhooks.models import Job
from tms_webhooks.models.webhook import heavy_columns


@admin.register(Job)
class JobAdmin(ScopedAdmin, LogAdmin):
    """Jobs, newest first."""

    organization_path = "webhook__organization"

    list_display = ("kind", "webhook_name", "status_dot", "progress", "requester", "created", "finished")
    list_filter = ("kind", "status")
    fields = (
        "kind",
        "webhook_link",
        "since",
        "until",
        "nouns",
        "status",
        "progress",
        "skipped",
        "deliveries",
        "requested_by",
        "error",
        "created_at",
        "finished_at",
    )
    readonly_fields = ("webhook_link", "progress", "deliveries")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Select the webhooks together with the jobs."""
        return super().get_queryset(request).select_related("webhook").defer(*heavy_columns())

    @admin.display(description=_("webhook"))
    def webhook_name(self, obj: Job) -> SafeString:
        """Return the name of the webhook."""
        return cut(obj.webhook.name)

    @admin.display(description=_("status"))
    def status_dot(self, obj: Job) -> SafeString:
        """Return the status in its color."""
        return format_html('<span class="tms-status tms-{}">{}</span>', obj.status, obj.get_status_display())

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
        """Return how many deliveries of a job are delivered, failed and waiting."""
        counted = count_deliveries(obj)
        if counted is None:
            return EMPTY
        numbers = {name: format_count(number) for name, number in asdict(counted).items()}
        return _("%(delivered)s delivered, %(failed)s failed, %(waiting)s waiting") % numbers
