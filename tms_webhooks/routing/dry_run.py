"""Dry runs: which stored events subscriptions would have matched, and why they would not have matched the others.

Nothing is sent or recorded. Sentences hold the settings of subscriptions, and no values of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from django.utils.translation import gettext as _

from tms_webhooks.choices import CheckResult
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import OUTSIDE_THE_FEED, conditions_of
from tms_webhooks.routing import filtered
from tms_webhooks.routing.checks import SubscriptionRules, event_values, filter_input_of
from tms_webhooks.routing.explain import clauses_of, exclusions_of, not_the_first

LATEST = 200
"""Events that a dry run examines by default, and `MOST` at most."""
MOST = 1_000
SECONDS = 2.0
"""The time after which it ends with those examined until then."""
CHUNK = 50
"""Events whose bodies are read together."""
MOST_REASONS = 100


class Reason(NamedTuple):
    """A check that events failed: its name, its sentence, and the position of its subscription; None for the webhook."""

    name: str
    sentence: str
    subscription: int | None


@dataclass(slots=True)
class DryRunReport:
    """The result of a dry run of several subscriptions.

    - ``examined``: the number of events examined; ``is_complete`` is false if the time was over before all of them were
    - ``events``: those that match a subscription, the latest first; their bodies are deferred
    - ``reasons``: for events that match no subscription, how many failed each check. An event counts for each check that
      it fails of the subscriptions to its type
    """

    examined: int = 0
    is_complete: bool = True
    events: list[Event] = field(default_factory=list)
    reasons: Counter[Reason] = field(default_factory=Counter)

    @property
    def main_reasons(self) -> list[tuple[Reason, int]]:
        """The `MOST_REASONS` most frequent reasons, each with its number of events."""
        return self.reasons.most_common(MOST_REASONS)


def dry_run(
    webhook: Webhook,
    subscriptions: Sequence[Subscription],
    *,
    latest: int = LATEST,
    seconds: float = SECONDS,
    clock: Callable[[], float] = monotonic,
) -> DryRunReport:
    """Return which of the ``latest`` stored events of a webhook's organizations and audience match one of these subscriptions.

    The subscriptions may be unsaved; they must be valid. The latest events are examined first, for at most ``seconds``.
    Events whose payload is no longer stored are left out. Raises ``ValueError`` if ``latest`` is below 1 or above `MOST`.
    """
    if not 1 <= latest <= MOST:
        raise ValueError(f"latest is {latest}; choose from 1 to {MOST}.")
    report, end = DryRunReport(), clock() + seconds
    rules = [SubscriptionRules.of(one) for one in subscriptions]
    outcomes: list[_Outcome] = []
    for event in _latest_events(webhook, latest):
        if clock() >= end:
            report.is_complete = False
            break
        outcomes.append(_outcome_of(webhook, subscriptions, rules, event))
        # The bodies of all events together may take much memory. One that is read is loaded again.
        del event.body
    _decide_first_occurrences(outcomes, subscriptions)
    for outcome in outcomes:
        report.examined += 1
        if outcome.is_match:
            report.events.append(outcome.event)
        else:
            report.reasons.update(outcome.reasons)
    return report


def _latest_events(webhook: Webhook, latest: int) -> Iterator[Event]:
    """Yield the latest events of a webhook's organizations and audience whose payload is stored, the latest first.

    The keys are read by the indexes of the feed, of events without a position and of those with one.
    """
    organizations = webhook.scope.organizations(using=Event.objects.db)
    keys: set[int] = set()
    for condition in conditions_of(webhook.scope, organizations):
        rows = Event.objects.filter(condition)
        new = rows.without_position().order_by("-pk")
        published = rows.filter(position__gt=OUTSIDE_THE_FEED).order_by("-position")
        for some in (new, published):
            keys.update(some.values_list("pk", flat=True)[:latest])
    newest = sorted(keys, reverse=True)[:latest]
    for start in range(0, len(newest), CHUNK):
        found = Event.objects.in_bulk(newest[start : start + CHUNK])
        # An event may have been deleted since.
        for event in (found[pk] for pk in newest[start : start + CHUNK] if pk in found):
            to = EventOrganizations(event.organization_id, event.learner_organization_id)
            # The events of a snapshot are for one webhook.
            if event.body and event.webhook_id is None and webhook.scope.includes(to, organizations):
                yield event


@dataclass(slots=True)
class _Outcome:
    """One event: whether it matches, the positions of the subscriptions that it matches if it is a first occurrence, and
    the reasons against it.
    """

    event: Event
    is_match: bool = False
    if_first: list[int] = field(default_factory=list)
    reasons: set[Reason] = field(default_factory=set)


def _outcome_of(
    webhook: Webhook, subscriptions: Sequence[Subscription], rules: Sequence[SubscriptionRules], event: Event
) -> _Outcome:
    outcome = _Outcome(event)
    outcome.reasons = {Reason(clause.name, clause.sentence, None) for clause in exclusions_of(webhook, event)}
    if outcome.reasons:
        return outcome
    given = filter_input_of(event, webhook.audience, event_values(event))
    is_of_a_type = False
    for position, (subscription, own) in enumerate(zip(subscriptions, rules, strict=True)):
        if not filtered.is_of_type(subscription, event):
            continue
        is_of_a_type = True
        failed = [one for one in clauses_of(subscription, own, event, given) if one.verdict is not CheckResult.YES]
        outcome.reasons.update(Reason(clause.name, clause.sentence, position) for clause in failed)
        if not failed and own.is_first_only:
            outcome.if_first.append(position)
        elif not failed:
            outcome.is_match = True
    if not is_of_a_type:
        outcome.reasons = {Reason("event_type", _("No subscription includes this event type."), None)}
    return outcome


def _decide_first_occurrences(outcomes: Sequence[_Outcome], subscriptions: Sequence[Subscription]) -> None:
    """Decide, from the oldest event on, which events are the first of their type and object for a subscription."""
    # An unsaved subscription has had no event yet.
    keys = [subscription.pk or -1 - position for position, subscription in enumerate(subscriptions)]
    candidates = [(keys[position], one.event) for one in reversed(outcomes) for position in one.if_first]
    firsts = filtered.PredictedFirstOccurrences().claim(candidates)
    for outcome in outcomes:
        for position in outcome.if_first:
            if (keys[position], outcome.event.pk) in firsts:
                outcome.is_match = True
            else:
                outcome.reasons.add(Reason(f"filters.{FIRST_OCCURRENCE}", not_the_first(), position))
