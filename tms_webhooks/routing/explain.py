"""Why an event goes to a webhook or does not, clause by clause: the questions that the fan-out asks, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from tms_webhooks.choices import Audience, CheckResult
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE
from tms_webhooks.models import Delivery, Event, FirstOccurrence, Subscription, Webhook
from tms_webhooks.models.audience import reaches, subject_webhook_id
from tms_webhooks.routing import filtered
from tms_webhooks.routing.checks import checks_of, occasion_of


@dataclass(frozen=True, slots=True)
class Clause:
    """One question: what it is about, the answer, and a sentence for people.

    ``subscription_id`` names the subscription that it is a question of, where it is one of a subscription.
    """

    name: str
    verdict: CheckResult
    sentence: str
    subscription_id: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All the clauses, by what is asked today, and what they come to; ``delivery`` is what the event got, if it did.

    The two differ where the webhook was changed since the event was handed out.
    """

    verdict: CheckResult
    clauses: tuple[Clause, ...]
    delivery: Delivery | None = None


def explain(webhook: Webhook, event: Event) -> Explanation:
    """Say why an event goes to a webhook or doesn't; of an event that was handed out, why it would today.

    The sentences hold no values of the event. Whoever is shown them has to be one who may see the webhook.
    """
    delivery = Delivery.objects.filter(webhook=webhook, event=event).first()
    own = tuple(_of_webhook(webhook, event, came_too_late=delivery is None and _came_too_late(webhook, event)))
    by_subscription = [tuple(_of_subscription(one, webhook, event)) for one in webhook.subscriptions.order_by("pk")]
    wanted = any(_all_of(clauses) for clauses in by_subscription)
    asked = tuple(clause for clauses in by_subscription for clause in clauses)
    if not by_subscription:
        asked = (_clause("subscription", False, _("The webhook subscribes to nothing.")),)
    return Explanation(_verdict(own, wanted=wanted), (*own, *asked), delivery)


def _verdict(own: tuple[Clause, ...], *, wanted: bool) -> CheckResult:
    if not wanted or any(clause.verdict is CheckResult.NO for clause in own):
        return CheckResult.NO
    return CheckResult.HELD if any(clause.verdict is CheckResult.HELD for clause in own) else CheckResult.YES


def _all_of(clauses: tuple[Clause, ...]) -> bool:
    return all(clause.verdict is CheckResult.YES for clause in clauses)


def _came_too_late(webhook: Webhook, event: Event) -> bool:
    return event.fanned_out_at is not None and webhook.created_at > event.fanned_out_at


def _of_webhook(webhook: Webhook, event: Event, *, came_too_late: bool) -> Iterator[Clause]:
    if event.error:
        yield _clause("payload", False, _("Its payload could not be built, so there is nothing to send."))
    if webhook.deleted_at is not None:
        yield _clause("deleted", False, _("The webhook was deleted."))
    if came_too_late:
        sentence = _("The webhook was made after the event was handed out; a replay of what was missed sends it.")
        yield _clause("created", False, sentence)
    if subject_webhook_id(event.type, event.subject_id) == webhook.pk:
        yield _clause("itself", False, _("It tells of this very webhook; such events go to the organization's others."))
    yield _of_audience(webhook, event)
    if webhook.enabled:
        yield _clause("enabled", True, _("The webhook is enabled."))
    else:
        sentence = _("The webhook is disabled; its events are kept as skipped, for a replay.")
        yield Clause("enabled", CheckResult.HELD, sentence)


def _of_audience(webhook: Webhook, event: Event) -> Clause:
    whose = {
        Audience.OWNER: _("what the organization owns"),
        Audience.LEARNER: _("the organization's own learners"),
        Audience.BOTH: _("what the organization owns, and its own learners"),
    }[Audience(webhook.audience)]
    below = _(", and of the organizations below it") if webhook.include_children else ""
    comes = reaches(event.pk, webhook.pk)
    sentence = _("%(scope)s: this is one.") if comes else _("%(scope)s: this is none.")
    scope = _("The webhook is for events of %(whose)s%(below)s") % {"whose": whose, "below": below}
    return _clause("audience", comes, sentence % {"scope": scope})


def _of_subscription(subscription: Subscription, webhook: Webhook, event: Event) -> Iterator[Clause]:
    """Yield the clauses of one subscription; after its name no more of one that asks for other events."""
    pk, name = subscription.pk, subscription.event_type
    if not filtered.is_of_type(subscription, event):
        yield _clause("event_type", False, _("%(name)s is about other events.") % {"name": name}, pk)
        return
    yield _clause("event_type", True, _("%(name)s asks for such events.") % {"name": name}, pk)
    if event.subscription_id is not None:
        yield _of_window(subscription, event)
    occasion = occasion_of(event, webhook.audience)
    for check in checks_of(subscription, event.type):
        met = filtered.holds(check, subscription, event, occasion)
        sentence = _("Met: %(words)s.") if met else _("Not met: %(words)s.")
        yield _clause(check.name, met, sentence % {"words": check.words()}, pk)
    if filtered.is_first_only(subscription):
        yield _of_firsts(subscription, event, met=filtered.meets(subscription, event, occasion))


def _of_window(subscription: Subscription, event: Event) -> Clause:
    if event.subscription_id != subscription.pk:
        sentence = _("The event was made for the days window of another subscription.")
        return _clause("window", False, sentence, subscription.pk)
    more, less = subscription.window
    sentence = _("It came into the window of more than %(more)g and less than %(less)g days.")
    return _clause("window", True, sentence % {"more": more, "less": less}, subscription.pk)


def _of_firsts(subscription: Subscription, event: Event, *, met: bool) -> Clause:
    first = FirstOccurrence.objects.of(subscription.pk, event)
    is_first = first == event.pk or (first is None and met and event.fanned_out_at is None)
    sentence = _("It is the first of its type for this object.")
    if first is not None and not is_first:
        sentence = _("The first of its type for this object was an earlier one.")
    elif not is_first:
        sentence = _("None of its type was the first for this object yet.")
    return _clause(f"filters.{FIRST_OCCURRENCE}", is_first, sentence, subscription.pk)


def _clause(name: str, met: bool, sentence: str, subscription_id: int | None = None) -> Clause:  # noqa: FBT001
    return Clause(name, CheckResult.YES if met else CheckResult.NO, sentence, subscription_id)
