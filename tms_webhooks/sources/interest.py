"""Find the event types to which the organizations of an object subscribe.

The subscriptions are read by expressions in the query that reads the object's row. So this takes no additional query,
and the result is never stale.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, Subquery

from tms_webhooks import event_names
from tms_webhooks.choices import Audience
from tms_webhooks.db.prepared import CompiledQuery
from tms_webhooks.models import Subscription, Webhook, audience
from tms_webhooks.models.subscription import SubscriptionQuerySet
from tms_webhooks.sources.base import LEARNER, OWNER, Source
from tms_webhooks.sources.paths import JSONArrayAgg, RelatedList, all_rows, field_at, stored_at

# One entry per open `subscribed_to_everything` block. Shared by all threads, so that it applies to a test's server, too.
_everything: list[bool] = []


@dataclass(frozen=True, slots=True)
class OrganizationPath:
    """How a source's row leads to one of its organizations.

    - ``column``: a column of the row itself
    - ``onward``: the lookup from there to the organization's key; empty if the column holds the key
    - ``closed_to``: the audience whose webhooks get no events by this path, or None
    - ``owners``: the lookup of several organizations from the row, where it has a list of owners
    """

    column: str
    onward: str
    closed_to: Audience | None
    owners: str = ""


@cache
def organization_paths(source: Source) -> tuple[OrganizationPath, ...]:
    """Return the paths to the organizations of a source's rows that SQL can follow; of several of which the first counts, all.

    The result is empty if SQL can't follow the path to the owner.
    """
    owners = _paths(source, OWNER, closed_to=None if source.owned_by_learner else audience.OWNER.closed_to)
    return (*owners, *_known_learner_path(source)) if owners else ()


def _known_learner_path(source: Source) -> tuple[OrganizationPath, ...]:
    if source.owned_by_learner or LEARNER in source.computed:
        return ()
    return _paths(source, LEARNER, closed_to=audience.LEARNER.closed_to)


def _paths(source: Source, name: str, *, closed_to: Audience | None) -> tuple[OrganizationPath, ...]:
    """Return the paths to the organization with this canonical name; none if SQL can't follow one of them."""
    key, meta, listed = Webhook._meta.get_field("organization").target_field, source.model._meta, ""
    if name == OWNER and source.owners is not None:
        owners = source.owners.lookup
        lookups: list[Any] = [(owners.base or meta.pk.attname) if isinstance(owners, RelatedList) else None]
        listed = source.owners.path.replace(".", "__")
    else:
        inputs = source.computed[name][1] if name in source.computed else (name,)
        lookups = [source.lookup(one) for one in inputs]
    found = []
    for lookup in lookups:
        if not isinstance(lookup, str) or (not listed and stored_at(source.model, lookup) is not key):
            return ()
        first, _, onward = lookup.partition("__")
        own = field_at(source.model, first)
        if not own.concrete:
            # The reverse side of a one-to-one field: no column of the row leads there.
            return ()
        found.append(OrganizationPath(own.attname, onward, closed_to, listed))
    return tuple(found)


