"""Why something was not delivered, and the next step of the operator: for the commands that print it.

The texts are those of the log of attempts. They contain no secret, no header value and no payload, and only the host of a URL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, F, Max, Min, QuerySet
from django.db.models.lookups import IsNull

from tms_webhooks.choices import DeliveryStatus, ErrorClass
from tms_webhooks.management.base import counted
from tms_webhooks.models import Delivery, DeliveryAttempt, DrainSlot, Webhook
from tms_webhooks.monitoring.words import missed_remedy, stop_of

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


class Reasons(NamedTuple):
    """The most frequent reasons of one kind, and the number of the others."""

    named: Sequence[Undelivered]
    others: int

    def lines(self, one: str, several: str) -> Iterator[str]:
        """Yield a line for each reason, with the text for one request or delivery, or for several."""
        for found in self.named:
            text = f"webhook {found.webhook} {found.name!r}: {found.reason.rstrip('.')}. {found.remedy}".rstrip()
            yield f"{counted(found.count, one, several)}: {text}"
        if self.others:
            yield f"{counted(self.others, 'more reason')}: webhooks_health shows the webhooks, webhooks_tail the attempts."

    def facts(self) -> list[dict[str, Any]]:
        """Return the named reasons for JSON."""
        return [asdict(found) for found in self.named]


class NewestRows(NamedTuple):
    """The keys of the newest attempt and delivery, before a run: `undelivered` names what came later."""

    attempt: int
    delivery: int

    @classmethod
    def read(cls) -> NewestRows:
        """Read them, in two queries."""
        newest = (model.objects.aggregate(key=Max("pk"))["key"] for model in (DeliveryAttempt, Delivery))
        return cls(*(key or 0 for key in newest))

    def undelivered(self, now: datetime) -> dict[str, Reasons]:
        """Return why something was not delivered: the requests that failed, and the deliveries that wait or were skipped."""
        failed, retried = _failed(self.attempt, now=now)
        waiting = waiting_deliveries(now=now, retried=retried)
        return {"failed": failed, "waiting": waiting, "skipped": _skipped(self.delivery)}


def _failed(after: int, *, now: datetime) -> tuple[Reasons, Counter[int]]:
    """Return why attempts with a key above ``after`` failed, and how many of each webhook are tried again.

    Attempts of one webhook with the same result are one reason, with the first message.
    """
    rows = DeliveryAttempt.objects.filter(pk__gt=after).exclude(error_class="").order_by()
    by_result = rows.annotate(is_final=IsNull(F("next_delay"), True)).values(
        "is_final", "status_code", "error_class", webhook=F("delivery__webhook"), name=F("delivery__webhook__name")
    )
    counts = by_result.annotate(count=Count("*"), first=Min("pk"), due=Min("delivery__due_at"))
    groups, retried = list(counts.order_by("-count", "webhook")), Counter[int]()
    for group in groups:
        retried[group["webhook"]] += 0 if group["is_final"] else group["count"]
    firsts = DeliveryAttempt.objects.filter(pk__in=[group["first"] for group in groups[:MOST]])
    messages, named = dict(firsts.values_list("pk", "message")), []
    for group in groups[:MOST]:
        kind, code = ErrorClass(group["error_class"]), group["status_code"]
        message = messages[group["first"]] or (f"HTTP {code}" if code else str(kind.label))
        remedy = [ALLOWING] if kind in REFUSED else []
        if group["is_final"]:
            follows = "given up"
            remedy.append(f"To send them again: webhooks_replay failed --webhook {group['webhook']}")
        else:
            left = (group["due"] - now).total_seconds() if group["due"] else 0.0
            follows = f"next attempt in {duration(left)}"
        reason = f"{message.rstrip('.')}; {follows}"
        named.append(Undelivered(group["webhook"], group["name"], group["count"], reason, " ".join(remedy)))
    return Reasons(named, max(0, len(groups) - MOST)), retried


def waiting_deliveries(*, now: datetime, retried: Mapping[int, int]) -> Reasons:
    """Return why deliveries wait, by webhook, in two queries. Another worker may hold the webhook, also if it was killed.

    Webhooks are left out whose only waiting deliveries are those that were ``retried``, by the key of the webhook.
    """
    found = [
        row
        for row in _by_webhook(Delivery.objects.open(), due=Min("due_at"))
        if row["count"] > retried.get(row["webhook"], 0)
    ]
    found.sort(key=lambda row: (-row["count"], row["webhook"]))
    webhooks = Webhook.objects.select_related("state").in_bulk({row["webhook"] for row in found[:MOST]})
    named = []
    for row in found[:MOST]:
        until = webhooks[row["webhook"]].state.leased_until
        if until is not None and until > now and row["due"] <= now:
            left = duration((until - now).total_seconds())
            reason = (f"held by another worker, for up to {left}", "If that worker was killed, they are sent then.")
        elif stop := stop_reason(webhooks[row["webhook"]], now):
            reason = stop
        elif row["due"] > now:
            left = duration((row["due"] - now).total_seconds())
            reason = (f"the next one is due in {left}", _send_now(webhooks[row["webhook"]]))
        else:
            reason = ("they wait for its rate limit, or for earlier events of the same objects", "")
        named.append(Undelivered(row["webhook"], row["name"], row["count"], *reason))
    return Reasons(named, max(0, len(found) - MOST))


def _skipped(after: int) -> Reasons:
    """Return the deliveries with a key above ``after`` that were skipped because their webhook is disabled."""
    found = list(_by_webhook(Delivery.objects.filter(pk__gt=after, status=DeliveryStatus.SKIPPED)))
    named = [
        Undelivered(
            row["webhook"], row["name"], row["count"], "Disabled", f"{missed_remedy()} {send_missed(row['webhook'])}"
        )
        for row in found[:MOST]
    ]
    return Reasons(named, max(0, len(found) - MOST))


def _by_webhook(rows: QuerySet[Delivery], **figures: Any) -> Any:
    """Return the key and name of each webhook with the number of its deliveries among these, and these figures of them."""
    counts = rows.order_by().values("webhook", name=F("webhook__name")).annotate(count=Count("*"), **figures)
    return counts.order_by("-count", "webhook")


def stop_reason(webhook: Webhook, now: datetime) -> tuple[str, str] | None:
    """Return why a webhook gets no new events now, and the remedy with its command; None if it gets them."""
    stop = stop_of(webhook, now)
    if stop is None:
        return None
    commands = {"disabled": send_missed(webhook.pk), "pull_only": ""}
    return stop.reason, f"{stop.remedy} {commands.get(stop.state, _send_now(webhook))}".strip()


def send_missed(webhook: int) -> str:
    """Return the remedy for a disabled webhook."""
    return f"To send them: webhooks_replay missed --webhook {webhook}"


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
