"""The overview of a webhook: its health, the results of its requests, and the actions on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from tms_webhooks.admin.bases import permits
from tms_webhooks.admin.delivery_rows import delivery_rows, with_row_columns
from tms_webhooks.admin.formatting import EMPTY, format_count, format_milliseconds, format_moment, format_percent
from tms_webhooks.admin.scope import ScopedAdmin, covers_children, may_view_payloads
from tms_webhooks.choices import Action, JobStatus
from tms_webhooks.models import Delivery, Job, Notification, Webhook
from tms_webhooks.models.addresses import has_recipient

if TYPE_CHECKING:
    from tms_webhooks.admin import charts
    from tms_webhooks.admin.actions import ActionResult, WebhookAction
    from tms_webhooks.monitoring.figures import AttemptStats

MAX_DELIVERIES = 10
MAX_JOBS = 5
MAX_NOTIFICATIONS = 20
MAX_JOB_AGE = timedelta(hours=24)


class OverviewPages(ScopedAdmin):
    """Adds the overview of a webhook and the pages of its actions."""

    def get_urls(self) -> list[URLPattern]:
        """Put the pages before Django's own, which take any path as a key."""
        from tms_webhooks.manage.tests import outside_transactions

        view = self.admin_site.admin_view
        return [
            path("<str:key>/overview/", view(self.overview_view), name="tms_webhooks_webhook_overview"),
            path("<str:key>/overview/jobs/", view(self.jobs_view), name="tms_webhooks_webhook_jobs"),
            # A test send must not keep a transaction open while it waits for the receiver.
            path(
                "<str:key>/overview/<slug:slug>/",
                outside_transactions(view(self.action_view)),
                name="tms_webhooks_webhook_action",
            ),
            *super().get_urls(),
        ]

    def overview_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the health, the figures, the latest deliveries and the notifications of a webhook."""
        from tms_webhooks.admin.actions import WEBHOOK_ACTIONS
        from tms_webhooks.admin.health_text import health_text, unsent_sentences
        from tms_webhooks.monitoring.backlog import WebhookBacklog, backlog_by_webhook
        from tms_webhooks.monitoring.figures import WebhookHealth, health_of, history

        webhook = self._get_webhook(request, key)
        now = timezone.now()
        totals = history(webhook, now=now)
        latest = with_row_columns(Delivery.objects.filter(webhook=webhook)).order_by("-pk")[:MAX_DELIVERIES]
        waiting = backlog_by_webhook(now=now, webhook=webhook).get(webhook.pk, WebhookBacklog(0, None))
        deliveries = list(latest) if _may_view_log(request) else []
        context = {
            **self._context(request, webhook),
            "title": webhook.name,
            "health": health_text(webhook, WebhookHealth(health_of(webhook, totals.day), totals.day), now=now),
            "unsent": unsent_sentences(webhook),
            "waiting": waiting,
            "due_since": format_moment(waiting.due_since),
            "figures": [
                {
                    **_figures(_("Last 24 hours"), totals.day),
                    "charts": _charts("hours", _("Attempts per hour"), totals.hours, label=_hour),
                },
                {
                    **_figures(_("Last 30 days"), totals.month),
                    "charts": _charts("days", _("Attempts per day"), totals.days, label=_day),
                },
            ],
            "jobs": (jobs := _recent_jobs(webhook, now=now)),
            "is_moving": _is_moving(jobs),
            "has_contacts": has_recipient(webhook.contacts, webhook.organization_id),
            "may_change": self.has_change_permission(request, webhook),
            "notifications": Notification.objects.filter(webhook=webhook).order_by("-pk")[:MAX_NOTIFICATIONS],
            "rows": delivery_rows(deliveries, request, now=now) if _may_view_log(request) else None,
            "is_waiting": any(one.due_at is not None for one in deliveries),
            "actions": [
                action
                for action in WEBHOOK_ACTIONS
                if self._is_allowed(request, action, webhook) and action.is_available(webhook)
            ],
        }
        return TemplateResponse(request, "admin/tms_webhooks/webhook/overview.html", context)

    def jobs_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Show the jobs only: the overview refreshes this part while a job is running."""
        webhook = self._get_webhook(request, key)
        jobs = _recent_jobs(webhook, now=timezone.now())
        context = {**self._context(request, webhook), "jobs": jobs, "is_moving": _is_moving(jobs)}
        return TemplateResponse(request, "admin/tms_webhooks/webhook/jobs.html", context)

    def action_view(self, request: HttpRequest, key: str, slug: str) -> HttpResponse:
        """Ask for confirmation, and perform the action."""
        from tms_webhooks.admin.actions import WEBHOOK_ACTIONS

        webhook = self._get_webhook(request, key)
        action = next((one for one in WEBHOOK_ACTIONS if one.slug == slug), None)
        if action is None:
            raise Http404
        if not self._is_allowed(request, action, webhook):
            raise PermissionDenied
        result = action.run(request, webhook)
        if result.history:
            self.log_change(request, webhook, result.history)
            self.message_user(request, result.message, result.level)
            return HttpResponseRedirect(reverse(f"{self.admin_site.name}:tms_webhooks_webhook_overview", args=[key]))
        return self._action_page(request, webhook, action, result)

    def _action_page(
        self, request: HttpRequest, webhook: Webhook, action: WebhookAction, result: ActionResult
    ) -> HttpResponse:
        context = {
            **self._context(request, webhook),
            "is_subpage": True,
            "title": action.label,
            "action": action,
            "result": result,
        }
        return TemplateResponse(request, action.template, context)

    def _get_webhook(self, request: HttpRequest, key: str) -> Webhook:
        webhook: Webhook | None = self.get_object(request, key)
        if webhook is None:
            raise Http404
        if not self.has_view_permission(request, webhook):
            raise PermissionDenied
        return webhook

    def _is_allowed(self, request: HttpRequest, action: WebhookAction, webhook: Webhook) -> bool:
        may = self.may_use if action.needs_children else self.may
        return permits(request, action.permission) and may(request, action.action, webhook)

    def may_use(self, request: HttpRequest, action: Action, webhook: Webhook) -> bool:
        """Return whether the user may do ``action`` in the webhook's organization and each child that it includes."""
        return self.may(request, action, webhook) and covers_children(request, action, webhook)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may delete this webhook; without one, any."""
        return super().has_delete_permission(request, obj) and (
            obj is None or self.may_use(request, Action.MANAGE, obj)
        )

    def _context(self, request: HttpRequest, webhook: Webhook) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "webhook": webhook,
            "original": webhook,
            "now": timezone.now(),
            "log_url": delivery_log_url(webhook, request, site=self.admin_site.name),
            "may_view_payloads": may_view_payloads(request, webhook),
        }


def delivery_log_url(webhook: Webhook, request: HttpRequest, *, site: str) -> str:
    """Return the URL of a webhook's deliveries, or an empty string if the user may not view the log."""
    page = reverse(f"{site}:tms_webhooks_delivery_changelist")
    return f"{page}?{urlencode({'webhook': webhook.public_id})}" if _may_view_log(request) else ""


