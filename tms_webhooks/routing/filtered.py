"""Match events against subscriptions with filters, in bulk: each event and subscription is read once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum, auto
from itertools import islice
from typing import TypeAlias

from django.db import router

from tms_webhooks import event_names
from tms_webhooks.db.sql import database, filled, key_in, numbers, read
from tms_webhooks.filters.condition import EventValues
from tms_webhooks.models import Event, FirstOccurrence, Subscription, Webhook
from tms_webhooks.models.occurrence import FirstKey
from tms_webhooks.routing.subscription_rules import SubscriptionRules, event_values

# Subscriptions that are read together: few enough that those with the longest conditions take some milliseconds.
CHUNK = 50
# Characters of filters and conditions whose rules are kept compiled. Compiled they take about ten times the memory.
MOST_KEPT = 16_000_000

# By the primary keys.
VERSIONS = """
SELECT s.id, w.audience, {version} FROM {subscription} s JOIN {webhook} w ON w.id = s.webhook_id WHERE s.id IN ({ids})"""
TEXTS = "SELECT s.id, s.filters::text, s.{condition}::text FROM {subscription} s WHERE s.id IN ({ids})"

# For PostgreSQL, two columns that change with each change of the row. Others compare the texts themselves: PostgreSQL
# stores no texts, and to make them of long conditions takes longer than to match these.
VERSION_OF_ROW = "s.xmin::text, s.ctid::text"


class _Cache(threading.local):
    """The rules that this thread has compiled, each with the version of its row. When they are too large, all are forgotten."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Sequence[str], SubscriptionRules]] = {}
        self._size = 0

    def get(self, subscription_id: int, version: Sequence[str]) -> SubscriptionRules | None:
        kept_version, rules = self._kept.get(subscription_id, (None, None))
        return rules if kept_version == version else None

    def put(self, subscription_id: int, version: Sequence[str], rules: SubscriptionRules, *, size: int) -> None:
        self._size += size
        if self._size > MOST_KEPT:
            self._kept, self._size = {}, size
        self._kept[subscription_id] = version, rules


_cache = _Cache()


# The columns of an event that first occurrences need, and those that filters need.
OF_FIRSTS = ("type", "subject_type", "subject_id")
COLUMNS = ("uid", *OF_FIRSTS, "body", "sequence", "organization_id", "learner_organization_id", "subscription_id")

# The keys of an event and of a subscription.
Pair = tuple[int, int]


class Verdict(Enum):
    """Whether an event matches a subscription; `IF_FIRST` if only the first of its type and object does."""

    NO = auto()
    YES = auto()
    IF_FIRST = auto()


Claim: TypeAlias = Callable[[Sequence[tuple[int, Event]]], set[Pair]]
"""Takes pairs of a subscription's key and an event, and returns those that are the first of their object, as the keys of both."""


