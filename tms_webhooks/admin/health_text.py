"""The health of a webhook in words: whether it receives requests, the reason, and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment, format_number, format_percent
from tms_webhooks.choices import Health, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import replay
from tms_webhooks.models import Webhook
from tms_webhooks.monitoring.figures import WebhookHealth
from tms_webhooks.monitoring.words import failures, stop_of


@dataclass(frozen=True, slots=True)
class HealthText:
    """The health of a webhook for the page: the word, and sentences that give the reason and the next step."""

    word: Health
    sentences: tuple[str, ...]


def health_text(webhook: Webhook, health: WebhookHealth, *, now: datetime) -> HealthText:
    """Return the health of a webhook in words."""
    stop = stop_of(webhook, now, format_moment)
    stopped = () if stop is None else (stop.reason, *((stop.remedy,) if stop.remedy else ()))
    if health.word == Health.DISABLED or webhook.pull_only:
        return HealthText(health.word, stopped)
    is_failing = webhook.failures and (stop is None or stop.state != "paused")
    return HealthText(
        health.word,
        (
            *((failures(webhook, format_moment),) if is_failing else ()),
            *stopped,
            *_disabling_sentences(webhook, now),
            *_figures_sentences(health),
            *_success_sentences(webhook),
        ),
    )


def health_line(webhook: Webhook, health: WebhookHealth, *, now: datetime) -> str:
    """Return the health of a webhook in a few words, for a list: "Failing, paused until May 3, 2026, 14:05"."""
    if health.word == Health.DISABLED:
        return _("Disabled: %(reason)s") % {"reason": webhook.get_disabled_reason_display() or EMPTY}
    if webhook.pull_only:
        return pgettext("webhook", "Pull only")
    values = {"health": health.word.label}
    state = webhook.status(now)
    if state == "paused":
        return _("%(health)s, paused until %(moment)s") % {**values, "moment": format_moment(webhook.paused_until)}
    if state == "held":
        return _("%(health)s, held until %(moment)s") % {**values, "moment": format_moment(webhook.held_until)}
    return str(health.word.label)


def unsent_sentences(webhook: Webhook) -> tuple[str, ...]:
    """Return which actions send the events that a disabled webhook did not get, with their numbers."""
    if webhook.enabled or webhook.pull_only:
        return ()
    skipped, failed = replay.unsent(JobKind.REPLAY_MISSED, webhook), replay.unsent(JobKind.RECOVER, webhook)
    send = ngettext(
        "“Send missed events” sends %(count)s skipped event.",
        "“Send missed events” sends %(count)s skipped events.",
        skipped,
    )
    resend = ngettext(
        "“Resend failed deliveries” sends %(count)s delivery that failed or was cancelled before.",
        "“Resend failed deliveries” sends %(count)s deliveries that failed or were cancelled before.",
        failed,
    )
    return tuple(text % {"count": _bounded(count)} for text, count in ((send, skipped), (resend, failed)) if count)


def _bounded(count: int) -> str:
    most = replay.MOST_UNSENT
    return format_count(count) if count <= most else _("more than %(count)s") % {"count": format_count(most)}


def _figures_sentences(health: WebhookHealth) -> tuple[str, ...]:
    day = health.day
    if day.success_rate is None:
        return (_("Nothing was sent to it in the last 24 hours."),)
    if health.word != Health.DEGRADED:
        return ()
    text = ngettext(
        "In the last 24 hours %(rate)s of the attempts were delivered, and %(count)s delivery was given up.",
        "In the last 24 hours %(rate)s of the attempts were delivered, and %(count)s deliveries were given up.",
        day.given_up,
    )
    return (text % {"rate": format_percent(day.success_rate), "count": format_count(day.given_up)},)


def _success_sentences(webhook: Webhook) -> tuple[str, ...]:
    if webhook.succeeded_at is None:
        return (_("Nothing has been delivered to it yet."),)
    success = _("The last successful delivery was on %(moment)s.")
    return (success % {"moment": format_moment(webhook.succeeded_at)},)


def _disabling_sentences(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    if webhook.failing_since is None:
        return ()
    most, days = app_settings.DISABLE_AFTER_FAILURES, app_settings.DISABLE_AFTER_DAYS
    text = _(
        "The webhook is disabled after %(failures)s failures in a row and %(days)s days without a success. So far: "
        "%(failed)s of %(failures)s failures, %(passed)s of %(days)s days."
    )
    # Rounded down: it is disabled at the full number.
    passed = int(10 * ((now - webhook.failing_since) / timedelta(days=1))) / 10
    values = {
        "failures": format_count(most),
        "days": format_number(days),
        "failed": format_count(min(webhook.failures, most)),
        "passed": format_number(min(passed, days)),
    }
    return (text % values,)
