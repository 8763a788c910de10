"""The page that explains why a webhook received an event, or did not: one line per check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tms_webhooks.admin.delivery_text import event_text, object_text
from tms_webhooks.admin.scope import may_view_payloads, organizations
from tms_webhooks.admin.search import parse_event_id
from tms_webhooks.choices import Action
from tms_webhooks.models import Event
from tms_webhooks.outbox.feed import visible_to
from tms_webhooks.routing.explain import Clause, Explanation, explain

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

MAX_ID_LENGTH = 80


class ExplainForm(forms.Form):
    """The event to explain, by the id that receivers see."""

    event = forms.CharField(
        label=gettext_lazy("Event id"),
        max_length=MAX_ID_LENGTH,
        help_text=gettext_lazy("evt_…, from the page of the event or from the header webhook-id."),
    )

    def __init__(self, request: HttpRequest, data: Any) -> None:
        super().__init__(data)
        self.request = request

    def clean_event(self) -> Event:
        """Return the event if the signed-in user may see it and its payload."""
        uid = parse_event_id(self.cleaned_data["event"])
        if uid is None:
            raise forms.ValidationError(
                _("This is not an event id. An event id is evt_ followed by 32 characters, 0 to 9 and a to f.")
            )
        event = Event.objects.filter(self._visible(Action.VIEW), uid=uid).first()
        if event is None:
            raise forms.ValidationError(_("Your organizations have no event with this id."))
        if not Event.objects.filter(self._visible(Action.VIEW_PAYLOAD), pk=event.pk).exists():
            raise forms.ValidationError(
                _("You may not view the payload of this event, so it can't be explained to you.")
            )
        return event

    def _visible(self, action: Action) -> Q:
        return visible_to(organizations(self.request, action).order_by().values("pk"))


def explain_page(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Ask for an event, and explain why the webhook received it or did not."""
    webhook = admin.row_of(request, key)
    if not may_view_payloads(request, webhook):
        raise PermissionDenied
    form = ExplainForm(request, request.GET if "event" in request.GET else None)
    context = {"title": _("Why was an event not sent?"), "form": form}
    if form.is_bound and form.is_valid():
        event = form.cleaned_data["event"]
        explanation = explain(webhook, event)
        context |= {
            "event": event,
            "type": event_text(event),
            "object": object_text(event, is_named=True),
            "explanation": explanation,
            "headline": explanation.summary,
            "groups": grouped_clauses(explanation),
        }
    return admin.webhook_page(request, "explain", webhook, **context)


def grouped_clauses(explanation: Explanation) -> list[list[Clause]]:
    """Return the checks of the webhook, followed by one list of checks per subscription."""
    by_subscription: dict[int | None, list[Clause]] = {}
    for clause in explanation.clauses:
        by_subscription.setdefault(clause.subscription_id, []).append(clause)
    return list(by_subscription.values())
