"""Why a webhook got an event, or did not: the questions that were asked, one after the other."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tms_webhooks.admin.bases import event_uid
from tms_webhooks.admin.overview import log_of
from tms_webhooks.admin.scope import Scoped, organizations
from tms_webhooks.choices import Action, CheckResult
from tms_webhooks.models import Event, Webhook
from tms_webhooks.outbox.feed import visible_to
from tms_webhooks.routing.explain import Clause, Explanation, explain

LONGEST_ID = 80


class WhyForm(forms.Form):
    """The event that is asked about, by the id that receivers see."""

    event = forms.CharField(label=gettext_lazy("Event id"), max_length=LONGEST_ID, help_text=gettext_lazy("evt_…"))

    def __init__(self, request: HttpRequest, data: Any) -> None:
        super().__init__(data)
        self.request = request

    def clean_event(self) -> Event:
        """Return the event, if it is one that the signed-in person may see."""
        uid = event_uid(self.cleaned_data["event"])
        if uid is None:
            raise forms.ValidationError(
                _("This is no event's id. One begins with evt_ and has 32 digits and letters a to f.")
            )
        allowed = organizations(self.request, Action.VIEW).order_by().values("pk")
        event = Event.objects.filter(visible_to(allowed), uid=uid).first()
        if event is None:
            raise forms.ValidationError(_("There is no such event among those of your organizations."))
        return event


class WhyPages(Scoped):
    """Adds the page to those of a webhook."""

    def get_urls(self) -> list[URLPattern]:
        """Put it before Django's own, which take any path for a key."""
        why = self.admin_site.admin_view(self.why_view)
        return [path("<int:key>/why/", why, name="tms_webhooks_webhook_why"), *super().get_urls()]

    def why_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Ask for an event, and say why the webhook got it or did not."""
        webhook: Webhook | None = self.get_object(request, str(key))
        if webhook is None:
            raise Http404
        if not (self.has_view_permission(request, webhook) and request.user.has_perm("tms_webhooks.view_event")):
            raise PermissionDenied
        form = WhyForm(request, request.GET if "event" in request.GET else None)
        event = form.cleaned_data["event"] if form.is_bound and form.is_valid() else None
        found = None if event is None else explain(webhook, event)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "webhook": webhook,
            "original": webhook,
            "act": True,
            "title": _("Why was this not sent?"),
            "form": form,
            "event": event,
            "found": found,
            "headline": "" if found is None else headline(found),
            "groups": [] if found is None else groups(found),
            "log_url": log_of(webhook, request, site=self.admin_site.name),
        }
        return TemplateResponse(request, "admin/tms_webhooks/webhook/why.html", context)


def headline(found: Explanation) -> str:
    """Say in one sentence what came of the event, and what would today where that is something else."""
    if found.delivery is not None:
        status = found.delivery.get_status_display()
        return _("It was given to this webhook. Its delivery is: %(status)s.") % {"status": status}
    return {
        CheckResult.YES: _("Nothing stands against it today: a replay of what was missed sends it."),
        CheckResult.NO: _("It was not given to this webhook, and would not be today."),
        CheckResult.HELD: _("It would be kept for this webhook, and not sent by itself."),
    }[found.verdict]


def groups(found: Explanation) -> list[list[Clause]]:
    """Return the questions about the webhook, and then those about each of its subscriptions."""
    together: dict[int | None, list[Clause]] = {}
    for clause in found.clauses:
        together.setdefault(clause.subscription_id, []).append(clause)
    return list(together.values())
