"""How the webhooks of organizations do right now, on one page that keeps itself up to date."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tms_webhooks.admin.charts import milliseconds
from tms_webhooks.admin.delivery_page import duration
from tms_webhooks.admin.scope import Scoped, organizations
from tms_webhooks.admin.standing import standing
from tms_webhooks.choices import Action, DisabledReason
from tms_webhooks.models import Event, Webhook
from tms_webhooks.monitoring.backlog import backlog, belongs_to
from tms_webhooks.monitoring.stats import first_attempt_lag

DAY = timedelta(hours=24)
MOST_EVENTS = 5_000
MOST_ILL = 50
MOST_ORGANIZATIONS = 200


class DashboardPages(Scoped):
    """Adds the dashboard to the admin's pages."""

    def get_urls(self) -> list[URLPattern]:
        """Put it before Django's own, which take any path for a key."""
        view = self.admin_site.admin_view
        return [
            path("dashboard/", view(self.dashboard_view), name="tms_webhooks_dashboard"),
            path("dashboard/part/", view(self.dashboard_part_view), name="tms_webhooks_dashboard_part"),
            *super().get_urls(),
        ]

    def dashboard_view(self, request: HttpRequest) -> HttpResponse:
        """Show the whole page."""
        return self._dashboard(request, "admin/tms_webhooks/dashboard.html")

    def dashboard_part_view(self, request: HttpRequest) -> HttpResponse:
        """Show the part that refreshes itself."""
        return self._dashboard(request, "admin/tms_webhooks/dashboard_part.html")

    def _dashboard(self, request: HttpRequest, template: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        choices = list(organizations(request, Action.VIEW)[: MOST_ORGANIZATIONS + 1])
        chosen = next((one for one in choices if str(one.pk) == request.GET.get("organization")), None)
        part = reverse(f"{self.admin_site.name}:tms_webhooks_dashboard_part")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Dashboard"),
            "now": now,
            "choices": choices if 1 < len(choices) <= MOST_ORGANIZATIONS else [],
            "chosen": chosen,
            "part": part if chosen is None else f"{part}?{urlencode({'organization': chosen.pk})}",
            **facts(self._of(request, chosen), now=now),
        }
        return TemplateResponse(request, template, context)

    def _of(self, request: HttpRequest, chosen: Any) -> Any:
        """Return the organization that is asked for, or all that the signed-in person may see."""
        return organizations(request, Action.VIEW) if chosen is None else chosen


def facts(organization: Any, *, now: datetime) -> dict[str, Any]:
    """Return what the template shows of an organization, or of a queryset of several."""
    waits = backlog(now=now, organization=organization)
    lag = first_attempt_lag(now=now, organization=organization)
    return {
        "figures": [
            (_("Waiting"), f"{waits.deliveries}", _("%(count)d under way") % {"count": waits.in_flight}),
            (_("Oldest due"), _age(waits.oldest_due_seconds), _("of what may be sent now")),
            (_("New events"), f"{waits.events}", _("not given to webhooks yet")),
            (_("Half within"), _age(lag.p50), _("from the event to the first attempt, in this hour and the last")),
            (_("95 % within"), _age(lag.p95), _("the same; of %(count)d deliveries") % {"count": lag.deliveries}),
        ],
        "ill": [(webhook, standing(webhook, now=now)) for webhook in _ill(organization)],
        "types": _types(organization, now=now),
        "most_events": MOST_EVENTS,
    }


def _ill(organization: Any) -> QuerySet[Webhook]:
    """Return the webhooks that fail, or were disabled by something else than a person."""
    by_itself = Q(enabled=False) & ~Q(disabled_reason__in=("", DisabledReason.ADMIN))
    rows = (
        Webhook.objects.existing().filter(belongs_to(organization)).filter(by_itself | Q(enabled=True, failures__gt=0))
    )
    return rows.select_related("organization").defer("headers").order_by("enabled", "-failures", "pk")[:MOST_ILL]


def _types(organization: Any, *, now: datetime) -> list[tuple[str, int, int]]:
    """Return (type, events, percent of the most frequent) of the last day; of the newest events where there are many."""
    rows = Event.objects.filter(belongs_to(organization), occurred_at__gte=now - DAY).order_by("-occurred_at")
    counts = Counter(rows.values_list("type", flat=True)[:MOST_EVENTS]).most_common()
    return [(name, count, max(1, round(100 * count / counts[0][1]))) for name, count in counts]


def _age(seconds: float | None) -> str:
    if seconds is None or seconds >= 1:
        return "–" if seconds is None else duration(seconds)
    return milliseconds(round(seconds * 1000))
