"""The audit log, to look at: who did what to which webhook, and when."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import LogAdmin
from tms_webhooks.admin.log_filters import WebhookFilter
from tms_webhooks.admin.scope import Scoped
from tms_webhooks.models import AuditEntry


@admin.register(AuditEntry)
class AuditLogAdmin(Scoped, LogAdmin):
    """Entries of the organizations that the signed-in person may see, the newest first."""

    list_display = ("action", "who", "webhook", "target", "at")
    list_filter = (("webhook", WebhookFilter), "action", "actor_kind")
    fields = ("action", "who", "organization", "webhook", "target", "at", "facts")
    readonly_fields = ("who", "facts")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read the webhooks along with the entries."""
        return super().get_queryset(request).select_related("webhook", "organization").defer("webhook__headers")

    @admin.display(description=_("by"))
    def who(self, obj: AuditEntry) -> str:
        """Name who did it, and what they are."""
        return f"{obj.actor_label or obj.actor_id} ({obj.get_actor_kind_display()})".strip()

    @admin.display(description=_("changes"))
    def facts(self, obj: AuditEntry) -> str:
        """Show what changed, with its lines broken."""
        return format_html("<pre>{}</pre>", json.dumps(obj.changes, indent=2, ensure_ascii=False))
