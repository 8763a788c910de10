"""The dashboard: the current state of the webhooks of one or all organizations, on a page that refreshes itself."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.admin.formatting import EMPTY, format_count, format_duration, format_milliseconds
from tms_webhooks.admin.scope import ScopedAdmin, organizations
from tms_webhooks.choices import Action
from tms_webhooks.event_names import TEST
from tms_webhooks.models import Event

DAY = timedelta(hours=24)
MAX_EVENTS = 5_000
MAX_ILL = 50
MAX_ORGANIZATIONS = 200


class DashboardPages(ScopedAdmin):
    """Adds the dashboard to the admin's pages."""

    def get_urls(self) -> list[URLPattern]:
        """Put the pages before Django's own, which take any path as a key."""
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
        """Show the part that the page refreshes."""
        return self._dashboard(request, "admin/tms_webhooks/dashboard_part.html")

    def _dashboard(self, request: HttpRequest, template: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        options = list(organizations(request, Action.VIEW)[: MAX_ORGANIZATIONS + 1])
        selected = next((one for one in options if str(one.pk) == request.GET.get("organization")), None)
        part = reverse(f"{self.admin_site.name}:tms_webhooks_dashboard_part")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Dashboard"),
            "now": now,
            "organizations": options if 1 < len(options) <= MAX_ORGANIZATIONS else [],
            "selected": selected,
            "part": part if selected is None else f"{part}?{urlencode({'organization': selected.pk})}",
            **dashboard_context(self._scope(request, selected), now=now),
        }
        return TemplateResponse(request, template, context)

    def _scope(self, request: HttpRequest, selected: Any) -> Any:
        """Return the selected organization, or all organizations that the user may view."""
        return organizations(request, Action.VIEW) if selected is None else selected


def dashboard_context(organization: Any, *, now: datetime) -> dict[str, Any]:
    """Return the template context for one organization, or for a queryset of organizations."""
    from tms_webhooks.admin.health_text import health_text
    from tms_webhooks.monitoring.backlog import backlog
    from tms_webhooks.monitoring.figures import first_attempt_lag, needing_attention

    queued = backlog(now=now, organization=organization)
    lag = first_attempt_lag(now=now, organization=organization)
    return {
        "figures": [
            (
                _("Queued"),
                format_count(queued.deliveries),
                _("%(count)s in flight") % {"count": format_count(queued.in_flight)},
            ),
            (_("Longest overdue"), _age(queued.oldest_due_seconds), _("among the deliveries that may be sent now")),
            (_("New events"), format_count(queued.events), _("waiting for a worker")),
            (_("50 % within"), _age(lag.p50), _("from the event to the first attempt, in this hour and the last")),
            (
                _("95 % within"),
                _age(lag.p95),
                ngettext("the same, for %(count)s delivery", "the same, for %(count)s deliveries", lag.deliveries)
                % {"count": format_count(lag.deliveries)},
            ),
        ],
        "attention": [
            (webhook, health_text(webhook, health, now=now))
            for webhook, health in needing_attention(organization, now=now, most=MAX_ILL)
        ],
        "types": _types(organization, now=now),
        "most_events": MAX_EVENTS,
        "most_ill": MAX_ILL,
    }


def _types(organization: Any, *, now: datetime) -> list[tuple[str, str, int]]:
    """Return (type, count, percent of the highest count) of the last day, counted over the newest `MAX_EVENTS` events.

    Tests are left out: no change caused them.
    """
    from tms_webhooks.monitoring.backlog import belongs_to

    rows = Event.objects.filter(belongs_to(organization), occurred_at__gte=now - DAY).exclude(type=TEST)
    rows = rows.order_by("-occurred_at")
    counts = Counter(rows.values_list("type", flat=True)[:MAX_EVENTS]).most_common()
    return [(name, format_count(count), max(1, round(100 * count / counts[0][1]))) for name, count in counts]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return EMPTY
    return format_duration(seconds) if seconds >= 1 else format_milliseconds(round(seconds * 1000))
