"""The content of the page of one delivery: its status, the next step, its attempts and its request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from tms_webhooks.admin.delivery_rows import outcome_detail, status_text, was_not_retried
from tms_webhooks.admin.formatting import EMPTY, format_duration, format_milliseconds, format_moment
from tms_webhooks.choices import DelayReason, DeliveryStatus, Priority
from tms_webhooks.delivery.next_attempt import expires_at, next_attempt_at
from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.monitoring.words import disabled_reason, stop_of
from tms_webhooks.net.timing import Timing
from tms_webhooks.worker.request_preview import preview_of

MAX_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class AttemptText:
    """One attempt, with the next step and the time per step of the exchange in words."""

    attempt: DeliveryAttempt
    next_step: str
    timing: str


def delivery_context(delivery: Delivery, *, now: datetime, payload: bool, masks_url: bool) -> dict[str, Any]:
    """Return the template context. Without ``payload``, it holds neither the object's name, nor request nor response.

    With ``masks_url``, the URL of the request is masked, for users who may not manage the webhook.
    """
    newest = DeliveryAttempt.objects.filter(delivery=delivery).order_by("-pk")
    rows = list((newest if payload else newest.defer("response_headers", "response_body"))[: MAX_ATTEMPTS + 1])
    attempts = [
        AttemptText(row, next_step(row, is_ahead=_is_ahead(delivery, row, now=now)), timing_text(row.parts))
        for row in rows[:MAX_ATTEMPTS]
    ]
    return {
        "now": now,
        "headline": _headline(delivery, rows),
        "sentences": [*status_sentences(delivery, now=now), *_last_attempt(rows)],
        "name": delivery.event.subject_name if payload else "",
        "attempts": attempts,
        "has_more": len(rows) > MAX_ATTEMPTS,
        "request_preview": preview_of(delivery, now=now, masks_url=masks_url)
        if payload and delivery.status != DeliveryStatus.MERGED
        else None,
    }


def _headline(delivery: Delivery, attempts: Sequence[DeliveryAttempt]) -> str:
    """Return the status, with the HTTP code of the last attempt or the kind of its error."""
    detail = outcome_detail(delivery, attempts[0].status_code if attempts else None)
    status = status_text(delivery)
    return f"{status}: {detail}" if detail and delivery.attempts else status


def _last_attempt(attempts: Sequence[DeliveryAttempt]) -> Iterator[str]:
    """Yield a sentence on the last attempt, if it failed."""
    if attempts and attempts[0].error_class and attempts[0].number is not None:
        last = attempts[0]
        text = _("Attempt %(number)d failed on %(moment)s: %(message)s.")
        message = (last.message or str(last.get_error_class_display())).rstrip(".")
        yield text % {"number": last.number, "moment": format_moment(last.started_at), "message": message}


def status_sentences(delivery: Delivery, *, now: datetime) -> list[str]:
    """Return the status of a delivery and its next step, in sentences."""
    sentences = [_status_sentence(delivery)]
    webhook = delivery.webhook
    if delivery.due_at is None or delivery.status == DeliveryStatus.IN_FLIGHT:
        return sentences
    if webhook.deleted_at is not None:
        return [_("Its webhook was deleted. It will be cancelled.")]
    if not webhook.enabled and delivery.priority != Priority.MANUAL:
        return [*sentences, disabled_reason(webhook)]
    sentences.append(_next_attempt_sentence(delivery, now=now))
    stop = stop_of(webhook, now, format_moment)
    if stop is not None and (
        stop.state == "held" or (stop.state == "paused" and delivery.status == DeliveryStatus.PENDING)
    ):
        sentences.append(stop.reason if stop.state == "held" else stop.remedy)
    elif delivery.quiet_period is not None and delivery.status == DeliveryStatus.PENDING and delivery.due_at > now:
        sentences.append(_("It waits for further updates of the same object, to send one request for all."))
    elif webhook.ordered and delivery.order_key is not None:
        sentences.append(_("It waits for earlier events of the same object."))
    return sentences


def _next_attempt_sentence(delivery: Delivery, *, now: datetime) -> str:
    """Return when an open delivery is attempted next, and when it is given up."""
    at, moments = next_attempt_at(delivery, now=now), {"expires_at": format_moment(expires_at(delivery))}
    if at is None:
        return _("No attempt follows. It is given up on %(expires_at)s.") % moments
    moments["moment"] = format_moment(at)
    if at > now:
        text = _(
            "The next attempt is on %(moment)s. It is given up after the last retry, on %(expires_at)s at the latest."
        )
        return text % moments
    text = _("It has been due since %(moment)s. It is given up after the last retry, on %(expires_at)s at the latest.")
    return text % moments


def _status_sentence(delivery: Delivery) -> str:
    finished = {"moment": format_moment(delivery.finished_at)}
    return {
        DeliveryStatus.PENDING: _("It has not been attempted yet."),
        DeliveryStatus.IN_FLIGHT: _("It is in flight."),
        DeliveryStatus.WAITING: _("It was not accepted yet, and is retried."),
        DeliveryStatus.DELIVERED: _("The receiver accepted it on %(moment)s.") % finished,
        DeliveryStatus.EXHAUSTED: _exhausted_sentence(delivery) % finished,
        DeliveryStatus.FAILED: _("It failed, and a retry would fail too."),
        DeliveryStatus.SKIPPED: _skipped_sentence(delivery),
        DeliveryStatus.CANCELLED: _cancelled_sentence(delivery),
        DeliveryStatus.MERGED: _merged_sentence(delivery),
    }[DeliveryStatus(delivery.status)]


def _exhausted_sentence(delivery: Delivery) -> str:
    if was_not_retried(delivery):
        return _("It failed on %(moment)s, and is not retried.")
    return _("It was given up on %(moment)s: all retries failed, or it became too old.")


def _skipped_sentence(delivery: Delivery) -> str:
    if delivery.webhook.enabled:
        return _("The webhook was disabled before it was delivered. Send missed events to send it.")
    return _("The webhook was disabled before it was delivered. Enable the webhook, then send missed events.")


def _cancelled_sentence(delivery: Delivery) -> str:
    deleted_at, finished_at = delivery.webhook.deleted_at, delivery.finished_at
    if deleted_at is not None and finished_at is not None and finished_at >= deleted_at:
        return _("It was cancelled because its webhook was deleted.")
    return _("A user cancelled it.")


def _merged_sentence(delivery: Delivery) -> str:
    carrier = delivery.carrier
    if carrier is None:
        return _("It was not sent: a later update undid its changes.")
    return _("It was not sent itself: delivery %(key)s carries its changes.") % {"key": carrier.public_id}


def _is_ahead(delivery: Delivery, attempt: DeliveryAttempt, *, now: datetime) -> bool:
    """Return whether the delivery still waits for the attempt that follows this one."""
    delay = timedelta(milliseconds=attempt.duration_ms, seconds=attempt.next_delay or 0)
    return delivery.due_at is not None and attempt.started_at + delay > now


def next_step(attempt: DeliveryAttempt, *, is_ahead: bool) -> str:
    """Return when the next attempt is or was due, and the reason for that time."""
    if attempt.number is None:
        return _("This result came too late: another worker had claimed the delivery.")
    if attempt.next_delay is None:
        return "" if not attempt.error_class else _("This was the last attempt.")
    reasons = {
        DelayReason.SCHEDULE: _("according to the retry schedule of the webhook"),
        DelayReason.RETRY_AFTER: _("as the receiver requested with Retry-After; this attempt does not use up a retry"),
        DelayReason.TIMEOUT_PENALTY: _("because retries are delayed after a timeout"),
        DelayReason.THROTTLE: _("because of the webhook's rate limit"),
        DelayReason.PROXY: _("because the proxy opened no tunnel; this attempt does not use up a retry"),
        DelayReason.BREAKER: _("because an encryption key is missing; this attempt does not use up a retry"),
    }
    reason = reasons[DelayReason(attempt.delay_reason)] if attempt.delay_reason in DelayReason.values else EMPTY
    text = _("The next attempt was due %(delay)s later, %(reason)s.")
    if is_ahead:
        text = _("The next attempt is due %(delay)s later, %(reason)s.")
    return text % {"delay": format_duration(attempt.next_delay), "reason": reason}


def timing_text(timing: Timing) -> str:
    """Return the known times of an exchange: "connection 3 ms, response 110 ms"; an empty string without any."""
    parts = (
        (_("DNS lookup"), timing.dns),
        (_("connection"), timing.connect),
        (_("TLS handshake"), timing.tls),
        (_("response"), timing.wait),
        (_("download"), timing.read),
    )
    return ", ".join(f"{title} {format_milliseconds(round(part * 1000))}" for title, part in parts if part is not None)
