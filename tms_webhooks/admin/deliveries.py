"""The delivery log: what was sent to whom, each attempt, and a way to send it again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import router, transaction
from django.db.models import Field, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks.admin.bases import LogAdmin, TabularInline, event_uid
from tms_webhooks.admin.scope import Scoped, allows, organizations
from tms_webhooks.choices import Action
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook
from tms_webhooks.outbox.ring import bell

MOST_ATTEMPTS = 50
MOST_WEBHOOKS = 200
RESENT_AT_ONCE = 100
REFUSALS_SHOWN = 5


class WebhookFilter(admin.RelatedFieldListFilter):
    """Offers the first webhooks by name. Any other one is reached by the link on its own page."""

    def field_choices(self, field: Field[Any, Any], request: HttpRequest, model_admin: Any) -> list[tuple[Any, Any]]:
        """Return (key, name) of webhooks that exist."""
        webhooks = Webhook.objects.existing().filter(organization__in=organizations(request, Action.VIEW))
        return list[tuple[Any, Any]](webhooks.order_by("name", "pk").values_list("pk", "name")[:MOST_WEBHOOKS])


class AttemptInline(TabularInline):
    """The attempts of a delivery, the last 50 of them."""

    model = DeliveryAttempt
    fields = (
        "number",
        "started_at",
        "duration_ms",
        "status_code",
        "error_class",
        "message",
        "next_delay",
        "delay_reason",
    )
    extra = 0
    can_delete = False
    show_change_link = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Show what receivers answered only to those who may see payloads: it is a way to read an inner network."""
        names = [str(name) for name in self.fields]
        may_see = request.user.has_perm("tms_webhooks.view_event") and (
            obj is None or allows(request, Action.VIEW_PAYLOAD, obj.webhook.organization_id)
        )
        return [*names, "response_body"] if may_see else names

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Keep the last ones of this delivery: deferrals are not limited in number."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        key = "" if match is None else str(match.kwargs.get("object_id", ""))
        if not key.isdecimal():
            return rows.none()
        last = DeliveryAttempt.objects.filter(delivery=int(key)).order_by("-pk").values_list("pk", flat=True)
        return rows.filter(pk__in=list(last[:MOST_ATTEMPTS]))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may see the delivery."""
        return request.user.has_perm("tms_webhooks.view_delivery")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


@admin.register(Delivery)
class DeliveryAdmin(Scoped, LogAdmin):
    """Deliveries, the newest first."""

    organization_path = "webhook__organization"
    change_action = Action.REPLAY

    list_display = (
        "event_type",
        "event_public_id",
        "webhook",
        "status",
        "attempts",
        "error_class",
        "created_at",
        "due_at",
        "finished_at",
    )
    list_filter = (("webhook", WebhookFilter), "status", "error_class")
    fields = (
        "event",
        "webhook",
        "status",
        "lane",
        "attempts",
        "charged",
        "error_class",
        "created_at",
        "due_at",
        "reopened_at",
        "finished_at",
    )
    inlines = (AttemptInline,)
    search_fields = ("event__uid",)
    what_can_be_found = _("an event's id, evt_…, or a delivery's number")
    search_help_text = what_can_be_found
    actions = ("resend_selected",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Delivery]:
        """Read what the rows name along with them, and leave the payloads where they are."""
        rows = super().get_queryset(request).select_related("event", "webhook")
        return rows.defer("event__body", "event__error", "webhook__headers")

    def find(self, queryset: QuerySet[Any], term: str) -> QuerySet[Any] | None:
        """Find by an event's id or a delivery's number, as the header ``tms-delivery-id`` tells it."""
        uid = event_uid(term)
        if uid is not None:
            return queryset.filter(event__uid=uid)
        # No key has more digits, and no database takes them.
        return queryset.filter(pk=int(term)) if term.isdecimal() and len(term) <= 18 else None

    @admin.display(description=_("event"))
    def event_type(self, obj: Delivery) -> str:
        """Show what is told."""
        return obj.event.type

    @admin.display(description=_("event id"))
    def event_public_id(self, obj: Delivery) -> str:
        """Show the id that the receiver sees."""
        return obj.event.public_id

    def has_resend_permission(self, request: HttpRequest) -> bool:
        """Whoever may change deliveries; there is no other change."""
        return request.user.has_perm("tms_webhooks.change_delivery")

    @admin.action(description=_("Resend selected"), permissions=["resend"])
    def resend_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Send each once more, now."""
        keys = list(queryset.values_list("pk", flat=True)[: RESENT_AT_ONCE + 1])
        if len(keys) > RESENT_AT_ONCE:
            told = _("Select at most %(most)d deliveries; nothing was sent.") % {"most": RESENT_AT_ONCE}
            self.message_user(request, told, messages.ERROR)
            return
        count, refusals, now = 0, [], timezone.now()
        allowed = organizations(request, Action.REPLAY).order_by().values("pk")
        chosen = Delivery.objects.filter(pk__in=keys, webhook__organization__in=allowed)
        for delivery in chosen.select_related("event", "webhook").order_by("pk"):
            try:
                replay.resend(delivery, now=now)
            except ReplayError as error:
                refusals.append(str(error))
            else:
                count += 1
        for refusal in refusals[:REFUSALS_SHOWN]:
            self.message_user(request, refusal, messages.WARNING)
        if len(refusals) > REFUSALS_SHOWN:
            told = _("%(count)d more can't be sent again.") % {"count": len(refusals) - REFUSALS_SHOWN}
            self.message_user(request, told, messages.WARNING)
        if count:
            transaction.on_commit(bell.ring, using=router.db_for_write(Delivery), robust=True)
            told = ngettext("%(count)d delivery is sent again.", "%(count)d deliveries are sent again.", count)
            self.message_user(request, told % {"count": count}, messages.SUCCESS)
