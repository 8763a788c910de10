"""The dashboard of an organization's webhooks, and the overview of one webhook with its charts.

The charts are SVG from the server, without scripts and inline styles, together with a table for screen readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from tms_webhooks.admin.actions import WEBHOOK_ACTIONS, is_allowed
from tms_webhooks.admin.bases import allowed_keys, may_view_all_payloads, may_view_payloads, permits
from tms_webhooks.admin.formatting import (
    EMPTY,
    format_count,
    format_duration,
    format_milliseconds,
    format_moment,
)
from tms_webhooks.admin.records import count_deliveries, is_moving, job_status, result_link
from tms_webhooks.admin.words import delivery_rows, health_sentences, with_row_columns
from tms_webhooks.choices import Action, DeliveryStatus, Health
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Delivery, DeliveryTotal, Job, Notification, Webhook
from tms_webhooks.monitoring.figures import (
    AttemptStats,
    backlog,
    backlog_by_webhook,
    first_attempt_lag,
    health_by_webhook,
    history,
    needing_attention,
)
from tms_webhooks.monitoring.words import percent

if TYPE_CHECKING:
    from tms_webhooks.admin.webhooks import WebhookAdmin

DAY = timedelta(hours=24)
FAILED = {DeliveryStatus.WAITING: "-due_at", DeliveryStatus.EXHAUSTED: "-pk", DeliveryStatus.FAILED: "-pk"}
"""The statuses of deliveries whose last attempt failed, each with the order of its index."""
MAX_DELIVERIES = 10
MAX_JOBS = 5
MAX_NOTIFICATIONS = 20
MAX_ILL = 50
MARK = 2.5
"""The smallest height of a rectangle in a chart, in percent."""
GAP = 0.25
"""The empty share of a column's width."""


def dashboard(admin: WebhookAdmin, request: HttpRequest) -> HttpResponse:
    """Show the queue and the webhooks that need attention, of all organizations of the user."""
    if not admin.has_view_permission(request):
        raise PermissionDenied
    now = timezone.now()
    webhooks = Webhook.objects.filter(organization__in=allowed_keys(request, Action.VIEW))
    queued = backlog(backlog_by_webhook(now=now, webhooks=webhooks), now=now, webhooks=webhooks)
    lag = first_attempt_lag(now=now, webhooks=webhooks)
    context = {
        "title": _("Dashboard"),
        "queued": queued,
        "overdue": format_duration(queued.oldest_due_seconds),
        "set_aside": format_duration(queued.oldest_set_aside_seconds),
        "lag": lag,
        "p50": format_duration(lag.p50),
        "p95": format_duration(lag.p95),
        "attention": [
            (webhook, health.word, health_sentences(webhook, health, now=now)[0])
            for webhook, health in needing_attention(webhooks, now=now, most=MAX_ILL)
        ],
        "most_ill": MAX_ILL,
    }
    return admin.page(request, "dashboard", **context)


