"""What the page of a delivery tells: where it stands and what comes next, each attempt, and the request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tms_webhooks.admin.charts import milliseconds
from tms_webhooks.admin.numbers import rounded
from tms_webhooks.admin.standing import moment, why_disabled
from tms_webhooks.choices import DelayReason, DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.net.timing import Timing
from tms_webhooks.worker.request_preview import preview_of

MOST_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Told:
    """One attempt, and in words what came after it and where its time went."""

    attempt: DeliveryAttempt
    next: str
    parts: str


def facts(delivery: Delivery, *, now: datetime, payload: bool) -> dict[str, Any]:
    """Return what the template shows. Without ``payload`` there is nothing of what was sent and answered."""
    newest = DeliveryAttempt.objects.filter(delivery=delivery).order_by("-pk")
    rows = list((newest if payload else newest.defer("response_body"))[: MOST_ATTEMPTS + 1])
    attempts = [Told(one, after(one), parts_of(one.parts)) for one in rows[:MOST_ATTEMPTS]]
    return {
        "now": now,
        "sentences": sentences(delivery, now=now),
        "attempts": attempts,
        "left_out": len(rows) > MOST_ATTEMPTS,
        "request_shown": preview_of(delivery, now=now) if payload else None,
    }


def sentences(delivery: Delivery, *, now: datetime) -> list[str]:
    """Say where a delivery stands, and what comes next."""
    webhook = delivery.webhook
    told = {
        DeliveryStatus.PENDING: _("It was not tried yet."),
        DeliveryStatus.IN_FLIGHT: _("It is under way."),
        DeliveryStatus.WAITING: _("It was not taken yet, and is tried again."),
        DeliveryStatus.DELIVERED: _("The receiver took it at %(moment)s.") % {"moment": moment(delivery.finished_at)},
        DeliveryStatus.EXHAUSTED: _("It was given up at %(moment)s: every try failed, or its time was over.")
        % {"moment": moment(delivery.finished_at)},
        DeliveryStatus.FAILED: _("It failed for good: trying again can't help."),
        DeliveryStatus.SKIPPED: _("It was not tried, because the webhook was disabled. A replay sends it."),
        DeliveryStatus.CANCELLED: _("Somebody called it off."),
    }
    found = [told[DeliveryStatus(delivery.status)]]
    if delivery.due_at is None or delivery.status == DeliveryStatus.IN_FLIGHT:
        return found
    if webhook.deleted_at is not None:
        return [*found, _("Its webhook was deleted.")]
    if not webhook.enabled:
        return [*found, why_disabled(webhook.disabled_reason)]
    found.append(
        _("It is due at %(moment)s.") % {"moment": moment(delivery.due_at)}
        if delivery.due_at > now
        else _("It has been due since %(moment)s.") % {"moment": moment(delivery.due_at)}
    )
    if not webhook.is_awake(now):
        found.append(_("Its webhook is paused until %(moment)s.") % {"moment": moment(webhook.paused_until)})
    elif delivery.order_key is not None:
        found.append(_("It waits for earlier events of the same object."))
    return found


def after(attempt: DeliveryAttempt) -> str:
    """Say what came after an attempt, and why it came then."""
    if attempt.number is None:
        return _("It came too late: another worker had taken the delivery over.")
    if attempt.next_delay is None:
        return "" if not attempt.error_class else _("It was the last try.")
    why = {
        DelayReason.SCHEDULE: _("as the webhook's schedule says"),
        DelayReason.RETRY_AFTER: _("as the receiver asked with Retry-After; the attempt does not count"),
        DelayReason.TIMEOUT_PENALTY: _("because a receiver that hangs is left in peace for a while"),
        DelayReason.THROTTLE: _("because of the webhook's rate limit"),
        DelayReason.BREAKER: _("because the webhook is paused after failures in a row"),
    }
    told = _("The next one came due %(delay)s later, %(reason)s.")
    reason = why[DelayReason(attempt.delay_reason)] if attempt.delay_reason in DelayReason.values else "–"
    return told % {"delay": duration(attempt.next_delay), "reason": reason}


def parts_of(timing: Timing) -> str:
    """Say where the time of an exchange went: "connecting 3 ms, waiting for the answer 110 ms"; nothing where none is known."""
    parts = (
        (_("finding the address"), timing.dns),
        (_("connecting"), timing.connect),
        (_("agreeing on encryption"), timing.tls),
        (_("waiting for the answer"), timing.wait),
        (_("reading it"), timing.read),
    )
    return ", ".join(f"{title} {milliseconds(round(part * 1000))}" for title, part in parts if part is not None)


def duration(seconds: float) -> str:
    """Return a duration for people, by its largest unit: "5 s", "2 min", "1.5 h", "2 days"."""
    if seconds < 1:
        return _("less than a second")
    if seconds < 100:
        return _("%(count)d s") % {"count": round(seconds)}
    if seconds < 90 * 60:
        return _("%(count)d min") % {"count": round(seconds / 60)}
    if seconds < timedelta(days=2).total_seconds():
        return _("%(count)s h") % {"count": rounded(seconds / 3600)}
    days = round(seconds / 86_400)
    return ngettext("%(count)d day", "%(count)d days", days) % {"count": days}
