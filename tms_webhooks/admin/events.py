"""The events in the outbox: the list, and the page of one event with its deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks import catalogue
from tms_webhooks.access import within
from tms_webhooks.admin import search
from tms_webhooks.admin.bases import LogAdmin, permits
from tms_webhooks.admin.delivery_rows import (
    cut,
    delivery_rows,
    event_text,
    named_events,
    object_text,
    with_row_columns,
)
from tms_webhooks.admin.formatting import EMPTY, format_moment
from tms_webhooks.admin.log_filters import TypeFilter
from tms_webhooks.admin.scope import ScopedAdmin, allows, organizations
from tms_webhooks.choices import Action, ActorKind, CheckResult
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.webhook import HEAVY_COLUMNS
from tms_webhooks.outbox.feed import visible_to

if TYPE_CHECKING:
    from tms_webhooks.routing.explain import Explanation

MAX_DELIVERIES = 100
MAX_WEBHOOKS = 100
MAX_EXPLAINED = 10


@admin.register(Event)
class EventAdmin(ScopedAdmin, LogAdmin):
    """Events of the user's organizations, and of their learners in other organizations, newest first."""

    list_display = ("object", "event_type", "organization", "occurred", "problem")
    list_filter = (TypeFilter,)
    search_fields = ("uid",)
    search_terms = search.TERMS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Select the organizations together with the events; in the list, without payloads."""
        rows = super(ScopedAdmin, self).get_queryset(request).select_related("organization")
        match = request.resolver_match
        rows = rows if match is not None and "object_id" in match.kwargs else rows.defer("body")
        allowed = organizations(request, Action.VIEW).order_by().values("pk")
        others = organizations(request, Action.VIEW).model._base_manager.exclude(pk__in=allowed)
        return rows.filter(visible_to(allowed)) if others.exists() else rows

    def may(self, request: HttpRequest, action: Action, obj: Any) -> bool:
        """Return whether the user may do ``action`` in the object's organization or in the learner's."""
        if obj is None:
            return super().may(request, action, obj)
        keys = (obj.organization_id, obj.learner_organization_id)
        return any(key is not None and allows(request, action, key) for key in keys)

    def find(self, request: HttpRequest, queryset: QuerySet[Any], term: str) -> QuerySet[Any] | None:
        """Find events by type, id, object, external id or name."""
        types = catalogue.expand(term)
        if types:
            return queryset.filter(type__in=[one.name for one in types])
        keys = search.event_keys(request, term, now=timezone.now())
        return queryset.filter(pk__in=keys) if keys else None

    def nothing_found(self, request: HttpRequest, term: str) -> str:
        """Return where a term was searched."""
        days = search.kept_days()
        text = ngettext(
            "No event of the last %(days)d day matches “%(term)s”.",
            "No event of the last %(days)d days matches “%(term)s”.",
            days,
        )
        return f"{text % {'days': days, 'term': term[:80]}} {search.names_kept()}"

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Make the texts of the objects."""
        named = named_events(rows, request)
        for event in rows:
            event.object_text = object_text(event, is_named=event.pk in named)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one event, with its deliveries and the webhooks that have none."""
        from tms_webhooks.worker.request_preview import pretty

        if request.method != "GET":
            raise PermissionDenied
        event = self.get_object(request, object_id)
        if event is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        webhooks = Webhook.objects.filter(organization__in=organizations(request, Action.VIEW).order_by().values("pk"))
        deliveries = with_row_columns(Delivery.objects.filter(event=event, webhook__in=webhooks))
        shown = list(deliveries.order_by("pk")[:MAX_DELIVERIES])
        shows_payload = self.may(request, Action.VIEW_PAYLOAD, event)
        shows_log = permits(request, "view_delivery")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": event,
            "event": event,
            "actor": _actor(event),
            "title": f"{event.type} {event.subject_type}:{event.subject_id}",
            "rows": delivery_rows(shown, request, now=timezone.now()) if shows_log else None,
            "is_waiting": event.fanned_out_at is None or any(one.due_at is not None for one in shown),
            "others": _reasons(_explained(request, webhooks, event, shown), event) if shows_payload else [],
            "type": event_text(event),
            "object": object_text(event, is_named=shows_payload),
            "body": pretty(event.body) if shows_payload else None,
        }
        return TemplateResponse(request, "admin/tms_webhooks/event/page.html", context)

    @admin.display(description=_("object"))
    def object(self, obj: Any) -> SafeString:
        """Return the name and the ids of the object."""
        text: SafeString = obj.object_text
        return text

    @admin.display(description=_("event"))
    def event_type(self, obj: Event) -> SafeString:
        """Return the event type."""
        return event_text(obj)

    @admin.display(description=_("occurred"))
    def occurred(self, obj: Event) -> str:
        """Return when it occurred, with seconds."""
        return format_moment(obj.occurred_at)

    @admin.display(description=_("error"))
    def problem(self, obj: Event) -> SafeString:
        """Return why the payload could not be built; a dash if it was."""
        return cut(obj.error or EMPTY)


def _explained(
    request: HttpRequest, webhooks: QuerySet[Webhook], event: Event, deliveries: Sequence[Delivery]
) -> QuerySet[Webhook] | Sequence[Webhook]:
    """Return the webhooks without a delivery that the user may have explained: it takes the right to view their payloads."""
    if not permits(request, "view_webhook"):
        return ()
    others = within(webhooks, organizations(request, Action.VIEW_PAYLOAD)).filter(deleted_at__isnull=True)
    others = others.exclude(pk__in=[one.webhook_id for one in deliveries]).defer(*HEAVY_COLUMNS)
    if event.webhook_id is not None:
        # Of a snapshot: no other webhook could have one.
        others = others.filter(pk=event.webhook_id)
    return others.order_by("name", "pk")[:MAX_WEBHOOKS]


def _reasons(webhooks: Iterable[Webhook], event: Event) -> list[tuple[Webhook, str]]:
    """Return each webhook, the first `MAX_EXPLAINED` with the reason why it has no delivery of the event."""
    from tms_webhooks.routing.explain import explain

    return [
        (webhook, _reason(explain(webhook, event)) if index < MAX_EXPLAINED else "")
        for index, webhook in enumerate(webhooks)
    ]


def _reason(explanation: Explanation) -> str:
    """Return the first check that failed; a filter that failed says more than a subscription to other events."""
    failed = [one for one in explanation.clauses if one.verdict is explanation.verdict is not CheckResult.YES]
    if not failed:
        return explanation.summary
    return min(failed, key=lambda one: one.name == "event_type").sentence


def _actor(event: Event) -> str:
    kinds: dict[str, Any] = dict(ActorKind.choices)
    return f"{kinds.get(event.actor_kind, event.actor_kind)} {event.actor_id}".strip()
