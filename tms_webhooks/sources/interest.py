"""What the organization of an object subscribes to: asked in the query that reads the object's row.

So the question costs no query of its own, and its answer is never out of date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery

from tms_webhooks import event_names
from tms_webhooks.choices import Audience
from tms_webhooks.db.compiled import CompiledQuery
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.audience import LEARNER, OWNER, parent_column
from tms_webhooks.models.subscription import SubscriptionQuerySet
from tms_webhooks.sources.base import LEARNERS, Source
from tms_webhooks.sources.gathered import Gathered, gathered_values

# As deep as the `with` blocks of `everything_wanted`; of the process and not of a thread, so that a test's server hears of it.
_everything: list[bool] = []


@dataclass(frozen=True, slots=True)
class OrganizationPath:
    """How a row leads to one of its organizations: by a column of its own, and the lookup from there on, if there is one.

    ``closed_to`` is the audience that does not hear of it this way, if there is one.
    """

    column: str
    onward: str
    closed_to: Audience | None


@cache
def paths_of(source: Source) -> tuple[OrganizationPath, ...]:
    """Return how the rows of a source lead to the keys of their organizations, as far as SQL can compare what they hold.

    Nothing where it can't compare the owner's.
    """
    if source.owned_by_learner:
        both = _path(source, "organization.id", closed_to=None)
        return () if both is None else (both,)
    owner = _path(source, "organization.id", closed_to=OWNER.closed_to)
    learner = _path(source, LEARNERS.name, closed_to=LEARNER.closed_to)
    return () if owner is None else (owner,) if learner is None else (owner, learner)


def _path(source: Source, name: str, *, closed_to: Audience | None) -> OrganizationPath | None:
    mapped = source.mapped.get(name)
    if mapped is None or not isinstance(mapped.lookup, str):
        return None
    first, _, onward = mapped.lookup.partition("__")
    model: Any = source.model
    field: Any = None
    for part in mapped.lookup.split("__"):
        field = model._meta.pk if part == "pk" else model._meta.get_field(part)
        model = field.related_model
    if getattr(field, "target_field", field) is not Webhook._meta.get_field("organization").target_field:
        return None
    own: Any = source.model._meta.pk if first == "pk" else source.model._meta.get_field(first)
    return OrganizationPath(own.attname, onward, closed_to)


def subscribed(source: Source, path: OrganizationPath, *, using: str) -> Subquery:
    """Return an expression, for a query of the source's rows, for what the organization of each subscribes to."""
    organization: Any = OuterRef(path.column)
    if path.onward:
        reference: Any = source.model._meta.get_field(path.column)
        rows: models.QuerySet[Any] = models.QuerySet(reference.related_model, using=using)
        key = OuterRef(OuterRef(path.column))
        organization = Subquery(rows.filter(**{reference.target_field.attname: key}).values(path.onward)[:1])
    wanting = Subscription.objects.using(using).of_existing_webhooks().filter(webhook__organization_id=organization)
    if path.closed_to is not None:
        wanting = wanting.exclude(webhook__audience=path.closed_to)
    return _gathered(wanting)


def subscribed_elsewhere(source: Source, *, using: str) -> Subquery | None:
    """Return the same for those who may hear of any row: whether they do, the values of the row have to tell.

    They are the webhooks that include child organizations and, where SQL can't follow the row to the learner's
    organization, those that are for learners. None where there can be neither.
    """
    anywhere = Q()
    if parent_column() is not None:
        anywhere |= Q(webhook__include_children=True)
    if LEARNERS.name in source.mapped and len(paths_of(source)) == 1:
        anywhere |= ~Q(webhook__audience=LEARNER.closed_to)
    return _gathered(Subscription.objects.using(using).of_existing_webhooks().filter(anywhere)) if anywhere else None


def _gathered(wanting: SubscriptionQuerySet) -> Subquery:
    return Subquery(wanting.order_by().values(patterns=Gathered(F("event_type"))))


def patterns_in(gathered: Any) -> frozenset[str]:
    """Return the patterns that `subscribed` has found."""
    return frozenset(gathered_values(gathered))


def patterns_of_anybody(event_types: tuple[str, ...], *, using: str) -> frozenset[str]:
    """Return the patterns that any webhook subscribes to, of those that mean one of these event types."""
    return frozenset(pattern for (pattern,) in _query_of_anybody(event_types, using).run())


@cache
def _query_of_anybody(event_types: tuple[str, ...], using: str) -> CompiledQuery:
    wanting = Subscription.objects.using(using).matching(event_types)
    return CompiledQuery(wanting.order_by().values_list("event_type").distinct())


@contextmanager
def wanted_types() -> Iterator[None]:
    """Have everything told that is asked for inside the ``with`` block, as if all organizations subscribed to it: for tests."""
    _everything.append(True)
    try:
        yield
    finally:
        _everything.pop()


def meant(event_types: Iterable[str], patterns: frozenset[str]) -> set[str]:
    """Return those event types that one of the patterns means."""
    if _everything:
        return set(event_types)
    if not patterns:
        return set()
    return {event_type for event_type in event_types if not patterns.isdisjoint(_patterns_for(event_type))}


@cache
def _patterns_for(event_type: str) -> tuple[str, ...]:
    return tuple(event_names.patterns_for(event_type))
