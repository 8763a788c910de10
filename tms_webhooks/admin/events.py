"""The events in the outbox: the list, and the page of one event with its deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks import catalogue
from tms_webhooks.access import within
from tms_webhooks.admin import search
from tms_webhooks.admin.bases import ScopedAdmin, column
from tms_webhooks.admin.delivery_text import (
    cut,
    delivery_rows,
    event_text,
    named_events,
    object_text,
    with_row_columns,
)
from tms_webhooks.admin.formatting import EMPTY, format_moment
from tms_webhooks.admin.logs import LogAdmin, TypeFilter
from tms_webhooks.admin.scope import allowed_keys, allows, organizations, permits, sees_all
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
class EventAdmin(LogAdmin):
    """Events of the user's organizations, and of their learners in other organizations, newest first."""

    list_display = ("object", "event_type", "organization", "occurred", "problem")
    list_filter = (TypeFilter,)
    search_fields = ("uid",)
    search_terms = search.TERMS

    object = column(_("object"), lambda event: event.object_text)
    event_type = column(_("event"), event_text)
    occurred = column(_("occurred"), lambda event: format_moment(event.occurred_at))
    problem = column(_("error"), lambda event: cut(event.error or EMPTY))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """Select the organizations together with the events; in the list, without payloads."""
        rows = super(ScopedAdmin, self).get_queryset(request).select_related("organization")
        match = request.resolver_match
        rows = rows if match is not None and "object_id" in match.kwargs else rows.defer("body")
        return rows if sees_all(request, Action.VIEW) else rows.filter(visible_to(allowed_keys(request, Action.VIEW)))

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
            return queryset.filter(type__in=[event_type.name for event_type in types])
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

    def show(self, request: HttpRequest, row: Event) -> HttpResponse:
        """Show one event, with its deliveries and the webhooks that have none."""
        from tms_webhooks.routing.explain import explain
        from tms_webhooks.worker.request_preview import pretty

        webhooks = Webhook.objects.filter(organization__in=allowed_keys(request, Action.VIEW))
        deliveries = with_row_columns(Delivery.objects.filter(event=row, webhook__in=webhooks))
        shown = list(deliveries.order_by("pk")[:MAX_DELIVERIES])
        shows_payload = self.may(request, Action.VIEW_PAYLOAD, row)
        kinds: dict[str, Any] = dict(ActorKind.choices)
        others = _explained(request, webhooks, row, shown) if shows_payload else ()
        return self.page(
            request,
            "event/page",
            row,
            event=row,
            actor=f"{kinds.get(row.actor_kind, row.actor_kind)} {row.actor_id}".strip(),
            title=f"{row.type} {row.subject_type}:{row.subject_id}",
            rows=delivery_rows(shown, request, now=timezone.now()) if permits(request, "view_delivery") else None,
            is_waiting=row.fanned_out_at is None or any(delivery.due_at is not None for delivery in shown),
            # The first ones with the reason why they have no delivery of the event.
            others=[
                (webhook, _reason(explain(webhook, row)) if index < MAX_EXPLAINED else "")
                for index, webhook in enumerate(others)
            ],
            type=event_text(row),
            object=object_text(row, is_named=shows_payload),
            body=pretty(row.body) if shows_payload else None,
        )


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


def _reason(explanation: Explanation) -> str:
    """Return the first check that failed; a filter that failed says more than a subscription to other events."""
    failed = [one for one in explanation.clauses if one.verdict is explanation.verdict is not CheckResult.YES]
    if not failed:
        return explanation.summary
    return min(failed, key=lambda one: one.name == "event_type").sentence
