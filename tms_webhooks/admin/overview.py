"""The life of a webhook: how it does and why, what came of its requests, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from tms_webhooks.admin import charts
from tms_webhooks.admin.actions import ACTS, Act, Answer
from tms_webhooks.admin.scope import Scoped
from tms_webhooks.admin.standing import standing
from tms_webhooks.choices import Action
from tms_webhooks.models import Delivery, Job, Webhook
from tms_webhooks.monitoring.backlog import WebhookBacklog, backlog_by_webhook
from tms_webhooks.monitoring.history import AttemptStats, history
from tms_webhooks.worker.test_send import outside_transactions

LAST_DELIVERIES = 10
JOBS_SHOWN = 5
JOBS_SINCE = timedelta(hours=24)


class OverviewPages(Scoped):
    """Adds the overview of a webhook and the pages of what can be done with it to the admin's pages."""

    def get_urls(self) -> list[URLPattern]:
        """Put them before Django's own, which take any path for a key."""
        view = self.admin_site.admin_view
        return [
            path("<int:key>/overview/", view(self.overview_view), name="tms_webhooks_webhook_overview"),
            path("<int:key>/overview/jobs/", view(self.jobs_view), name="tms_webhooks_webhook_jobs"),
            # A test must not hold a transaction open while it waits for the receiver.
            path(
                "<int:key>/overview/<slug:act>/",
                outside_transactions(view(self.act_view)),
                name="tms_webhooks_webhook_act",
            ),
            *super().get_urls(),
        ]

    def overview_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Show how a webhook does."""
        webhook = self._found(request, key)
        now = timezone.now()
        found = history(webhook, now=now)
        rows = Delivery.objects.filter(webhook=webhook).select_related("event").defer("event__body", "event__error")
        context = {
            **self._context(request, webhook),
            "title": webhook.name,
            "standing": standing(webhook, now=now),
            "waiting": backlog_by_webhook(now=now, webhook=webhook).get(webhook.pk, WebhookBacklog(0, None)),
            "figures": [
                {**_figure(_("Last 24 hours"), found.day), "charts": _both("hours", found.hours, label=_hour)},
                {**_figure(_("Last 30 days"), found.month), "charts": _both("days", found.days, label=_day)},
            ],
            "jobs": _jobs(webhook, now=now),
            "deliveries": rows.order_by("-pk")[:LAST_DELIVERIES] if _sees_log(request) else None,
            "acts": [act for act in ACTS if self._may(request, act, webhook) and act.fits(webhook)],
        }
        return TemplateResponse(request, "admin/tms_webhooks/webhook/overview.html", context)

    def jobs_view(self, request: HttpRequest, key: int) -> HttpResponse:
        """Show the jobs alone: the part of the overview that refreshes itself while one is under way."""
        webhook = self._found(request, key)
        context = {**self._context(request, webhook), "jobs": _jobs(webhook, now=timezone.now())}
        return TemplateResponse(request, "admin/tms_webhooks/webhook/jobs.html", context)

    def act_view(self, request: HttpRequest, key: int, act: str) -> HttpResponse:
        """Ask whether it is meant, and do it."""
        webhook = self._found(request, key)
        chosen = next((one for one in ACTS if one.slug == act), None)
        if chosen is None:
            raise Http404
        if not self._may(request, chosen, webhook):
            raise PermissionDenied
        answer = chosen.answer(request, webhook, now=timezone.now())
        if answer.done:
            self.log_change(request, webhook, answer.done)
            self.message_user(request, answer.told, answer.level)
            return HttpResponseRedirect(reverse(f"{self.admin_site.name}:tms_webhooks_webhook_overview", args=[key]))
        return self._ask(request, webhook, chosen, answer)

    def _ask(self, request: HttpRequest, webhook: Webhook, act: Act, answer: Answer) -> HttpResponse:
        context = {**self._context(request, webhook), "title": act.label, "act": act, "answer": answer}
        return TemplateResponse(request, act.template, context)

    def _found(self, request: HttpRequest, key: int) -> Webhook:
        webhook: Webhook | None = self.get_object(request, str(key))
        if webhook is None:
            raise Http404
        if not self.has_view_permission(request, webhook):
            raise PermissionDenied
        return webhook

    def _may(self, request: HttpRequest, act: Act, webhook: Webhook) -> bool:
        return request.user.has_perm(act.permission) and self.may(request, act.action, webhook)

    def _context(self, request: HttpRequest, webhook: Webhook) -> dict[str, Any]:
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "webhook": webhook,
            "original": webhook,
            "now": timezone.now(),
            "log_url": log_of(webhook, request, site=self.admin_site.name),
            "may_see_payloads": request.user.has_perm("tms_webhooks.view_event")
            and self.may(request, Action.VIEW_PAYLOAD, webhook),
        }


def log_of(webhook: Webhook, request: HttpRequest, *, site: str) -> str:
    """Return the address of a webhook's deliveries; nothing for those who may not see the log."""
    page = reverse(f"{site}:tms_webhooks_delivery_changelist")
    return f"{page}?{urlencode({'webhook__id__exact': webhook.pk})}" if _sees_log(request) else ""


def _sees_log(request: HttpRequest) -> bool:
    return request.user.has_perm("tms_webhooks.view_delivery")


def _figure(title: str, found: AttemptStats) -> dict[str, Any]:
    rate = found.success_rate
    return {
        "title": title,
        "attempts": found.attempts,
        "rate": "–" if rate is None else percent(rate),
        "p50": charts.milliseconds(found.p50_ms),
        "p95": charts.milliseconds(found.p95_ms),
        "given_up": found.given_up,
    }


def percent(share: float) -> str:
    """Return a share for people; one that is not all is never shown as all."""
    shown = min(round(100 * share, 1), 99.9) if share < 1 else 100
    return _("%(share)s %%") % {"share": formats.number_format(shown, 1 if shown % 1 else 0)}


def _both(key: str, bars: Sequence[AttemptStats], *, label: Any) -> list[charts.Chart]:
    return [
        charts.outcomes(f"outcomes-{key}", bars, label=label),
        charts.latencies(f"latencies-{key}", bars, label=label),
    ]


def _hour(found: AttemptStats) -> str:
    return str(formats.time_format(timezone.localtime(found.starts_at).time(), "H:i"))


def _day(found: AttemptStats) -> str:
    # A day of the totals is one of UTC, whatever the zone of the page.
    return str(formats.date_format(found.starts_at.date(), "MONTH_DAY_FORMAT"))


def _jobs(webhook: Webhook, *, now: datetime) -> list[Job]:
    """Return the jobs that are under way, and those that ended lately."""
    rows = list(Job.objects.filter(webhook=webhook).order_by("-pk")[:JOBS_SHOWN])
    lately = [job for job in rows if job.finished_at is None or job.finished_at > now - JOBS_SINCE]
    return sorted(lately, key=lambda job: job.finished_at is not None)
