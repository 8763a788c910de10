"""The dashboard of all webhooks, and the overview of one: its health, the results of its requests, and the actions on it.

Charts are rectangles in percent of the drawing, with their labels. The templates draw them as SVG, together with a table for
screen readers. The drawing stretches to the width of the page; its labels are HTML in the font of the page.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.admin.actions import WEBHOOK_ACTIONS, WebhookAction
from tms_webhooks.admin.bases import organizations, permits
from tms_webhooks.admin.formatting import (
    EMPTY,
    format_count,
    format_duration,
    format_milliseconds,
    format_moment,
    format_percent,
)
from tms_webhooks.admin.records import job_status, progress_text
from tms_webhooks.admin.words import delivery_rows, health_text, unsent_sentences, with_row_columns
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

MIN_MS = 10
MAX_MS = 30_000
GRID_MS = (10, 100, 1_000, 10_000)
MARK = 2.5
"""The height of a mark, and the smallest height of a rectangle, in percent."""
GAP = 0.25
"""The empty share of a column's width."""
ROUND_NUMBERS = (2, 4, 6, 8, 10)
"""Their halves are whole numbers, too, for the line in the middle."""


# The dashboard


def dashboard(admin: WebhookAdmin, request: HttpRequest, template: str = "dashboard") -> HttpResponse:
    """Show the whole dashboard."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    allowed = organizations(request, Action.VIEW)
    options = list(allowed[: MAX_ORGANIZATIONS + 1])
    selected = next((row for row in options if str(row.pk) == request.GET.get("organization")), None)
    context = {
        "title": _("Dashboard"),
        "organizations": options if 1 < len(options) <= MAX_ORGANIZATIONS else [],
        "selected": selected,
        "part": admin.url("dashboard_part") + (f"?{urlencode({'organization': selected.pk})}" if selected else ""),
        **dashboard_context(selected or allowed, now=timezone.now()),
    }
    return admin.page(request, template, **context)


def dashboard_part(admin: WebhookAdmin, request: HttpRequest) -> HttpResponse:
    """Show the part that the page refreshes."""
    return dashboard(admin, request, "dashboard_part")


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
    newest = rows.order_by("-occurred_at").values_list("type", flat=True)[:MAX_EVENTS]
    counts = Counter(newest).most_common()
    return [(name, format_count(count), max(1, round(100 * count / counts[0][1]))) for name, count in counts]


def _age(seconds: float | None) -> str:
    if seconds is None:
        return EMPTY
    return format_duration(seconds) if seconds >= 1 else format_milliseconds(round(seconds * 1000))


# One webhook


def overview(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Show the health, the figures, the latest deliveries and the notifications of a webhook."""
    webhook, now = admin.row_of(request, key), timezone.now()
    totals = history(webhook, now=now)
    waiting = backlog_by_webhook(now=now, webhook=webhook).get(webhook.pk, WebhookBacklog(0, None))
    may_view_log = permits(request, "view_delivery")
    latest = with_row_columns(Delivery.objects.filter(webhook=webhook)).order_by("-pk")[:MAX_DELIVERIES]
    deliveries = list(latest) if may_view_log else []
    # Daily totals are per UTC day, in every time zone of the page.
    days = [formats.date_format(bar.starts_at.date(), "MONTH_DAY_FORMAT") for bar in totals.days]
    hours = [formats.time_format(timezone.localtime(bar.starts_at).time(), "H:i") for bar in totals.hours]
    context = {
        "title": webhook.name,
        "health": health_text(webhook, WebhookHealth(health_of(webhook, totals.day), totals.day), now=now),
        "unsent": unsent_sentences(webhook),
        "waiting": waiting,
        "due_since": format_moment(waiting.due_since),
        "figures": [
            _figures(_("Last 24 hours"), totals.day, _("Attempts per hour"), totals.hours, "hours", hours),
            _figures(_("Last 30 days"), totals.month, _("Attempts per day"), totals.days, "days", days),
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
        return admin.redirect("webhook_overview", webhook)
    return admin.webhook_page(request, action.page, webhook, title=action.label, action=action, result=result)


def _is_allowed(admin: WebhookAdmin, request: HttpRequest, action: WebhookAction, webhook: Webhook) -> bool:
    may = admin.may_use if action.needs_children else admin.may
    permission = "change_webhook" if action.action == Action.MANAGE else "change_delivery"
    return permits(request, permission) and may(request, action.action, webhook)


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
        jobs.append({"job": job, "color": color, "status": status, "deliveries": progress_text(numbers)})
    return {"jobs": jobs, "is_moving": any(job["color"] in (JobStatus.PENDING, JobStatus.RUNNING) for job in jobs)}


# Figures and their charts


def _figures(
    title: str, stats: AttemptStats, chart_title: str, bars: Sequence[AttemptStats], key: str, labels: Sequence[str]
) -> dict[str, Any]:
    return {
        "title": title,
        "attempts": format_count(stats.attempts),
        "rate": EMPTY if stats.success_rate is None else format_percent(stats.success_rate),
        "p50": format_milliseconds(stats.p50_ms),
        "p95": format_milliseconds(stats.p95_ms),
        "given_up": format_count(stats.given_up),
        # A chart without any attempt would be empty, and its table full of zeros.
        "charts": stats.attempts
        and [
            {"key": f"outcomes-{key}", "title": chart_title, **outcomes(bars, labels)},
            {"key": f"latencies-{key}", "title": _("Response time, logarithmic scale"), **latencies(bars, labels)},
        ],
    }


def outcomes(bars: Sequence[AttemptStats], labels: Sequence[str]) -> dict[str, Any]:
    """Return the chart of attempts by outcome, stacked from zero: delivered, retried, given up."""
    kinds = {
        "delivered": pgettext("attempts", "Delivered"),
        "retried": pgettext("attempts", "Retried"),
        "given_up": pgettext("attempts", "Given up"),
    }
    top = round_up(max((bar.attempts for bar in bars), default=0))

    def stack(bar: AttemptStats) -> list[tuple[str, float, float]]:
        rectangles, bottom = [], 100.0
        for kind in kinds:
            count = getattr(bar, kind)
            # A small value is visible, too.
            height = max(MARK, 100 * count / top) if count else 0
            bottom -= height
            rectangles += [(kind, bottom, height)] if count else []
        return rectangles

    attempts = sum(bar.attempts for bar in bars)
    summary = ngettext(
        "%(attempts)s attempt, %(delivered)s delivered.", "%(attempts)s attempts, %(delivered)s delivered.", attempts
    )
    values = {"attempts": format_count(attempts), "delivered": format_count(sum(bar.delivered for bar in bars))}
    lines = [(100 - 100 * value / top, format_count(value)) for value in (0, top // 2, top)]
    return _chart(bars, labels, kinds, stack, format_count, lines=lines, summary=summary % values)


def latencies(bars: Sequence[AttemptStats], labels: Sequence[str]) -> dict[str, Any]:
    """Return the chart of response times: marks at the median and the 95th percentile, and the range between them.

    The scale is logarithmic. On a linear scale, a few slow responses would hide all the others.
    """

    def marks(bar: AttemptStats) -> list[tuple[str, float, float]]:
        if bar.p50_ms is None or bar.p95_ms is None:
            return []
        low, high = (min(100 - MARK, _y(value)) for value in (bar.p50_ms, bar.p95_ms))
        return [("range", high, low - high + MARK), ("p95", high, MARK), ("p50", low, MARK)]

    slowest = max((bar.p95_ms or 0 for bar in bars), default=0)
    summary = _("In the slowest column, 95 %% of the responses took at most %(time)s.")
    return _chart(
        bars,
        labels,
        {"p50_ms": _("50 % within"), "p95_ms": _("95 % within")},
        marks,
        format_milliseconds,
        lines=[(_y(value), format_milliseconds(value)) for value in GRID_MS],
        summary=summary % {"time": format_milliseconds(slowest)} if slowest else _("No responses yet."),
    )


def _chart(
    bars: Sequence[AttemptStats],
    labels: Sequence[str],
    kinds: dict[str, str],
    rectangles: Callable[[AttemptStats], list[tuple[str, float, float]]],
    text: Callable[[Any], str],
    **more: Any,
) -> dict[str, Any]:
    """Return a chart: its grid lines as (height, label), its legend, and a column for each hour or day with its table row.

    ``kinds`` are the attributes of the figures and their titles; ``rectangles`` returns those of a column as (class, top,
    height).
    """
    step, columns = 100 / len(bars), []
    for index, (bar, label) in enumerate(zip(bars, labels, strict=True)):
        cells = [text(getattr(bar, kind)) for kind in kinds]
        values = ", ".join(f"{title} {cell}" for title, cell in zip(kinds.values(), cells, strict=True))
        drawn = [(kind, round(top, 3), round(height, 3)) for kind, top, height in rectangles(bar)]
        column = {"label": label, "text": f"{label}: {values}", "x": round(index * step, 3)}
        columns.append({**column, "rectangles": drawn, "cells": cells})
    return {
        "legend": [(kind.removesuffix("_ms"), title) for kind, title in kinds.items()],
        "columns": columns,
        "width": round(step * (1 - GAP), 3),
        "ticks": [labels[index] for index in (0, len(labels) // 2, -1)],
        **more,
    }


def round_up(value: int) -> int:
    """Return the next number that is a member of `ROUND_NUMBERS` times a power of ten."""
    scale = 1
    while value > ROUND_NUMBERS[-1] * scale:
        scale *= 10
    return next(number * scale for number in ROUND_NUMBERS if value <= number * scale)


def _y(value: int) -> float:
    """Return the place of a time on the logarithmic scale, from the top."""
    return 100 - 100 * min(1.0, max(0.0, math.log(max(value, 1) / MIN_MS) / math.log(MAX_MS / MIN_MS)))
