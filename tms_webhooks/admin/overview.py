"""The dashboard of all webhooks, and the overview of one: its health, the results of its requests, and the actions on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.admin import charts
from tms_webhooks.admin.actions import WEBHOOK_ACTIONS, WebhookAction
from tms_webhooks.admin.delivery_text import delivery_rows, with_row_columns
from tms_webhooks.admin.formatting import (
    EMPTY,
    format_count,
    format_duration,
    format_milliseconds,
    format_moment,
    format_percent,
)
from tms_webhooks.admin.health_text import health_text, unsent_sentences
from tms_webhooks.admin.records import job_status, progress_text
from tms_webhooks.admin.scope import organizations, permits
from tms_webhooks.choices import Action, JobStatus
from tms_webhooks.delivery.replay import progress_by_job
from tms_webhooks.event_names import TEST
from tms_webhooks.models import Delivery, Event, Job, Notification, Webhook
from tms_webhooks.models.addresses import has_recipient
from tms_webhooks.monitoring.backlog import WebhookBacklog, backlog, backlog_by_webhook, belongs_to
from tms_webhooks.monitoring.figures import (
    AttemptStats,
    WebhookHealth,
    first_attempt_lag,
    health_of,
    history,
    needing_attention,
)

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

DAY = timedelta(hours=24)
MAX_DELIVERIES = 10
MAX_JOBS = 5
MAX_NOTIFICATIONS = 20
MAX_EVENTS = 5_000
MAX_ILL = 50
MAX_ORGANIZATIONS = 200


def dashboard(admin: WebhookAdmin, request: HttpRequest, template: str = "dashboard") -> HttpResponse:
    """Show the whole dashboard."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    options = list(organizations(request, Action.VIEW)[: MAX_ORGANIZATIONS + 1])
    selected = next((row for row in options if str(row.pk) == request.GET.get("organization")), None)
    scope = organizations(request, Action.VIEW) if selected is None else selected
    context = {
        "title": _("Dashboard"),
        "organizations": options if 1 < len(options) <= MAX_ORGANIZATIONS else [],
        "selected": selected,
        "part": admin.url("dashboard_part") + (f"?{urlencode({'organization': selected.pk})}" if selected else ""),
        **dashboard_context(scope, now=timezone.now()),
    }
    return admin.page(request, template, **context)


def dashboard_part(admin: WebhookAdmin, request: HttpRequest) -> HttpResponse:
    """Show the part that the page refreshes."""
    return dashboard(admin, request, "dashboard_part")