class Interest:
    """The subscriptions that may match events of a source, read in the query of its row.

    ``columns`` are the expressions for their patterns, by the names of the query's columns. Sources with the same path
    share a column.
    """

    def __init__(self, source: Source, event_types: tuple[str, ...], using: str) -> None:
        self._event_types = event_types
        self.columns: dict[str, Any] = {}
        # SQL can't know which one of several paths leads to the owner.
        self._certain = set[str]()
        subscriptions = Subscription.objects.using(using)
        of_any = Exists(subscriptions.matching(event_types))
        self._of_all = f"tms_webhooks_of_all_{id(source)}" if source.shared_fields else ""
        if self._of_all:
            self.columns[self._of_all] = of_any
        paths = organization_paths(source)
        if not paths:
            self.columns[f"tms_webhooks_of_any_{id(source)}"] = of_any
            return
        for path in paths:
            name = f"tms_webhooks_of_{path.column}_{path.onward}{path.owners}_but_{path.closed_to or 'none'}"
            organization: Any = OuterRef(path.column)
            if path.owners:
                row = all_rows(source.model, using=using).filter(pk=OuterRef(OuterRef("pk")))
                organization = Subquery(row.values(path.owners))
            elif path.onward:
                reference: Any = source.model._meta.get_field(path.column)
                rows = all_rows(reference.related_model, using=using)
                rows = rows.filter(**{reference.target_field.attname: OuterRef(OuterRef(path.column))})
                organization = Subquery(rows.values(path.onward)[:1])
            found = subscriptions.of_existing_webhooks()
            found = found.filter(**{f"webhook__organization_id{'__in' if path.owners else ''}": organization})
            self.columns[name] = _patterns(found.exclude(webhook__audience=path.closed_to))
            if OWNER not in source.computed:
                self._certain.add(name)
        # By no path: webhooks that include child organizations and, if SQL can't follow the row to the learner's
        # organization, webhooks for learners. Whether they receive an event depends on the row's values.
        is_unknown_learner = source.has_learner and not _known_learner_path(source)
        others = Q()
        if audience.parent_column() is not None:
            others |= Q(include_children=True)
        if is_unknown_learner:
            others |= ~Q(audience=audience.LEARNER.closed_to)
        if others:
            name = f"tms_webhooks_of_others_{is_unknown_learner}"
            # A subquery, because SQLite joins by reading all subscriptions.
            webhooks = Webhook.objects.using(using).filter(others, deleted_at__isnull=True).order_by().values("pk")
            self.columns[name] = _patterns(subscriptions.filter(webhook__in=webhooks))

    def types_for(self, value_of: Callable[[str], Any]) -> tuple[Collection[str], bool, bool]:
        """Return the event types that may be subscribed to, and whether the row's organizations subscribe to all of them.

        The last value is whether other organizations may see the object, and any webhook subscribes to its events.
        ``value_of`` returns the value of a column.
        """
        certain, every = frozenset[str](), frozenset[str]()
        for name in self.columns:
            if name == self._of_all:
                continue
            patterns = patterns_in(value_of(name))
            every |= patterns
            if name in self._certain:
                certain |= patterns
        types = subscribed_types(self._event_types, every)
        is_exact = types == subscribed_types(self._event_types, certain)
        return types, is_exact, bool(self._of_all and value_of(self._of_all))


@cache
def interest_in(source: Source, event_types: tuple[str, ...], using: str, _parent: str | None) -> Interest:
    """Return the subscriptions to these event types of a source. ``_parent`` is the setting that it depends on."""
    return Interest(source, event_types, using)


def _patterns(subscriptions: SubscriptionQuerySet) -> Subquery:
    return Subquery(subscriptions.order_by().values(patterns=JSONArrayAgg(F("event_type"))))


@lru_cache(maxsize=1024)
def patterns_in(result: Any) -> frozenset[str]:
    """Return the patterns in the result of one of the expressions above; of one that is true, any."""
    return frozenset(json.loads(result) if isinstance(result, str) else [event_names.EVERYTHING] if result else ())


def types_of_any_webhook(event_types: tuple[str, ...], *, using: str) -> set[str]:
    """Return those of these event types to which any webhook subscribes."""
    patterns = frozenset(pattern for (pattern,) in _query_of_any_webhook(event_types, using).run())
    return subscribed_types(event_types, patterns)


@cache
def _query_of_any_webhook(event_types: tuple[str, ...], using: str) -> CompiledQuery:
    subscriptions = Subscription.objects.using(using).matching(event_types)
    return CompiledQuery(subscriptions.order_by().values_list("event_type").distinct())


@contextmanager
def subscribed_to_everything() -> Iterator[None]:
    """Emit all events inside the ``with`` block, as if every organization subscribed to every type; for tests."""
    _everything.append(True)
    try:
        yield
    finally:
        _everything.pop()


def is_everything_subscribed() -> bool:
    """Return whether a `subscribed_to_everything` block is open."""
    return bool(_everything)


def subscribed_types(event_types: Iterable[str], patterns: frozenset[str]) -> set[str]:
    """Return the event types that match one of the patterns."""
    if _everything:
        return set(event_types)
    if not patterns:
        return set()
    return {event_type for event_type in event_types if not patterns.isdisjoint(_patterns_for(event_type))}


@cache
def _patterns_for(event_type: str) -> tuple[str, ...]:
    return tuple(event_names.patterns_for(event_type))
