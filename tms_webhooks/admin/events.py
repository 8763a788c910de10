"""The outbox, to look at."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.bases import LogAdmin, event_uid
from tms_webhooks.admin.log_filters import TypeFilter
from tms_webhooks.admin.scope import Scoped, allows
from tms_webhooks.choices import Action
from tms_webhooks.models import Event


@admin.register(Event)
class EventAdmin(Scoped, LogAdmin):
    """Events, the newest first."""

    list_display = (
        "type",
        "public_id",
        "organization",
        "subject",
        "sequence",
        "occurred_at",
        "fanned_out_at",
        "problem",
    )
    list_filter = (TypeFilter,)
    fields = (
        "type",
        "version",
        "public_id",
        "organization",
        "subject",
        "sequence",
        "actor",
        "occurred_at",
        "fanned_out_at",
        "subscription_id",
        "deliveries",
        "error",
        "payload",
    )
    readonly_fields = ("public_id", "subject", "actor", "subscription_id", "deliveries", "payload")
    search_fields = ("uid",)
    what_can_be_found = _("an event's id, evt_…, or an object, such as enrollment:42")
    search_help_text = what_can_be_found

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Show the payload only to those who may see it."""
        may_see = obj is not None and allows(request, Action.VIEW_PAYLOAD, obj.organization_id)
        return [name for name in self.fields if may_see or name != "payload"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Read the organizations along with the events; in the list, leave the payloads where they are."""
        rows = super().get_queryset(request).select_related("organization")
        match = request.resolver_match
        return rows if match is not None and "object_id" in match.kwargs else rows.defer("body")

    def find(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any] | None:
        """Find by an event's id, or all of one object."""
        uid = event_uid(term)
        if uid is not None:
            return queryset.filter(uid=uid)
        noun, colon, key = term.partition(":")
        return queryset.filter(subject_type=noun, subject_id=key) if colon else None

    @admin.display(description=_("id"))
    def public_id(self, obj: Event) -> str:
        """Show the id that receivers see."""
        return obj.public_id

    @admin.display(description=_("object"))
    def subject(self, obj: Event) -> str:
        """Name what it happened to."""
        return f"{obj.subject_type}:{obj.subject_id}"

    @admin.display(description=_("actor"))
    def actor(self, obj: Event) -> str:
        """Name who caused it."""
        return f"{obj.actor_kind} {obj.actor_id}".strip()

    @admin.display(description=_("for subscription"))
    def subscription_id(self, obj: Event) -> str:
        """Show the number alone: the subscription may be gone."""
        return str(obj.subscription_id or "-")

    @admin.display(description=_("error"), boolean=True)
    def problem(self, obj: Event) -> bool | None:
        """Mark those whose payload could not be built."""
        return False if obj.error else None

    @admin.display(description=_("deliveries"))
    def deliveries(self, obj: Event) -> str:
        """Lead to the delivery log."""
        page = reverse(f"{self.admin_site.name}:tms_webhooks_delivery_changelist")
        return format_html('<a href="{}?{}">{}</a>', page, urlencode({"q": obj.public_id}), _("Log"))

    @admin.display(description=_("payload"))
    def payload(self, obj: Event) -> str:
        """Show the body with its lines broken."""
        if not obj.body:
            return str(_("It is no longer kept, or could never be built."))
        try:
            text = json.dumps(json.loads(obj.body), indent=2, ensure_ascii=False)
        except ValueError:
            text = obj.body
        return format_html("<pre>{}</pre>", text)
