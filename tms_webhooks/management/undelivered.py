"""Why something was not delivered, and the next step of the operator: for the commands that print it.

Requests that failed in a run of ``webhooks_drain``, and deliveries that wait, are counted by webhook and reason. The
texts are those of the log of attempts. They contain no secret, no header value and no payload, and only the host of a URL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple

from django.db.models import Aggregate, Count, Max, Min

from tms_webhooks import signals
from tms_webhooks.choices import DeliveryStatus, ErrorClass, HoldReason
from tms_webhooks.management.counts import counted
from tms_webhooks.models import Delivery, DeliveryAttempt, DrainSlot, Webhook
from tms_webhooks.models.delivery import DeliveryQuerySet
from tms_webhooks.models.webhook import HEAVY_COLUMNS

MOST = 10
"""Reasons of one kind that are named; the others are counted."""
REFUSED = (ErrorClass.DNS_ERROR, ErrorClass.BLOCKED_ADDRESS, ErrorClass.INVALID_URL)
ALLOWING = (
    "The settings decide which URLs are allowed: "
    "TMS_WEBHOOKS with ALLOWED_SCHEMES, ALLOWED_PORTS, UNCHECKED_HOSTS and UNCHECKED_CIDRS."
)
"""The remedy of the operator, whom the messages for customers ask."""
UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A number of requests that failed, or of deliveries that wait, of one webhook and for one reason."""

    webhook: int
    name: str
    count: int
    reason: str
    remedy: str
    """The next step of the operator; empty if it has to wait."""

    def __str__(self) -> str:
        return f"webhook {self.webhook} {self.name!r}: {self.reason}. {self.remedy}".rstrip()


@dataclass(frozen=True, slots=True)
class Reasons:
    """The most frequent reasons of one kind, and the number of the others."""

    named: tuple[Undelivered, ...] = ()
    others: int = 0

    def lines(self, one: str, several: str) -> Iterator[str]:
        """Yield a line for each reason, with the text for one request or delivery, or for several."""
        for reason in self.named:
            yield f"{reason.count} {one if reason.count == 1 else several}: {reason}"
        if self.others:
            yield f"{counted(self.others, 'more reason')}: webhooks_status shows the webhooks, webhooks_tail the attempts."

    def facts(self) -> list[dict[str, Any]]:
        """Return the named reasons for JSON."""
        return [asdict(reason) for reason in self.named]


class _Key(NamedTuple):
    webhook: int
    result: str
    """The status code, or the class of the error."""
    is_final: bool


@dataclass(slots=True)
class _Failures:
    """Failed requests of one webhook with one result."""

    delivery: int
    number: int
    """The first attempt, whose message stands for all of them."""
    count: int = 0
    next_at: float = float("inf")
    """When the first of them is tried again, by the monotonic clock."""


class FailedRequests:
    """Counts the failed requests of this process, by webhook and result."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._found: dict[_Key, _Failures] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count while the ``with`` block runs."""
        signals.attempt_recorded.connect(self.count, sender=Delivery)
        try:
            yield
        finally:
            signals.attempt_recorded.disconnect(self.count, sender=Delivery)

    def count(
        self,
        *,
        webhook_id: int,
        delivery_id: int,
        number: int,
        status_code: int | None,
        error_class: str,
        next_delay: float | None,
        **_others: Any,
    ) -> None:
        """Count an attempt, unless it succeeded."""
        if not error_class:
            return
        key = _Key(webhook_id, str(status_code or error_class), next_delay is None)
        failures = self._found.setdefault(key, _Failures(delivery_id, number))
        failures.count += 1
        if next_delay is not None:
            failures.next_at = min(failures.next_at, self._clock() + next_delay)

    def retried(self) -> Mapping[int, int]:
        """Return how many failed requests of each webhook are tried again."""
        counts: Counter[int] = Counter()
        for key, failures in self._found.items():
            counts[key.webhook] += 0 if key.is_final else failures.count
        return counts

    def reasons(self) -> Reasons:
        """Return the reasons, in two queries."""
        chosen = sorted(self._found.items(), key=lambda item: (-item[1].count, item[0]))[:MOST]
        names = _names(key.webhook for key, _failures in chosen)
        rows = DeliveryAttempt.objects.filter(delivery__in=[failures.delivery for _key, failures in chosen])
        messages = {(pk, number): text for pk, number, text in rows.values_list("delivery", "number", "message")}
        named = (
            Undelivered(
                key.webhook,
                names.get(key.webhook, ""),
                failures.count,
                self._reason(key, failures, messages.get((failures.delivery, failures.number), "")),
                _remedy(key),
            )
            for key, failures in chosen
        )
        return Reasons(tuple(named), len(self._found) - len(chosen))

    def _reason(self, key: _Key, failures: _Failures, message: str) -> str:
        kind = f"HTTP {key.result}" if key.result.isdecimal() else ErrorClass(key.result).label
        follows = "given up" if key.is_final else f"next attempt in {duration(failures.next_at - self._clock())}"
        return f"{(message or str(kind)).rstrip('.')}; {follows}"


