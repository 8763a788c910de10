"""Webhooks, deliveries and events in words, for lists and for their pages: whether all is well, the reason, and the next step.

Names of objects are as private as payloads. A list asks once which organizations' payloads its user may view, and reads
the codes of all its rows together.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from tms_webhooks import catalogue
from tms_webhooks.admin.bases import allowed_among, may_view_payload_of
from tms_webhooks.admin.formatting import (
    EMPTY,
    format_count,
    format_duration,
    format_moment,
    format_number,
    moment_cell,
)
from tms_webhooks.choices import Action, DelayReason, DeliveryStatus, ErrorClass, Health, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.event_names import TEST
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook, WebhookState
from tms_webhooks.models.webhook import heavy_columns
from tms_webhooks.net.urls import MASK

if TYPE_CHECKING:
    from tms_webhooks.documents.request_preview import RequestPreview
    from tms_webhooks.monitoring.figures import WebhookHealth
    from tms_webhooks.net.timing import Timing

MAX_ATTEMPTS = 50

# The health of a webhook


def health_sentences(webhook: Webhook, health: WebhookHealth, *, now: datetime) -> list[str]:
    """Return the reason for the health of a webhook, and the next step."""
    from tms_webhooks.monitoring.words import failures, health_figures, stop_of

    stop, state = stop_of(webhook, now, format_moment), webhook.state
    stopped = [] if stop is None else [stop.reason, *filter(None, [stop.remedy])]
    if health.word == Health.DISABLED or webhook.pull_only:
        return stopped
    sentences = [*stopped]
    if state.failures and (stop is None or stop.state != "paused"):
        sentences.insert(0, failures(state, format_moment))
    if state.failing_since is not None:
        sentences.append(_disabling_sentence(state, state.failing_since, now))
    if stop is None:
        sentences += filter(None, [health_figures(health)])
    if health.day.success_rate is None and state.succeeded_at:
        sentences.append(_("Nothing was sent to it in the last 24 hours."))
    success = _("The last successful delivery was on %(moment)s.") % {"moment": format_moment(state.succeeded_at)}
    sentences.append(success if state.succeeded_at else _("Nothing has been delivered to it yet."))
    return sentences


def _disabling_sentence(state: WebhookState, failing_since: datetime, now: datetime) -> str:
    most, days = app_settings.DISABLE_AFTER_FAILURES, app_settings.DISABLE_AFTER_DAYS
    text = _(
        "The webhook is disabled after %(failures)s failures in a row and %(days)s days without a success. So far: "
        "%(failed)s of %(failures)s failures, %(passed)s of %(days)s days."
    )
    # Rounded down: it is disabled at the full number.
    passed = int(10 * ((now - failing_since) / timedelta(days=1))) / 10
    return text % {
        "failures": format_count(most),
        "days": format_number(days),
        "failed": format_count(min(state.failures, most)),
        "passed": format_number(min(passed, days)),
    }


def health_line(webhook: Webhook, health: WebhookHealth, *, now: datetime) -> str:
    """Return the health of a webhook in a few words, for a list: "Failing, paused until May 3, 2026, 14:05"."""
    if health.word == Health.DISABLED:
        return _("Disabled: %(reason)s") % {"reason": webhook.get_disabled_reason_display() or EMPTY}
    if webhook.pull_only:
        return pgettext("webhook", "Pull only")
    values = {"health": health.word.label}
    state = webhook.status(now)
    if state == "paused":
        return _("%(health)s, paused until %(moment)s") % {
            **values,
            "moment": format_moment(webhook.state.paused_until),
        }
    if state == "held":
        return _("%(health)s, held until %(moment)s") % {**values, "moment": format_moment(webhook.state.held_until)}
    return str(health.word.label)


def health_dot(webhook: Webhook, health: WebhookHealth, *, now: datetime) -> SafeString:
    """Return the same in the color of the health."""
    html = '<span class="tms-status tms-{}">{}</span>'
    return format_html(html, health.word.value, health_line(webhook, health, now=now))


# Deliveries in lists


def delivery_rows(deliveries: Sequence[Delivery], request: HttpRequest, *, now: datetime) -> list[dict[str, Any]]:
    """Return these deliveries in words, in two queries. They have their events and webhooks loaded: `with_row_columns`.

    The object has no name for a user who may not view payloads. ``outcome`` is the status in its color, with the HTTP code
    of the last attempt or the kind of its error, and the attempts. ``when`` is when it was finished, or is
    attempted next: "in 42 s".
    """
    # One query for all organizations.
    owners = [{row.webhook.organization_id, *row.event.viewers} for row in deliveries]
    allowed_among(request, Action.VIEW_PAYLOAD, set().union(*owners))
    codes = _last_codes(deliveries)
    return [
        {
            "delivery": row,
            "object": object_text(row.event, is_named=may_view_payload_of(request, row)),
            "event": event_text(row.event),
            "webhook": cut(row.webhook.name),
            "outcome": format_html(
                '<span class="tms-status tms-{}">{}</span> <span class="tms-small">{}</span>',
                row.status,
                status_text(row),
                " · ".join(
                    filter(
                        None,
                        (
                            outcome_detail(row, codes.get(row.pk)),
                            ngettext("%(count)d attempt", "%(count)d attempts", row.attempts) % {"count": row.attempts}
                            if row.attempts
                            else "",
                        ),
                    )
                ),
            ),
            "when": _when(row, now=now),
        }
        for row in deliveries
    ]


def with_row_columns(deliveries: QuerySet) -> QuerySet:
    """Load what `delivery_rows` shows together with the deliveries, without payloads and secrets."""
    return deliveries.select_related("event", "webhook__state").defer("event__body", "event__error", *heavy_columns())


def object_text(event: Event, *, is_named: bool) -> SafeString:
    """Return the object of an event: its name if it may be shown, its noun and id, and the customer's own id.

    Of a test it is the name of the webhook alone, which is no payload.
    """
    ids = " · ".join(filter(None, (f"{event.subject_type}:{event.subject_id}", event.external_id)))
    if event.type == TEST:
        return cut(event.subject_name or ids)
    if not (is_named and event.subject_name):
        return cut(ids)
    return format_html("{} {}", cut(event.subject_name), cut(ids, css="tms-cut tms-small"))


def event_text(event: Event) -> SafeString:
    """Return the event type, with its sentence as the tooltip."""
    known = catalogue.expand(event.type)
    return cut(event.type, css="tms-whole", title=known[0].summary if known else event.type)


def cut(text: str, *, css: str = "tms-cut", title: str = "") -> SafeString:
    """Return a text that the page cuts where its column ends, with the whole as its tooltip."""
    return format_html('<span class="{}" title="{}" dir="auto">{}</span>', css, title or text, text)


def _last_codes(deliveries: Collection[Delivery]) -> dict[int, int]:
    """Return the HTTP codes of the last attempts. By the unique constraint ``tms_attempt_number_once``."""
    tried = [row.pk for row in deliveries if row.attempts]
    if not tried:
        return {}
    rows = DeliveryAttempt.objects.filter(delivery__in=tried, number=F("delivery__attempts"))
    return {key: code for key, code in rows.values_list("delivery_id", "status_code") if code is not None}


def outcome_detail(delivery: Delivery, code: int | None) -> str:
    """Return the HTTP code of the last attempt, or the kind of its error: an answer may have a code and fail otherwise."""
    if code is not None and delivery.error_class in ("", ErrorClass.HTTP_STATUS):
        return f"HTTP {code}"
    return str(delivery.get_error_class_display()) if delivery.error_class else ""


def was_not_retried(delivery: Delivery) -> bool:
    """Return whether a delivery was given up after its only attempt, as a test is."""
    return delivery.status == DeliveryStatus.EXHAUSTED and delivery.attempts == 1


def status_text(delivery: Delivery) -> str:
    """Return the status for a page. A delivery that had no retry did not fail after all retries."""
    return _("Failed, no retry") if was_not_retried(delivery) else str(delivery.get_status_display())


def _when(delivery: Delivery, *, now: datetime) -> SafeString:
    """Return when an open delivery is attempted next, or when a finished one was finished."""
    at = delivery.next_attempt_at(now=now)
    if at is None:
        return moment_cell((delivery.finished_at or delivery.created_at) if delivery.due_at is None else None)
    duration = format_duration((at - now).total_seconds())
    return moment_cell(at, _("in %(duration)s") % {"duration": duration} if at > now else _("due"))


# One delivery


def delivery_context(
    delivery: Delivery, *, now: datetime, payload: bool, preview: RequestPreview | None
) -> dict[str, Any]:
    """Return the template context. Without ``payload``, it holds neither the object's name, nor request nor response.

    ``preview`` is the request that is sent next, if there is one. The first attempt that sent the body shows it.
    """
    newest = DeliveryAttempt.objects.filter(delivery=delivery).order_by("-pk")
    rows = list((newest if payload else newest.defer("response_headers", "response_body"))[: MAX_ATTEMPTS + 1])
    status, detail = status_text(delivery), outcome_detail(delivery, rows[0].status_code if rows else None)
    attempts: list[dict[str, Any]] = [
        {
            "attempt": row,
            "next_step": _next_step(row, delivery, now=now),
            "timing": timing_text(row.parts),
            "request": _request_of(delivery, row) if payload and row.request else None,
        }
        for row in rows[:MAX_ATTEMPTS]
    ]
    sent = next((row for row in attempts if row["request"] and row["request"].headers), None)
    return {
        "now": now,
        "headline": f"{status}: {detail}" if detail and delivery.attempts else status,
        "sentences": [*status_sentences(delivery, now=now), *_failure_of(rows)],
        "name": delivery.event.subject_name if payload else "",
        "attempts": attempts,
        "has_more": len(rows) > MAX_ATTEMPTS,
        "request_preview": preview,
        "sent": sent,
        "has_traces": "otel" in app_settings.TELEMETRY,
    }


def _request_of(delivery: Delivery, attempt: DeliveryAttempt) -> RequestPreview:
    """Return the request of an attempt as it was made, by what the attempt keeps of it (`Endpoint.outline`).

    Without the event's payload, the tokens of the URL are not filled in, and headers that come from the body are missing.
    """
    from tms_webhooks.delivery import rendering
    from tms_webhooks.delivery.outgoing import Endpoint
    from tms_webhooks.documents import request_preview
    from tms_webhooks.monitoring.liveness import BEFORE_PROXY
    from tms_webhooks.payloads.formats import RequestFormat
    from tms_webhooks.payloads.formats.shape import PLAIN

    webhook, event = copy.copy(delivery.webhook), delivery.event
    webhook.verb, webhook.url, _version, secrets, names, *shape = attempt.request.split("\n")
    is_unready = attempt.timing and attempt.parts.wait is None
    if attempt.status_code is None and (is_unready or attempt.error_class in BEFORE_PROXY):
        problem = _("Nothing was sent: the attempt failed before its request.")
        return request_preview.RequestPreview(webhook.verb, webhook.url, problem=problem)
    webhook.body_signature_header = ""
    form, detail = shape or PLAIN
    known = RequestFormat(form, detail, webhook.url)
    headers = dict.fromkeys(names.split(), MASK)
    endpoint = Endpoint(webhook, headers, [request_preview.PLACEHOLDER_SECRET] * int(secrets), shape=known)
    content = rendering.preview(delivery, known) if event.body else rendering.Content()
    number, at = attempt.number or 0, attempt.started_at
    return request_preview.signed_preview(endpoint, event, content, number=number, now=at)


def status_sentences(delivery: Delivery, *, now: datetime) -> list[str]:
    """Return the status of a delivery and its next step, in sentences."""
    from tms_webhooks.monitoring.words import disabled_reason, stop_of

    sentences = [_status_sentence(delivery)]
    webhook = delivery.webhook
    if delivery.due_at is None:
        return sentences
    if webhook.deleted_at is not None:
        return [_("Its webhook was deleted. It will be cancelled.")]
    if not webhook.enabled and delivery.priority != Priority.MANUAL:
        return [*sentences, disabled_reason(webhook)]
    sentences.append(_next_attempt_sentence(delivery, now=now))
    is_pending = delivery.status == DeliveryStatus.PENDING
    stop = stop_of(webhook, now, format_moment)
    if stop is not None and stop.state == "held":
        sentences.append(stop.reason)
    elif stop is not None and stop.state == "paused" and is_pending:
        sentences.append(stop.remedy)
    elif is_pending and delivery.quiet_period is not None and delivery.due_at > now:
        sentences.append(_("It waits for further updates of the same object, to send one request for all."))
    elif webhook.ordered and delivery.order_key is not None:
        sentences.append(_("It waits for earlier events of the same object."))
    return sentences


def _next_attempt_sentence(delivery: Delivery, *, now: datetime) -> str:
    """Return when an open delivery is attempted next, and when it is given up."""
    at = delivery.next_attempt_at(now=now)
    if at is None:
        text = _("No attempt follows. It is given up on %(expires_at)s.")
    elif at > now:
        text = _(
            "The next attempt is on %(moment)s. It is given up after the last retry, on %(expires_at)s at the latest."
        )
    else:
        text = _(
            "It has been due since %(moment)s. It is given up after the last retry, on %(expires_at)s at the latest."
        )
    return text % {"moment": format_moment(at), "expires_at": format_moment(delivery.expires_at())}


def _status_sentence(delivery: Delivery) -> str:
    webhook, carrier, finished_at = delivery.webhook, delivery.carrier, delivery.finished_at
    ended_with_webhook = webhook.deleted_at and finished_at and finished_at >= webhook.deleted_at
    sentences = {
        DeliveryStatus.PENDING: _("It has not been attempted yet."),
        DeliveryStatus.WAITING: _("It was not accepted yet, and is retried."),
        DeliveryStatus.DELIVERED: _("The receiver accepted it on %(moment)s."),
        DeliveryStatus.EXHAUSTED: _("It failed on %(moment)s, and is not retried.")
        if was_not_retried(delivery)
        else _("It was given up on %(moment)s: all retries failed, or it became too old."),
        DeliveryStatus.FAILED: _("It failed, and a retry would fail too."),
        DeliveryStatus.SKIPPED: _("The webhook was disabled before it was delivered. Send missed events to send it.")
        if webhook.enabled
        else _("The webhook was disabled before it was delivered. Enable the webhook, then send missed events."),
        DeliveryStatus.CANCELLED: _("It was cancelled because its webhook was deleted.")
        if ended_with_webhook
        else _("A user cancelled it."),
        DeliveryStatus.MERGED: _("It was not sent: a later update undid its changes.")
        if carrier is None
        else _("It was not sent itself: delivery %(key)s carries its changes."),
    }
    values = {"moment": format_moment(finished_at), "key": carrier and carrier.public_id}
    return sentences[DeliveryStatus(delivery.status)] % values


def _failure_of(attempts: Sequence[DeliveryAttempt]) -> list[str]:
    """Return a sentence on the last attempt, if it failed."""
    if not attempts or not attempts[0].error_class or attempts[0].number is None:
        return []
    last = attempts[0]
    text = _("Attempt %(number)d failed on %(moment)s: %(message)s.")
    message = (last.message or str(last.get_error_class_display())).rstrip(".")
    return [text % {"number": last.number, "moment": format_moment(last.started_at), "message": message}]


def _next_step(attempt: DeliveryAttempt, delivery: Delivery, *, now: datetime) -> str:
    """Return when the next attempt is or was due, and the reason for that time."""
    if attempt.number is None:
        return _("This result came too late: another worker had claimed the delivery.")
    if attempt.next_delay is None:
        return _("This was the last attempt.") if attempt.error_class else ""
    reasons = {
        DelayReason.SCHEDULE: _("according to the retry schedule of the webhook"),
        DelayReason.RETRY_AFTER: _(
            "as the receiver requested with 429 or Retry-After; this attempt does not use up a retry"
        ),
        DelayReason.TIMEOUT_PENALTY: _("because retries are delayed after a timeout"),
        DelayReason.THROTTLE: _("because of the webhook's rate limit"),
        DelayReason.PROXY: _("because the proxy opened no tunnel; this attempt does not use up a retry"),
        DelayReason.BREAKER: _("because an encryption key is missing; this attempt does not use up a retry"),
    }
    reason = reasons[DelayReason(attempt.delay_reason)] if attempt.delay_reason in DelayReason.values else EMPTY
    due_at = attempt.started_at + timedelta(milliseconds=attempt.duration_ms, seconds=attempt.next_delay)
    text = (
        _("The next attempt is due %(delay)s later, %(reason)s.")
        if delivery.due_at is not None and due_at > now
        else _("The next attempt was due %(delay)s later, %(reason)s.")
    )
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
    return ", ".join(f"{title} {format_duration(part)}" for title, part in parts if part is not None)
