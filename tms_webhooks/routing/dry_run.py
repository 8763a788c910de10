"""Dry runs: which stored events subscriptions would have matched, and why they would not have matched the others.

Nothing is sent or recorded. Sentences hold the settings of subscriptions, and no values of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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

    - ``examined``: the number of events examined
    - ``events``: those that match a subscription, the latest first; their bodies are deferred
    - ``reasons``: for events that match no subscription, how many failed each check. An event counts for each check that
      it fails of the subscriptions to its type
    """

    examined: int = 0
    events: list[Event] = field(default_factory=list)
    reasons: Counter[Reason] = field(default_factory=Counter)

    @property
    def main_reasons(self) -> list[tuple[Reason, int]]:
        """The `MOST_REASONS` most frequent reasons, each with its number of events."""
        return self.reasons.most_common(MOST_REASONS)


def dry_run(webhook: Webhook, subscriptions: Sequence[Subscription], *, latest: int = LATEST) -> DryRunReport:
    """Return which of the ``latest`` stored events of a webhook's organizations and audience match one of these subscriptions.

    The subscriptions may be unsaved; they must be valid. Events whose payload is no longer stored are left out. Raises
    ``ValueError`` if ``latest`` is below 1 or above `MOST`.
    """
    if not 1 <= latest <= MOST:
        raise ValueError(f"latest is {latest}; choose from 1 to {MOST}.")
    report, firsts = DryRunReport(), filtered.PredictedFirstOccurrences()
    # An unsaved subscription has had no event yet.
    rules = [(one, one.pk or -1 - index, SubscriptionRules.of(one)) for index, one in enumerate(subscriptions)]
    for event in _latest_events(webhook, latest):
        report.examined += 1
        reasons = _reasons_against(webhook, rules, event, firsts)
        if reasons:
            report.reasons.update(reasons)
        else:
            report.events.insert(0, event)
        # The bodies of all events together may take much memory. One that is read is loaded again.
        del event.body
    return report


def _latest_events(webhook: Webhook, latest: int) -> Iterator[Event]:
    """Yield the latest events of a webhook's organizations and audience whose payload is stored, the oldest of them first.

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
    newest = sorted(keys)[-latest:]
    for start in range(0, len(newest), CHUNK):
        found = Event.objects.in_bulk(newest[start : start + CHUNK])
        # An event may have been deleted since.
        for event in (found[pk] for pk in newest[start : start + CHUNK] if pk in found):
            to = EventOrganizations(event.organization_id, event.learner_organization_id)
            # The events of a snapshot are for one webhook.
            if event.body and event.webhook_id is None and webhook.scope.includes(to, organizations):
                yield event


def _reasons_against(
    webhook: Webhook,
    rules: Sequence[tuple[Subscription, int, SubscriptionRules]],
    event: Event,
    firsts: filtered.PredictedFirstOccurrences,
) -> set[Reason]:
    """Return the checks that an event fails; none if it matches a subscription. Events are given from the oldest on."""
    reasons = {Reason(clause.name, clause.sentence, None) for clause in exclusions_of(webhook, event)}
    if reasons:
        return reasons
    given, is_match = filter_input_of(event, webhook.audience, event_values(event)), False
    for position, (subscription, key, own) in enumerate(rules):
        if filtered.is_of_type(subscription, event):
            clauses = clauses_of(subscription, own, event, given)
            failed = [(one.name, one.sentence) for one in clauses if one.verdict is not CheckResult.YES]
            if not failed and own.is_first_only and not firsts.claim([(key, event)]):
                failed = [(f"filters.{FIRST_OCCURRENCE}", not_the_first())]
            is_match = is_match or not failed
            reasons.update(Reason(name, sentence, position) for name, sentence in failed)
    none = Reason("event_type", _("No subscription includes this event type."), None)
    return set() if is_match else reasons or {none}