class PredictedFirstOccurrences:
    """Predicts first occurrences without recording them, as if all candidates were sent.

    A subscription without a key, given as a negative number, has had no event yet.
    """

    def __init__(self) -> None:
        self._seen: dict[FirstKey, int] = {}

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Return the keys of the subscription and the event for each candidate that would be the first, in this order."""
        keys = {(subscription, event.pk): FirstKey.of(subscription, event) for subscription, event in candidates}
        unknown = [one for one in candidates if FirstKey.of(*one) not in self._seen]
        self._seen |= FirstOccurrence.objects.of(unknown)
        return {pair for pair, key in keys.items() if self._seen.setdefault(key, pair[1]) == pair[1]}


class Evaluation:
    """Evaluates the filters and conditions of subscriptions for events.

    The bodies of the events are read together, and the rules of subscriptions when they are first needed, a chunk at a time.
    """

    def __init__(self, pairs: Collection[Pair]) -> None:
        self.events = _events({event for event, _subscription in pairs}, columns=COLUMNS) if pairs else {}
        self._rules: dict[int, SubscriptionRules | None] = {}
        self._unread = dict.fromkeys(sorted({subscription for _event, subscription in pairs}))
        self._values: dict[int, EventValues] = {}

    def verdict(self, event_id: int, subscription_id: int) -> Verdict:
        """Return whether an event matches a subscription; NO if one of the two no longer exists."""
        if subscription_id not in self._rules:
            self._read_rules(subscription_id)
        event, rules = self.events.get(event_id), self._rules[subscription_id]
        if event is None or rules is None:
            return Verdict.NO
        if event_id not in self._values:
            self._values[event_id] = event_values(event)
        if not rules.are_met(event, self._values[event_id]):
            return Verdict.NO
        return Verdict.IF_FIRST if rules.is_first_only else Verdict.YES

    def _read_rules(self, subscription_id: int) -> None:
        """Read the rules of a subscription and of the next ones as they are now; None for one that no longer exists."""
        chunk = [subscription_id, *islice((pk for pk in self._unread if pk > subscription_id), CHUNK - 1)]
        for pk in chunk:
            self._unread.pop(pk, None)
            self._rules[pk] = None
        by_row = database().vendor == "postgresql"
        version_of = VERSION_OF_ROW if by_row else filled("s.filters, s.{condition}")
        versions = {pk: version for pk, *version in read(VERSIONS, ids=numbers(chunk), version=version_of)}
        self._rules |= {pk: _cache.get(pk, version) for pk, version in versions.items()}
        outdated = [pk for pk in versions if self._rules[pk] is None]
        texts = [(pk, *versions[pk][1:]) for pk in outdated]
        if by_row and outdated:
            texts = read(TEXTS, ids=numbers(outdated))
        # None was deleted between the two queries.
        for pk, filters, condition in texts:
            audience, *_version = versions[pk]
            rules = SubscriptionRules(pk, json.loads(filters), json.loads(condition or "null"), audience)
            self._rules[pk] = rules
            _cache.put(pk, versions[pk], rules, size=len(filters) + len(condition or ""))


def matching(
    pairs: Collection[Pair],
    *,
    known: Mapping[Pair, Verdict] | None = None,
    claim: Claim | None = None,
) -> set[Pair]:
    """Return the pairs whose event matches the filters and the condition of its subscription.

    Each pair is an event and a subscription to its type; ``known`` are the verdicts that the caller has. Call this in
    the transaction that creates the deliveries: by default it records first occurrences. Pass
    the one of `PredictedFirstOccurrences` to record nothing.
    """
    verdicts = dict(known or {})
    unknown = sorted(pair for pair in pairs if pair not in verdicts)
    evaluation = Evaluation(unknown)
    verdicts |= {pair: evaluation.verdict(*pair) for pair in unknown}
    matched = {pair for pair in pairs if verdicts[pair] is Verdict.YES}
    if_first = sorted(pair for pair in pairs if verdicts[pair] is Verdict.IF_FIRST)
    if not if_first:
        return matched
    events = _events({event for event, _subscription in if_first}, columns=OF_FIRSTS)
    candidates = [(subscription, events[event]) for event, subscription in if_first if event in events]
    claimed = (claim or FirstOccurrence.objects.claim)(candidates)
    return matched | {(event, subscription) for subscription, event in claimed}


def matching_events(webhook: Webhook, event_ids: Collection[int], *, claim: Claim | None = None) -> list[int]:
    """Return which of these events match a subscription of the webhook, in their order.

    All events must be of organizations whose events the webhook receives.
    """
    subscriptions, events = list(webhook.subscriptions.all()), _events(event_ids, columns=("type", "subscription_id"))
    pairs = {
        (event.pk, subscription.pk)
        for event in events.values()
        for subscription in subscriptions
        if matches(subscription, event)
    }
    matched = {event for event, _subscription in matching(pairs, claim=claim)}
    return [pk for pk in event_ids if pk in matched]


def matches(subscription: Subscription, event: Event) -> bool:
    """Return whether a subscription includes the event's type, and the event was not created for another subscription."""
    return event.subscription_id in (None, subscription.pk) and is_of_type(subscription, event)


def is_of_type(subscription: Subscription, event: Event) -> bool:
    """Return whether a subscription includes the type of an event."""
    return subscription.event_type in event_names.patterns_for(event.type)


def _events(keys: Iterable[int], *, columns: Sequence[str]) -> dict[int, Event]:
    rows = Event.objects.using(router.db_for_write(Event)).filter(key_in(keys))
    return {row.pk: row for row in rows.only(*columns).order_by()}
