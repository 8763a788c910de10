"""Why something was not delivered, and the next step of the operator: for the commands that print it.

The texts are those of the log of attempts. They contain no secret, no header value and no payload, and only the host of a URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, F, Max, Min, Q

from tms_webhooks.choices import DeliveryStatus, ErrorClass
from tms_webhooks.models import Delivery, DeliveryAttempt, DrainSlot, Webhook
from tms_webhooks.monitoring.words import stop_of

MOST = 10
"""Webhooks that are named; the others are counted."""
REFUSED = (ErrorClass.DNS_ERROR, ErrorClass.BLOCKED_ADDRESS, ErrorClass.INVALID_URL)
ALLOWING = (
    "The settings decide which URLs are allowed: "
    "TMS_WEBHOOKS with ALLOWED_SCHEMES, ALLOWED_PORTS, UNCHECKED_HOSTS and UNCHECKED_CIDRS."
)
"""The remedy of the operator, whom the messages for customers ask."""
UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))


class NewestRows(NamedTuple):
    """The keys of the newest attempt and delivery, before a run: `undelivered` names what came later."""

    attempt: int
    delivery: int

    @classmethod
    def read(cls) -> NewestRows:
        """Read them, in two queries."""
        newest = (model.objects.aggregate(key=Max("pk"))["key"] for model in (DeliveryAttempt, Delivery))
        return cls(*(key or 0 for key in newest))


class Undelivered(NamedTuple):
    """How many requests to one webhook failed, how many of its deliveries wait or were skipped, why, and the next step."""

    webhook: int
    name: str
    failed: int
    waiting: int
    skipped: int
    reason: str


def undelivered(newest: NewestRows, now: datetime) -> list[Undelivered]:
    """Return the webhooks for which something was not delivered since ``newest`` was read, in four queries."""
    waits, skipped = Q(due_at__isnull=False), Q(status=DeliveryStatus.SKIPPED, pk__gt=newest.delivery)
    deliveries = Delivery.objects.filter(waits | skipped).order_by().values("webhook")
    counts = deliveries.annotate(
        waiting=Count("pk", filter=waits), skipped=Count("pk", filter=skipped), due=Min("due_at")
    )
    left: dict[int, Any] = {row["webhook"]: row for row in counts}
    attempts = DeliveryAttempt.objects.filter(pk__gt=newest.attempt).exclude(error_class="").order_by()
    by_webhook = attempts.values(webhook=F("delivery__webhook")).annotate(count=Count("pk"), last=Max("pk"))
    failed: dict[int, Any] = {row["webhook"]: row for row in by_webhook}
    webhooks = Webhook.objects.select_related("state").in_bulk(left.keys() | failed.keys())
    last_attempts = DeliveryAttempt.objects.in_bulk([row["last"] for row in failed.values()])
    found = []
    for pk, webhook in webhooks.items():
        sentences = [*_result(last_attempts[failed[pk]["last"]], webhook)] if pk in failed else []
        row = left.get(pk, {"waiting": 0, "skipped": 0})
        if pk in left:
            sentences.append(_reason_to_wait(webhook, row["due"], now))
        count = failed[pk]["count"] if pk in failed else 0
        found.append(Undelivered(pk, webhook.name, count, row["waiting"], row["skipped"], " ".join(sentences)))
    return sorted(found, key=lambda one: (-one.failed, -one.waiting, one.webhook))


def _result(attempt: DeliveryAttempt, webhook: Webhook) -> Iterator[str]:
    code, kind = attempt.status_code, ErrorClass(attempt.error_class)
    message = attempt.message or (f"HTTP {code}" if code else str(kind.label))
    yield f"{message.rstrip('.')}."
    if kind in REFUSED:
        yield ALLOWING
    if attempt.next_delay is None:
        yield f"To send failed deliveries again: webhooks_replay failed --webhook {webhook.pk}"


def _reason_to_wait(webhook: Webhook, due: datetime | None, now: datetime) -> str:
    """Return why deliveries wait. Another worker may hold the webhook, also if it was killed."""
    until = webhook.state.leased_until
    if until is not None and until > now and due is not None and due <= now:
        left = duration((until - now).total_seconds())
        return f"Held by another worker, for up to {left}. If that worker was killed, they are sent then."
    if stop := stop_reason(webhook, now):
        return " ".join(stop)
    if due is None or due <= now:
        return "They wait for its rate limit, or for earlier events of the same objects."
    return f"The next one is due in {duration((due - now).total_seconds())}. {_send_now(webhook)}"


def stop_reason(webhook: Webhook, now: datetime) -> tuple[str, str] | None:
    """Return why a webhook gets no new events now, and the remedy with its command; None if it gets them."""
    stop = stop_of(webhook, now)
    if stop is None:
        return None
    commands = {"disabled": f"To send them: webhooks_replay missed --webhook {webhook.pk}", "pull_only": ""}
    return stop.reason, f"{stop.remedy} {commands.get(stop.state, _send_now(webhook))}".strip()


def no_worker(now: datetime) -> str:
    """Return a sentence with the remedy if no drain runs now; otherwise nothing."""
    runs = DrainSlot.objects.held_until(now) is not None
    return "" if runs else "No worker delivers now. Start one: webhooks_drain"


def duration(seconds: float) -> str:
    """Return a duration with a unit, rounded to about two digits."""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    if seconds >= 1:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{max(seconds, 0.0) * 1000:.0f} ms"


def _send_now(webhook: Webhook) -> str:
    return f"To try its deliveries now: webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them"
