"""The health of a webhook in words: whether it receives requests, the reason, and the next step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks.admin.formatting import EMPTY, format_count, format_moment, format_number, format_percent
from tms_webhooks.choices import Health, HoldReason, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import replay
from tms_webhooks.delivery.notices.text import disabled_reason_text
from tms_webhooks.models import Webhook
from tms_webhooks.monitoring.health import WebhookHealth


@dataclass(frozen=True, slots=True)
class HealthText:
    """The health of a webhook for the page: the word, and sentences that give the reason and the next step."""

    word: Health
    sentences: tuple[str, ...]


def health_text(webhook: Webhook, health: WebhookHealth, *, now: datetime) -> HealthText:
    """Return the health of a webhook in words."""
    if health.word == Health.DISABLED:
        return HealthText(health.word, _disabled_sentences(webhook))
    if webhook.pull_only:
        return HealthText(health.word, (_("Nothing is sent to it: the receiver reads its feed."),))
    return HealthText(
        health.word,
        (
            *_failing_sentences(webhook, now),
            *_figures_sentences(health),
            *_held_sentences(webhook, now),
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
    state = webhook.state(now)
    if state == "paused":
        return _("%(health)s, paused until %(moment)s") % {**values, "moment": format_moment(webhook.paused_until)}
    if state == "held":
        return _("%(health)s, held until %(moment)s") % {**values, "moment": format_moment(webhook.held_until)}
    return str(health.word.label)


def _disabled_sentences(webhook: Webhook) -> tuple[str, ...]:
    since = _("It has received no events since %(moment)s.") % {"moment": format_moment(webhook.disabled_at)}
    missed = _("New events are kept as skipped. After you enable the webhook, send the missed events.")
    return (disabled_reason_text(webhook), *((since,) if webhook.disabled_at else ()), missed)


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


def _held_sentences(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    if not webhook.is_held(now):
        return ()
    text = (
        _("Held until %(moment)s because no encryption key decrypts its secrets. The operator has to put the key back.")
        if webhook.hold_reason == HoldReason.KEYS
        else _("Held until %(moment)s because the receiver asked for it with Retry-After.")
    )
    kept = _("Queued deliveries are kept, and lose no retries.")
    return text % {"moment": format_moment(webhook.held_until)}, kept


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


def _failing_sentences(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    if not webhook.failures:
        return ()
    text = ngettext(
        "%(count)s attempt failed on %(moment)s.",
        "%(count)s attempts in a row have failed since %(moment)s.",
        webhook.failures,
    )
    failing = text % {"count": format_count(webhook.failures), "moment": format_moment(webhook.failing_since)}
    if webhook.state(now) != "paused":
        return (failing, *_disabling_sentences(webhook, now))
    probe = _(
        "Until %(moment)s only retries that come due are sent, one at a time. Then one new request tests the "
        "receiver. Queued deliveries are kept until then."
    )
    return (failing, probe % {"moment": format_moment(webhook.paused_until)}, *_disabling_sentences(webhook, now))


def _disabling_sentences(webhook: Webhook, now: datetime) -> tuple[str, ...]:
    if webhook.failing_since is None:
        return ()
    failures, days = app_settings.DISABLE_AFTER_FAILURES, app_settings.DISABLE_AFTER_DAYS
    text = _(
        "The webhook is disabled after %(failures)s failures in a row and %(days)s days without a success. So far: "
        "%(failed)s of %(failures)s failures, %(passed)s of %(days)s days."
    )
    # Rounded down: it is disabled at the full number.
    passed = int(10 * ((now - webhook.failing_since) / timedelta(days=1))) / 10
    values = {
        "failures": format_count(failures),
        "days": format_number(days),
        "failed": format_count(min(webhook.failures, failures)),
        "passed": format_number(min(passed, days)),
    }
    return (text % values,)
