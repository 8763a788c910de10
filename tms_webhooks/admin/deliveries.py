"""The delivery log: the list, its search, the page of one delivery, and resending."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from tms_webhooks.admin.bases import (
    ScopedAdmin,
    allowed_among,
    allowed_keys,
    column,
    covers_children,
    may_view_payload_of,
    may_view_payloads,
    permits,
)
from tms_webhooks.admin.events import found_by_event, visible_events
from tms_webhooks.admin.logs import JobFilter, LogAdmin, OrganizationFilter, TimeFilter, TypeFilter, WebhookFilter
from tms_webhooks.admin.words import delivery_context, delivery_rows, status_text, with_row_columns
from tms_webhooks.choices import Action
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.public_ids import DELIVERY_PREFIX

MAX_RESENDS = 100
MAX_REFUSALS = 5


def _text(name: str, title: Any) -> Any:
    """Return a column of the list that shows a text of `delivery_rows`."""
    return column(title, lambda delivery: delivery.row[name])


@admin.register(Delivery)
class DeliveryAdmin(LogAdmin):
    """Deliveries, newest first."""

    organization_path = "webhook__organization"
    change_action = Action.REPLAY
    own_pages = (("<str:key>/resend/", "delivery_resend", "deliveries.resend"),)

    list_display = ("object", "event_type", "outcome", "when")
    list_filter = (
        WebhookFilter,
        "status",
        "error_class",
        TypeFilter,
        OrganizationFilter,
        TimeFilter,
        JobFilter,
    )
    search_fields = ("event__uid",)
    actions = ("resend_selected",)

    object = _text("object", _("object"))
    event_type = admin.display(
        lambda pages, row: format_html(
            '{}<span class="tms-cut tms-to">{}</span>', row.row["event"], pages.webhook_link(row)
        ),
        description=_("event and webhook"),
    )
    outcome = _text("outcome", _("outcome"))
    when = _text("when", _("when"))

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Select events and webhooks together with the deliveries, without payloads."""
        rows: QuerySet = with_row_columns(super(ScopedAdmin, self).get_queryset(request))
        allowed = allowed_keys(request, Action.VIEW)
        # Reads the webhook keys first: a join from a million deliveries to the organizations is slow.
        if Webhook.objects.exclude(organization__in=allowed).exists():
            keys = Webhook.objects.filter(organization__in=allowed).values_list("pk", flat=True)
            rows = rows.filter(webhook__in=list(keys))
        return rows

    def find(self, request: HttpRequest, queryset: QuerySet, term: str) -> QuerySet:
        """Find deliveries by their event or object, or by the id in ``tms-delivery-id``."""
        if term.startswith(DELIVERY_PREFIX):
            return queryset.filter(Delivery.by_public_id(term))
        return found_by_event(request, queryset, term, path="event__")

    def list_context(self, request: HttpRequest, changelist: ChangeList) -> dict[str, Any]:
        """Add how many events without a delivery a search has found, and the page with the reasons."""
        context, term = super().list_context(request, changelist), changelist.query
        context["is_waiting"] = any(delivery.due_at for delivery in changelist.result_list)
        if term and not changelist.result_count and permits(request, "view_event"):
            context["events"], webhook = visible_events(request, term), context["webhook"]
            if webhook is not None and may_view_payloads(request, webhook):
                context["reasons"] = f"{self.url('webhook_explain', webhook)}?{urlencode({'event': term})}"
            else:
                context["reasons"] = f"{self.url('event_changelist')}?{urlencode({'q': term})}"
        return context

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Make the texts of all columns."""
        for delivery, row in zip(rows, delivery_rows(rows, request, now=timezone.now()), strict=True):
            delivery.row = row

    # One delivery

    def show(self, request: HttpRequest, row: Delivery) -> HttpResponse:
        """Show one delivery, with its attempts and its request."""
        from tms_webhooks.documents.request_preview import preview_of
        from tms_webhooks.manage import deliveries as manage

        may_view = may_view_payload_of(request, row)
        may_send = row.webhook.deleted_at is None and self.may_send(request, row)
        may_resend, may_send_now = may_send and manage.is_finished(row), may_send and manage.is_waiting(row)
        preview, now = None, timezone.now()
        if may_view and (may_resend or may_send_now or row.next_attempt_at(now=now)):
            masks_url = row.webhook.masked_url != row.webhook.url and not (
                permits(request, "change_webhook") and self.may(request, Action.MANAGE, row)
            )
            preview = preview_of(row, now=now, masks_url=masks_url)
        context = delivery_context(row, now=now, payload=may_view, preview=preview)
        return self.page(
            request,
            "delivery/page",
            row,
            delivery=row,
            title=f"{row.event.type} → {row.webhook.name}",
            is_open=row.due_at is not None,
            may_resend=may_resend,
            may_send_now=may_send_now,
            may_view_payload=may_view,
            **context,
        )

    # Sending manually

    @admin.action(description=_("Send selected"), permissions=["resend"])
    def resend_selected(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        """Ask for confirmation, and have each selected delivery attempted now."""
        rows = list(queryset.defer(None).order_by("pk")[: MAX_RESENDS + 1])
        if len(rows) > MAX_RESENDS:
            message = _("Select at most %(most)d deliveries. Nothing was sent.") % {"most": MAX_RESENDS}
            self.message_user(request, message, messages.ERROR)
            return None
        # One query for all organizations.
        allowed_among(request, Action.REPLAY, {row.webhook.organization_id for row in rows})
        selected = [row for row in rows if self.may_send(request, row)]
        if "confirmed" not in request.POST:
            return self.ask(request, selected)
        self.send(request, selected)
        return None

    def ask(self, request: HttpRequest, deliveries: Sequence[Delivery], row: Delivery | None = None) -> HttpResponse:
        """Return the page that asks for confirmation."""
        question = ngettext(
            "%(count)d delivery is sent immediately, with the same event id, even if its webhook is paused. A finished one is "
            "one attempt without retries. A waiting one uses up no retry; if it fails, the retries follow as before.",
            "%(count)d deliveries are sent immediately, each with the same event id, even if their webhooks are paused. A finished "
            "one is one attempt without retries. A waiting one uses up no retry; if it fails, the retries follow as before.",
            len(deliveries),
        ) % {"count": len(deliveries)}
        listed = [(delivery, status_text(delivery)) for delivery in deliveries]
        title = _("Send deliveries")
        return self.page(
            request, "delivery/send", row, title=title, question=question, deliveries=listed, is_subpage=row
        )

    def send(self, request: HttpRequest, deliveries: Iterable[Delivery]) -> None:
        """Send these deliveries, waiting ones now and finished ones again; report how many were sent, and why others were not."""
        from tms_webhooks.manage import deliveries as manage

        count, refusals, by = 0, [], self.by(request)
        # In the order of `Webhook.objects.lock`: the whole request may be one transaction.
        for delivery in sorted(deliveries, key=attrgetter("webhook_id", "pk")):
            try:
                send = manage.send_now if manage.is_waiting(delivery) else manage.resend
                send(delivery, **by)
                count += 1
            except ReplayError as error:
                refusals.append(str(error))
        if more := refusals[MAX_REFUSALS:]:
            refusals[MAX_REFUSALS:] = [_("%(count)d more can't be sent.") % {"count": len(more)}]
        for refusal in refusals:
            self.message_user(request, refusal, messages.WARNING)
        if count:
            text = ngettext("%(count)d delivery is sent now.", "%(count)d deliveries are sent now.", count)
            self.message_user(request, text % {"count": count}, messages.SUCCESS)

    def may_send(self, request: HttpRequest, delivery: Delivery) -> bool:
        """Return whether the user may send a delivery manually."""
        return (
            self.has_resend_permission(request)
            and self.may(request, Action.REPLAY, delivery)
            and covers_children(request, Action.REPLAY, delivery.webhook)
        )


def resend(admin: DeliveryAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Ask for confirmation, and have one delivery attempted now."""
    delivery = admin.row_of(request, key)
    if not admin.may_send(request, delivery):
        raise PermissionDenied
    if request.method != "POST":
        return admin.ask(request, [delivery], delivery)
    admin.send(request, [delivery])
    return admin.redirect("delivery_change", delivery)
