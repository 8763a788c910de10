"""The audit log: who changed which webhook, and when."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import LogAdmin
from tms_webhooks.admin.delivery_rows import cut
from tms_webhooks.admin.formatting import EMPTY, format_moment
from tms_webhooks.admin.log_filters import WebhookFilter
from tms_webhooks.admin.scope import ScopedAdmin
from tms_webhooks.models import AuditEntry
from tms_webhooks.models.webhook import heavy_columns


@admin.register(AuditEntry)
class AuditLogAdmin(ScopedAdmin, LogAdmin):
    """Audit entries of the user's organizations, newest first."""

    list_display = ("action", "author", "webhook_name", "target_id", "moment")
    list_filter = (WebhookFilter, "action", "actor_kind")
    fields = ("action", "actor", "organization", "webhook_link", "target", "at", "formatted_changes")
    readonly_fields = ("webhook_link", "actor", "formatted_changes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Select the entries together with their webhooks and organizations."""
        return super().get_queryset(request).select_related("webhook", "organization").defer(*heavy_columns())

    @admin.display(description=_("webhook"))
    def webhook_name(self, obj: AuditEntry) -> SafeString:
        """Return the name of the webhook."""
        return cut(obj.webhook.name if obj.webhook else EMPTY)

    @admin.display(description=AuditEntry._meta.get_field("target").verbose_name)
    def target_id(self, obj: AuditEntry) -> SafeString:
        """Return the kind and the id of the changed row."""
        return cut(obj.target)

    @admin.display(description=AuditEntry._meta.get_field("at").verbose_name)
    def moment(self, obj: AuditEntry) -> str:
        """Return when it was done, with seconds."""
        return format_moment(obj.at)

    @admin.display(description=_("by"))
    def author(self, obj: AuditEntry) -> SafeString:
        """Return the actor's name and kind, cut where the column ends."""
        return cut(self.actor(obj))

    @admin.display(description=_("by"))
    def actor(self, obj: AuditEntry) -> str:
        """Return the actor's name and kind."""
        return f"{obj.actor_label or obj.actor_id} ({obj.get_actor_kind_display()})".strip()

    @admin.display(description=_("changes"))
    def formatted_changes(self, obj: AuditEntry) -> str:
        """Return the changes as indented JSON."""
        return format_html("<pre>{}</pre>", json.dumps(obj.changes, indent=2, ensure_ascii=False))