def overview(admin: WebhookAdmin, request: HttpRequest, key: str) -> HttpResponse:
    """Show the health, the figures, the latest deliveries and the notifications of a webhook."""
    webhook, now = admin.row_of(request, key), timezone.now()
    totals = history(webhook, now=now)
    health = health_by_webhook([webhook], now=now)[webhook.pk]
    waiting = backlog_by_webhook(now=now, webhooks=Webhook.objects.filter(pk=webhook.pk)).get(webhook.pk)
    may_view_log = permits(request, "view_delivery")
    latest = with_row_columns(Delivery.objects.filter(webhook=webhook)).order_by("-pk")[:MAX_DELIVERIES]
    deliveries = list(latest) if may_view_log else []
    # The running jobs, followed by those that finished within a day.
    recent = [
        job
        for job in Job.objects.filter(webhook=webhook).order_by("-pk")[:MAX_JOBS]
        if job.finished_at is None or job.finished_at > now - DAY
    ]
    count_deliveries(recent)
    recent.sort(key=lambda job: job.finished_at is not None)
    # Daily totals are per UTC day, in every time zone of the page.
    days = [formats.date_format(bar.starts_at.date(), "MONTH_DAY_FORMAT") for bar in totals.days]
    hours = [formats.time_format(timezone.localtime(bar.starts_at).time(), "H:i") for bar in totals.hours]
    context = {
        "title": webhook.name,
        "health": health.word,
        "sentences": health_sentences(webhook, health, now=now),
        "waiting": waiting,
        "due_since": format_moment(waiting and waiting.due_since),
        "figures": [
            _figures(_("Last 24 hours"), totals.day, _("Attempts per hour"), totals.hours, hours),
            _figures(_("Last 30 days"), totals.month, _("Attempts per day"), totals.days, days),
        ],
        "jobs": [(job, *job_status(job), result_link(admin, job)) for job in recent],
        "is_moving": any(map(is_moving, recent)),
        # Each hour or day with attempts is kept.
        "is_new": not webhook.pull_only and not DeliveryTotal.objects.filter(webhook=webhook).exists(),
        "last_error": _last_error(webhook)
        if may_view_log and health.word in (Health.FAILING, Health.DEGRADED)
        else None,
        "has_contacts": bool(webhook.contacts.strip() or app_settings.CONTACTS),
        "may_compare": may_view_all_payloads(request, webhook),
        "may_view_payloads": may_view_payloads(request, webhook),
        "may_change": admin.has_change_permission(request, webhook),
        "notifications": Notification.objects.filter(webhook=webhook).order_by("-pk")[:MAX_NOTIFICATIONS],
        "rows": delivery_rows(deliveries, request, now=now) if may_view_log else None,
        "is_waiting": any(row.due_at is not None for row in deliveries),
        "actions": [
            action
            for action in WEBHOOK_ACTIONS
            if is_allowed(admin, request, action, webhook) and action.is_available(webhook)
        ],
    }
    return admin.webhook_page(request, "overview", webhook, is_subpage=False, **context)


def _last_error(webhook: Webhook) -> Delivery | None:
    """Return the newest of these deliveries that failed: the last one of each status, in the order of its index."""
    rows = Delivery.objects.filter(webhook=webhook).exclude(error_class="")
    newest = [rows.filter(status=status).order_by(order).first() for status, order in FAILED.items()]
    return max(filter(None, newest), key=attrgetter("pk"), default=None)


def _figures(
    title: str, stats: AttemptStats, chart_title: str, bars: Sequence[AttemptStats], labels: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of a time, and their chart unless nothing was sent."""
    return {
        "title": title,
        "stats": stats,
        "rate": EMPTY if stats.success_rate is None else percent(stats.success_rate),
        "p50": format_milliseconds(stats.p50_ms),
        "p95": format_milliseconds(stats.p95_ms),
        "chart": _chart(chart_title, bars, labels) if stats.attempts else None,
    }


def _chart(title: str, bars: Sequence[AttemptStats], labels: Sequence[str]) -> dict[str, Any]:
    """Return the chart of attempts by outcome, stacked from zero: a column for each hour or day, with its table row."""
    kinds = {
        "delivered": pgettext("attempts", "Delivered"),
        "retried": pgettext("attempts", "Retried"),
        "given_up": pgettext("attempts", "Given up"),
    }
    most, step = max(bar.attempts for bar in bars), 100 / len(bars)
    columns = []
    for index, (bar, label) in enumerate(zip(bars, labels, strict=True)):
        cells = [format_count(getattr(bar, kind)) for kind in kinds]
        rectangles, bottom = [], 100.0
        for kind in kinds:
            if count := getattr(bar, kind):
                # A small value is visible, too.
                height = max(MARK, 100 * count / most)
                bottom -= height
                rectangles.append((kind, round(bottom, 3), round(height, 3)))
        text = ", ".join(map(" ".join, zip(kinds.values(), cells, strict=True)))
        columns.append(
            {
                "label": label,
                "text": f"{label}: {text}",
                "x": round(index * step, 3),
                "rectangles": rectangles,
                "cells": [*cells, format_milliseconds(bar.p50_ms), format_milliseconds(bar.p95_ms)],
            }
        )
    return {
        "title": title,
        "attempts": sum(bar.attempts for bar in bars),
        "delivered": sum(bar.delivered for bar in bars),
        "legend": kinds.items(),
        "most": most,
        "columns": columns,
        "width": round(step * (1 - GAP), 3),
    }
