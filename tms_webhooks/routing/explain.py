"""Explain why a webhook receives an event or not: one clause for each rule of the fan-out.

A dry run applies them to the stored events: which of them subscriptions would have matched, and why not the others. Nothing
is sent or recorded. Sentences hold the settings of subscriptions, and no values of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.translation import gettext as _

from tms_webhooks.choices import Audience, CheckResult
from tms_webhooks.filters.condition import EventValues
from tms_webhooks.filters.criteria import FIRST_OCCURRENCE
from tms_webhooks.models import Delivery, Event, FirstOccurrence, Subscription, Webhook
from tms_webhooks.models.event import OUTSIDE_THE_FEED, conditions_of
from tms_webhooks.models.occurrence import FirstKey
from tms_webhooks.monitoring.words import stop_of
from tms_webhooks.routing import filtered
from tms_webhooks.routing.subscription_rules import SubscriptionRules, event_values
from tms_webhooks.sources.objects import FILTERED_BY_ID, IDS_PER_QUERY, ids_of_others

AUDIENCE = "audience"
"""The name of the clause about the organizations of the event."""
LATEST = 200
"""Events that a dry run examines by default, and `MOST` at most."""
MOST = 1_000
CHUNK = 50
"""Events whose bodies are read together."""
MOST_REASONS = 100
MOST_NAMED_IDS = 5
"""The maximum number of ids in one warning."""


class Clause(NamedTuple):
    """The result of one rule: its name, the verdict, and a sentence for people.

    ``subscription_id`` is the key of the subscription for a rule of a subscription, and None for a rule of the webhook.
    ``check`` is the `EventCheck` of a filter or of a part of a condition.
    """

    name: str
    verdict: CheckResult
    sentence: str
    subscription_id: int | None = None
    check: Any = None


class Explanation(NamedTuple):
    """The verdict by the webhook's current settings, its clauses, and the delivery of the event, if there is one.

    Verdict and delivery differ if the webhook was changed after the fan-out of the event. ``is_example`` says that the
    event has not happened.
    """

    verdict: CheckResult
    clauses: tuple[Clause, ...]
    delivery: Delivery | None = None
    is_example: bool = False
    is_pull_only: bool = False

    @property
    def summary(self) -> str:
        """One sentence for people: the status of the delivery, or the verdict."""
        if self.delivery is not None:
            status = self.delivery.get_status_display()
            return _("The webhook has a delivery of this event: %(status)s.") % {"status": status}
        if self.verdict is CheckResult.HELD:
            return _("The event would now be kept for this webhook as skipped, and not sent.")
        is_match = self.verdict is CheckResult.YES
        if self.is_example:
            would, would_not = (
                _("The webhook would receive this event."),
                _("The webhook would not receive this event."),
            )
            return would if is_match else would_not
        if not is_match:
            return _("The webhook has no delivery of this event, and the event does not match now.")
        if self.is_pull_only:
            return _("The webhook is pull-only, and the event is in its feed.")
        return _("The webhook has no delivery of this event, but it matches now. Send missed events to deliver it.")


def explain(webhook: Webhook, event: Event) -> Explanation:
    """Return why a webhook receives an event or not, by the webhook's current settings.

    The event may be unsaved, such as one that has not happened: it is judged as if it happened now.
    Check that the user may view the webhook and the payload of the event. The sentences show the webhook's settings; they
    contain no values of the event, but conditions can find them out. If the audience excludes the event, the subscriptions
    are not examined.
    """
    is_example, is_for_one = event._state.adding, event.webhook_id is not None
    delivery = None if is_example else Delivery.objects.filter(webhook=webhook, event=event).first()
    is_newer = delivery is None and event.fanned_out_at is not None and webhook.created_at > event.fanned_out_at
    own = list(_of_webhook(webhook, event, is_newer=is_newer))
    refused = {clause.name for clause in own if clause.verdict is CheckResult.NO}
    # Conditions could find out the values of an event that is not for this webhook.
    by_subscription = [] if is_for_one or AUDIENCE in refused else _by_subscription(webhook, event)
    matches = is_for_one or any(all(one.verdict is CheckResult.YES for one in clauses) for clauses in by_subscription)
    verdict = CheckResult.NO
    if matches and not refused:
        is_held = any(clause.verdict is CheckResult.HELD for clause in own)
        verdict = CheckResult.HELD if is_held else CheckResult.YES
    clauses = (*own, *chain.from_iterable(by_subscription))
    return Explanation(verdict, clauses, delivery, is_example, webhook.pull_only)


def _by_subscription(webhook: Webhook, event: Event) -> list[list[Clause]]:
    """Return the clauses of each subscription, or one that says that the webhook has no subscriptions."""
    values = event_values(event)
    found: list[list[Clause]] = []
    for one in webhook.subscriptions.order_by("pk"):
        rules = _rules_of(one, webhook)
        clauses = list(_clauses_of(one, rules, event, values))
        if rules.is_first_only and filtered.is_of_type(one, event):
            clauses.append(_of_firsts(one, event, met=rules.are_met(event, values)))
        found.append(clauses)
    return found or [[_clause("subscription", False, _("The webhook has no subscriptions."))]]


def _of_webhook(webhook: Webhook, event: Event, *, is_newer: bool) -> Iterator[Clause]:
    """Yield the clauses of the webhook itself. Its audience does not matter to an event that was made for one webhook."""
    if event.webhook_id is not None:
        is_own = event.webhook_id == webhook.pk
        other = _("A job created the event for another webhook.")
        yield _clause("made_for", is_own, _("A job created the event for this webhook.") if is_own else other)
    if event.error:
        yield _clause("payload", False, _("The event's payload could not be built, so it can't be sent."))
    if webhook.deleted_at is not None:
        yield _clause("deleted", False, _("The webhook was deleted."))
    if is_newer:
        sentence = _(
            "The webhook was created after the event. To deliver it, send missed events since a time before it."
        )
        yield _clause("created", False, sentence)
    if event.webhook_id is None:
        yield from _exclusions_of(webhook, event)
        yield _of_audience(webhook, event)
    yield _of_enabled(webhook)


def _exclusions_of(webhook: Webhook, event: Event) -> Iterator[Clause]:
    """Yield the reasons why a webhook leaves out an event of its organizations, whatever its subscriptions are."""
    if webhook.is_subject_of(event):
        yield _clause(
            "itself",
            False,
            _("The event is about this webhook. Such events go only to the organization's other webhooks."),
        )
    if webhook.skips(event):
        sentence = _("The webhook's own integration caused the event, and the webhook skips own changes.")
        yield _clause("skip_own", False, sentence)


def _of_enabled(webhook: Webhook) -> Clause:
    if webhook.pull_only:
        return _clause("enabled", True, _("The webhook is pull-only: nothing is sent, and the event is in its feed."))
    stop = stop_of(webhook, timezone.now())
    if not webhook.enabled:
        return Clause("enabled", CheckResult.HELD, _("The webhook is disabled.") + f" {stop}")
    return _clause("enabled", True, str(stop or _("The webhook is enabled.")))


def _of_audience(webhook: Webhook, event: Event) -> Clause:
    whose = {
        Audience.OWNER: _("the organization's own objects"),
        Audience.LEARNER: _("the organization's learners"),
        Audience.BOTH: _("the organization's own objects and of its learners"),
    }[Audience(webhook.audience)]
    below = _(" and of its child organizations") if webhook.include_children else ""
    scope = webhook.scope
    is_received = scope.includes(event.organizations, scope.organizations(using=Webhook.objects.db))
    sentence = _("%(scope)s This is one of them.") if is_received else _("%(scope)s This is not one of them.")
    events = _("The webhook receives events of %(whose)s%(below)s.") % {"whose": whose, "below": below}
    return _clause(AUDIENCE, is_received, sentence % {"scope": events})


def _rules_of(subscription: Subscription, webhook: Webhook) -> SubscriptionRules:
    return SubscriptionRules(subscription.pk, subscription.filters, subscription.condition, webhook.audience)


def _clauses_of(
    subscription: Subscription, rules: SubscriptionRules, event: Event, values: EventValues
) -> Iterator[Clause]:
    """Yield the clauses of a subscription with these compiled rules, except whether the event is a first occurrence.

    Of one that does not include the event's type, this is the only clause.
    """
    pk, name = subscription.pk, subscription.event_type
    if not filtered.is_of_type(subscription, event):
        yield _clause("event_type", False, _("%(name)s does not include this event type.") % {"name": name}, pk)
        return
    yield _clause("event_type", True, _("%(name)s includes this event type.") % {"name": name}, pk)
    if event.subscription_id not in (None, pk):
        yield _clause("window", False, _("The event was created for the window of another subscription."), pk)
    elif event.subscription_id is not None:
        more, less = subscription.window
        sentence = _("The object entered the window of more than %(more)g and less than %(less)g days.")
        yield _clause("window", True, sentence % {"more": more, "less": less}, pk)
    for check in rules.checks(event.type):
        met = rules.holds(check, event, values)
        sentence = _("Met: %(words)s.") if met else _("Not met: %(words)s.")
        yield _clause(check.name, met, sentence % {"words": check.words()}, pk, check)


def _of_firsts(subscription: Subscription, event: Event, *, met: bool) -> Clause:
    first = FirstOccurrence.objects.of([(subscription.pk, event)]).get(FirstKey.of(subscription.pk, event))
    is_first = (met and event.fanned_out_at is None) if first is None else first == event.pk
    sentence = _not_the_first()
    if is_first:
        sentence = _("This is the first event of this type for this object.")
    elif first is None:
        sentence = _("No event of this type has been the first for this object yet.")
    return _clause(f"filters.{FIRST_OCCURRENCE}", is_first, sentence, subscription.pk)


def _not_the_first() -> str:
    """Return the sentence about an event that follows the first occurrence."""
    return _("An earlier event was the first of this type for this object.")


def _clause(name: str, met: bool, *about: Any) -> Clause:  # noqa: FBT001
    return Clause(name, CheckResult.YES if met else CheckResult.NO, *about)


# Dry runs


class Reason(NamedTuple):
    """A check that events failed: its name, its sentence, and the position of its subscription; None for the webhook."""

    name: str
    sentence: str
    subscription: int | None


class DryRunReport(NamedTuple):
    """The result of a dry run of several subscriptions.

    - ``examined``: the number of events examined
    - ``events``: those that match a subscription, the latest first; their bodies are deferred
    - ``main_reasons``: the `MOST_REASONS` most frequent checks that events failed, each with their number. An event that
      matches no subscription counts for each check that it fails of the subscriptions to its type
    """

    examined: int
    events: list[Event]
    main_reasons: list[tuple[Reason, int]]


def dry_run(webhook: Webhook, subscriptions: Sequence[Subscription], *, latest: int = LATEST) -> DryRunReport:
    """Return which of the ``latest`` stored events of a webhook's organizations and audience match one of these subscriptions.

    The subscriptions may be unsaved; they must be valid. Events whose payload is no longer stored are left out.
    """
    examined, firsts = 0, filtered.PredictedFirstOccurrences()
    matching: list[Event] = []
    reasons: Counter[Reason] = Counter()
    # An unsaved subscription has had no event yet.
    rules = [(one, one.pk or -1 - index, _rules_of(one, webhook)) for index, one in enumerate(subscriptions)]
    for event in _latest_events(webhook, latest):
        examined += 1
        failed = _reasons_against(webhook, rules, event, firsts)
        reasons.update(failed)
        if not failed:
            matching.insert(0, event)
        # The bodies of all events together may take much memory. One that is read is loaded again.
        del event.body
    return DryRunReport(examined, matching, reasons.most_common(MOST_REASONS))


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
            # The events of a snapshot are for one webhook.
            if event.body and event.webhook_id is None and webhook.scope.includes(event.organizations, organizations):
                yield event


def _reasons_against(
    webhook: Webhook,
    rules: Sequence[tuple[Subscription, int, SubscriptionRules]],
    event: Event,
    firsts: filtered.PredictedFirstOccurrences,
) -> set[Reason]:
    """Return the checks that an event fails; none if it matches a subscription. Events are given from the oldest on."""
    reasons = {Reason(clause.name, clause.sentence, None) for clause in _exclusions_of(webhook, event)}
    if reasons:
        return reasons
    values, is_match = event_values(event), False
    for position, (subscription, key, own) in enumerate(rules):
        if filtered.is_of_type(subscription, event):
            clauses = _clauses_of(subscription, own, event, values)
            failed = {Reason(one.name, one.sentence, position) for one in clauses if one.verdict is not CheckResult.YES}
            if not failed and own.is_first_only and not firsts.claim([(key, event)]):
                failed = {Reason(f"filters.{FIRST_OCCURRENCE}", _not_the_first(), position)}
            is_match = is_match or not failed
            reasons |= failed
    none = Reason("event_type", _("No subscription includes this event type."), None)
    return set() if is_match else reasons or {none}


# Filters that match nothing


def unknown_filter_ids(webhook: Webhook) -> Iterator[tuple[str, list[str]]]:
    """Yield each filter of a webhook with ids that no object of its organizations has, and some of these ids.

    Of one filter, of all subscriptions, the first `IDS_PER_QUERY` are looked up.
    """
    wanted: dict[str, dict[Any, None]] = {}
    for subscription in webhook.subscriptions.all():
        for name in FILTERED_BY_ID:
            if ids := subscription.filters.get(name):
                wanted.setdefault(name, {}).update(dict.fromkeys(ids))
    if not wanted:
        return
    keys = webhook.scope.organizations(using=Webhook.objects.db)
    for name, checked in wanted.items():
        if unknown := ids_of_others(name, list(checked)[:IDS_PER_QUERY], organizations=keys):
            yield name, unknown[:MOST_NAMED_IDS]


def unknown_ids_warning(name: object, ids: list[str]) -> str:
    """Return the warning about ids of a filter; ``name`` is the filter's name, or its label in a form."""
    message = _("The filter %(name)s has ids that no object of the organization has: %(ids)s. Check them.")
    return message % {"name": name, "ids": ", ".join(ids)}