def waiting_deliveries(*, now: datetime, retried: Mapping[int, int]) -> Reasons:
    """Return why deliveries wait, by webhook, in three queries. Another worker may hold some, also if it was killed.

    Webhooks are left out whose only waiting deliveries are those that were ``retried``, by the key of the webhook.
    """
    unclaimed = _by_webhook(Delivery.objects.unclaimed(), Min("due_at"))
    held = _by_webhook(Delivery.objects.open().filter(status=DeliveryStatus.IN_FLIGHT), Max("due_at"))
    found = [(pk, count, due, False) for pk, count, due in unclaimed if count > retried.get(pk, 0)]
    found += [(pk, count, until, True) for pk, count, until in held]
    chosen = sorted(found, key=lambda row: (-row[1], row[0]))[:MOST]
    webhooks = Webhook.objects.defer(*HEAVY_COLUMNS).in_bulk({pk for pk, *_facts in chosen})
    named = (
        Undelivered(
            pk, webhooks[pk].name, count, *(_held_until(due, now) if is_held else _waits_for(webhooks[pk], due, now))
        )
        for pk, count, due, is_held in chosen
        if pk in webhooks
    )
    return Reasons(tuple(named), len(found) - len(chosen))


def skipped_deliveries(*, after: int) -> Reasons:
    """Return the deliveries with a key above ``after`` that were skipped because their webhook is disabled, in two queries."""
    rows = Delivery.objects.filter(pk__gt=after, status=DeliveryStatus.SKIPPED).order_by().values("webhook")
    found = list(rows.annotate(count=Count("*")).order_by("-count", "webhook").values_list("webhook", "count"))
    names = _names(pk for pk, _count in found[:MOST])
    named = (Undelivered(pk, names.get(pk, ""), count, "disabled", send_missed(pk)) for pk, count in found[:MOST])
    return Reasons(tuple(named), max(0, len(found) - MOST))


def stop_reason(webhook: Webhook, now: datetime) -> tuple[str, str] | None:
    """Return why a webhook gets no new events now, and the remedy; None if it gets them."""
    state = webhook.state(now)
    if state == "paused":
        after = f" after {failures_in_a_row(webhook)}" if webhook.failures else ""
        return f"paused until {_moment(webhook.paused_until)}{after}", _send_now(webhook)
    if state == "held" and webhook.hold_reason == HoldReason.KEYS:
        remedy = f"Put the missing key back into the setting, and restart the workers. {_send_now(webhook)}"
        return (
            f"held until {_moment(webhook.held_until)}, because no key of ENCRYPTION_KEYS decrypts its secrets",
            remedy,
        )
    if state == "held":
        until = _moment(webhook.held_until)
        return f"held until {until}, because the receiver asked for it with Retry-After", _send_now(webhook)
    if state == "disabled":
        since = f" since {_moment(webhook.disabled_at)}" if webhook.disabled_at else ""
        why = f" ({webhook.get_disabled_reason_display().lower()})" if webhook.disabled_reason else ""
        return f"disabled{since}{why}", send_missed(webhook.pk)
    return None


def failures_in_a_row(webhook: Webhook) -> str:
    """Return the number of failures since the last success, and the result of the last one."""
    last = f", the last with {webhook.failed_with}" if webhook.failed_with else ""
    return f"{counted(webhook.failures, 'failure')} in a row{last}"


def send_missed(webhook: int) -> str:
    """Return the remedy for a disabled webhook."""
    return f"Enable it, and send the missed events: webhooks_replay missed --webhook {webhook}"


def no_worker(now: datetime) -> str:
    """Return a sentence with the remedy if no drain runs now; otherwise nothing."""
    runs = DrainSlot.objects.held_until(now) is not None
    return "" if runs else "No worker delivers now. Start one: webhooks_drain"


def newest_delivery() -> int:
    """Return the key of the newest delivery; 0 without one."""
    return Delivery.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def duration(seconds: float) -> str:
    """Return a duration with a unit, rounded to about two digits."""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    if seconds >= 1:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{max(seconds, 0.0) * 1000:.0f} ms"


def _names(webhooks: Iterable[int]) -> dict[int, str]:
    return dict(Webhook.objects.filter(pk__in=set(webhooks)).values_list("pk", "name"))


def _remedy(key: _Key) -> str:
    send_again = f"To send them again: webhooks_replay failed --webhook {key.webhook}"
    allowing = [ALLOWING] if key.result in REFUSED else []
    return " ".join([*allowing, *([send_again] if key.is_final else [])])


def _by_webhook(rows: DeliveryQuerySet, moment: Aggregate) -> Iterable[tuple[int, int, datetime]]:
    """Return the key of each webhook, the number of its deliveries among these, and this time of them."""
    counts = rows.order_by().values("webhook").annotate(count=Count("*"), moment=moment)
    return counts.values_list("webhook", "count", "moment")


def _held_until(moment: datetime, now: datetime) -> tuple[str, str]:
    """Return why deliveries wait that another worker holds, and the remedy."""
    left = duration((moment - now).total_seconds())
    return f"held by another worker, for up to {left}", "If that worker was killed, they come due then."


def _waits_for(webhook: Webhook, due: datetime, now: datetime) -> tuple[str, str]:
    """Return why deliveries of a webhook wait, the first of which is due at ``due``, and the remedy."""
    stop = stop_reason(webhook, now)
    if stop is not None:
        return stop
    if due > now:
        return f"the next one is due in {duration((due - now).total_seconds())}", _send_now(webhook)
    return "they wait for its rate limit, or for earlier events of the same objects", ""


def _send_now(webhook: Webhook) -> str:
    return f"To try its deliveries now: webhooks_replay now --webhook {webhook.pk}; webhooks_drain sends them"


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"