def _may_view_log(request: HttpRequest) -> bool:
    return permits(request, "view_delivery")


def _figures(title: str, stats: AttemptStats) -> dict[str, Any]:
    rate = stats.success_rate
    return {
        "title": title,
        "attempts": format_count(stats.attempts),
        "rate": EMPTY if rate is None else format_percent(rate),
        "p50": format_milliseconds(stats.p50_ms),
        "p95": format_milliseconds(stats.p95_ms),
        "given_up": format_count(stats.given_up),
    }


def _charts(key: str, title: str, bars: Sequence[AttemptStats], *, label: Any) -> list[charts.Chart]:
    from tms_webhooks.admin import charts

    return [
        charts.outcomes(f"outcomes-{key}", bars, title=title, label=label),
        charts.latencies(f"latencies-{key}", bars, title=_("Response time, logarithmic scale"), label=label),
    ]


def _hour(stats: AttemptStats) -> str:
    return str(formats.time_format(timezone.localtime(stats.starts_at).time(), "H:i"))


def _day(stats: AttemptStats) -> str:
    # Daily totals are per UTC day, in every time zone of the page.
    return str(formats.date_format(stats.starts_at.date(), "MONTH_DAY_FORMAT"))


def _recent_jobs(webhook: Webhook, *, now: datetime) -> list[dict[str, Any]]:
    """Return the running jobs, followed by those that finished within `MAX_JOB_AGE`, with their results in words."""
    from tms_webhooks.admin.jobs import job_status, progress_text
    from tms_webhooks.delivery.replay import progress_by_job

    rows = list(Job.objects.filter(webhook=webhook).order_by("-pk")[:MAX_JOBS])
    recent = [job for job in rows if job.finished_at is None or job.finished_at > now - MAX_JOB_AGE]
    found = []
    counted = progress_by_job(recent)
    for job in sorted(recent, key=lambda job: job.finished_at is not None):
        numbers = counted.get(job.pk)
        color, status = job_status(job, numbers)
        deliveries = "" if numbers is None else progress_text(numbers)
        found.append({"job": job, "color": color, "status": status, "deliveries": deliveries})
    return found


def _is_moving(jobs: Sequence[dict[str, Any]]) -> bool:
    """Return whether a job runs, or a delivery of one waits: then the page refreshes its part about jobs."""
    return any(one["color"] in (JobStatus.PENDING, JobStatus.RUNNING) for one in jobs)