def overview(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Show the health, the figures, the latest deliveries and the notifications of a webhook."""
    webhook, now = admin.row_of(request, key), timezone.now()
    totals = history(webhook, now=now)
    waiting = backlog_by_webhook(now=now, webhook=webhook).get(webhook.pk, WebhookBacklog(0, None))
    may_view_log = permits(request, "view_delivery")
    latest = with_row_columns(Delivery.objects.filter(webhook=webhook)).order_by("-pk")[:MAX_DELIVERIES]
    deliveries = list(latest) if may_view_log else []
    context = {
        "title": webhook.name,
        "health": health_text(webhook, WebhookHealth(health_of(webhook, totals.day), totals.day), now=now),
        "unsent": unsent_sentences(webhook),
        "waiting": waiting,
        "due_since": format_moment(waiting.due_since),
        "figures": [
            _figures(_("Last 24 hours"), totals.day, _("Attempts per hour"), totals.hours, "hours", _hour),
            _figures(_("Last 30 days"), totals.month, _("Attempts per day"), totals.days, "days", _day),
        ],
        **_recent_jobs(webhook, now=now),
        "has_contacts": has_recipient(webhook.contacts, webhook.organization_id),
        "may_change": admin.has_change_permission(request, webhook),
        "notifications": Notification.objects.filter(webhook=webhook).order_by("-pk")[:MAX_NOTIFICATIONS],
        "rows": delivery_rows(deliveries, request, now=now) if may_view_log else None,
        "is_waiting": any(row.due_at is not None for row in deliveries),
        "actions": [
            action
            for action in WEBHOOK_ACTIONS
            if _is_allowed(admin, request, action, webhook) and action.is_available(webhook)
        ],
    }
    return admin.webhook_page(request, "overview", webhook, is_subpage=False, **context)


def jobs(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Show the jobs only: the overview refreshes this part while a job is running."""
    webhook = admin.row_of(request, key)
    return admin.webhook_page(request, "jobs", webhook, **_recent_jobs(webhook, now=timezone.now()))


def action(admin: WebhookAdmin, request: HttpRequest, key: str, slug: str) -> HttpResponse:
    """Ask for confirmation, and perform the action."""
    webhook = admin.row_of(request, key)
    action = next((action for action in WEBHOOK_ACTIONS if action.slug == slug), None)
    if action is None:
        raise Http404
    if not _is_allowed(admin, request, action, webhook):
        raise PermissionDenied
    result = action.run(request, webhook)
    if result.history:
        admin.log_change(request, webhook, result.history)
        admin.message_user(request, result.message, messages.SUCCESS)
        return HttpResponseRedirect(reverse(f"{admin.admin_site.name}:tms_webhooks_webhook_overview", args=[key]))
    return admin.webhook_page(request, action.page, webhook, title=action.label, action=action, result=result)


def _is_allowed(admin: WebhookAdmin, request: HttpRequest, action: WebhookAction, webhook: Webhook) -> bool:
    may = admin.may_use if action.needs_children else admin.may
    permission = "change_webhook" if action.action == Action.MANAGE else "change_delivery"
    return permits(request, permission) and may(request, action.action, webhook)


def dashboard_context(organization: Any, *, now: datetime) -> dict[str, Any]:
    """Return the template context for one organization, or for a queryset of organizations."""
    queued = backlog(now=now, organization=organization)
    lag = first_attempt_lag(now=now, organization=organization)
    in_flight = _("%(count)s in flight") % {"count": format_count(queued.in_flight)}
    same = ngettext("the same, for %(count)s delivery", "the same, for %(count)s deliveries", lag.deliveries)
    return {
        "figures": [
            (_("Queued"), format_count(queued.deliveries), in_flight),
            (_("Longest overdue"), _age(queued.oldest_due_seconds), _("among the deliveries that may be sent now")),
            (_("New events"), format_count(queued.events), _("waiting for a worker")),
            (_("50 % within"), _age(lag.p50), _("from the event to the first attempt, in this hour and the last")),
            (_("95 % within"), _age(lag.p95), same % {"count": format_count(lag.deliveries)}),
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
    rows = Event.objects.filter(belongs_to(organization), occurred_at__gte=now - DAY).exclude(type=TEST)
    rows = rows.order_by("-occurred_at")
    counts = Counter(rows.values_list("type", flat=True)[:MAX_EVENTS]).most_common()
    return [(name, format_count(count), max(1, round(100 * count / counts[0][1]))) for name, count in counts]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return EMPTY
    return format_duration(seconds) if seconds >= 1 else format_milliseconds(round(seconds * 1000))


def _figures(
    title: str,
    stats: AttemptStats,
    chart_title: str,
    bars: Sequence[AttemptStats],
    key: str,
    label: Callable[[AttemptStats], str],
) -> dict[str, Any]:
    labels = [label(bar) for bar in bars]
    rate = stats.success_rate
    return {
        "title": title,
        "attempts": format_count(stats.attempts),
        "rate": EMPTY if rate is None else format_percent(rate),
        "p50": format_milliseconds(stats.p50_ms),
        "p95": format_milliseconds(stats.p95_ms),
        "given_up": format_count(stats.given_up),
        "charts": [
            charts.outcomes(f"outcomes-{key}", chart_title, bars, labels),
            charts.latencies(f"latencies-{key}", _("Response time, logarithmic scale"), bars, labels),
        ],
    }


def _hour(stats: AttemptStats) -> str:
    return str(formats.time_format(timezone.localtime(stats.starts_at).time(), "H:i"))


def _day(stats: AttemptStats) -> str:
    # Daily totals are per UTC day, in every time zone of the page.
    return str(formats.date_format(stats.starts_at.date(), "MONTH_DAY_FORMAT"))


def _recent_jobs(webhook: Webhook, *, now: datetime) -> dict[str, Any]:
    """Return the running jobs, followed by those that finished within a day, and whether one runs or has waiting deliveries.

    Then the page refreshes its part about jobs.
    """
    rows = list(Job.objects.filter(webhook=webhook).order_by("-pk")[:MAX_JOBS])
    recent = [job for job in rows if job.finished_at is None or job.finished_at > now - DAY]
    counted, jobs = progress_by_job(recent), []
    for job in sorted(recent, key=lambda job: job.finished_at is not None):
        numbers = counted.get(job.pk)
        color, status = job_status(job, numbers)
        deliveries = "" if numbers is None else progress_text(numbers)
        jobs.append({"job": job, "color": color, "status": status, "deliveries": deliveries})
    return {"jobs": jobs, "is_moving": any(job["color"] in (JobStatus.PENDING, JobStatus.RUNNING) for job in jobs)}
