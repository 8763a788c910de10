"""Copies an event for the organizations whose objects show its object, such as the course of another organization.

A save records an event for the owner alone. Before the worker fans it out, it looks for these organizations by the paths that
the sources declare. It makes a copy for each that subscribes to the type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, reduce
from operator import or_
from time import monotonic
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Max, Q, Value
from django.db.models.functions import Cast

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue.types.references import NOUN_OF_REFERENCE
from tms_webhooks.catalogue.values import has_value, nested, value_at
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.db.sql import brief_write, database
from tms_webhooks.models import Event, EventSequence, PeriodicRun, Subscription
from tms_webhooks.models.audience import OWNER as BY_OWNER
from tms_webhooks.models.audience import EventOrganizations, ancestors
from tms_webhooks.models.drain import NUMBERING
from tms_webhooks.payloads.envelope import from_text, to_text
from tms_webhooks.sources.base import LEARNER, OWNER, Source
from tms_webhooks.sources.interest import types_of_any_webhook
from tms_webhooks.sources.mapping import OWNERS, organization_value
from tms_webhooks.sources.paths import steps_of
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import Rows, in_organizations, rows_of

SEARCHES = 20
"""Events whose organizations one call looks for, so that others don't wait for them."""
BUDGET = 0.05
"""Seconds after which a call begins with no other event."""
COPIES = 200
"""Copies in one transaction. The other ones of an event follow before it is fanned out."""

MERGED = "user.merged"


def types_elsewhere(
    source: Source, parts: Iterable[Any], organizations: Collection[EventOrganizations], *, using: str
) -> Collection[str]:
    """Return the event types that any webhook subscribes to, if others than these organizations may see one of these changes.

    ``parts`` have the changes, which are of one kind. The result is empty if no other organization subscribes.
    """
    changes = [part.change for part in parts]
    if not any(one.deleted or not {*source.shared_fields}.isdisjoint(one.changed) for one in changes):
        return ()
    # An organization of one object is another one for the next.
    keys = set.intersection(*(one.keys for one in organizations)) if organizations else set()
    if (
        not Subscription.objects.using(using)
        .matching(source.event_types)
        .exclude(webhook__organization__in=keys)
        .exists()
    ):
        return ()
    return types_of_any_webhook(source.event_types, using=using)


def nouns_without_source() -> list[str]:
    """Return the names of nouns whose objects payloads show, but for which no model is registered.

    Raises `DeclarationError` for a source of a wrong form.
    """
    sources = all_sources()
    shown = {name.rpartition(".")[0] for source in sources for name in source.mapped}
    nouns = {NOUN_OF_REFERENCE.get(name, name) for name in shown} & catalogue.grouped().keys()
    return sorted(nouns.difference(source.noun.name for source in sources))


def share(keys: Collection[int]) -> tuple[bool, set[int]]:
    """Copy new events for the organizations that show their objects; return whether there is more to do, and the unfinished events.

    Those must not be fanned out yet. An interrupted call is repeated without a second copy. Call it in no transaction.
    """
    events = list(
        Event.objects.using(database().alias).to_fan_out().filter(pk__in=keys, is_copy=False).exclude(body="")
    )
    has_copies, unfinished, end = False, set[int](), monotonic() + BUDGET
    for number, event in enumerate(events):
        body = from_text(event.body)
        sources = [one for one in all_sources() if _is_seen(one, event.type, body["changed"])]
        # Of an object that has moved, the former owner's events may be in no batch yet. They have the lower numbers.
        older = event.of_same_object.to_fan_out().filter(pk__lt=event.pk, is_copy=False)
        if sources and older.exclude(organization=event.organization_id).exists():
            unfinished.add(event.pk)
            continue
        if sources:
            is_over = number >= SEARCHES or (number > 0 and monotonic() > end)
            copies = 0 if is_over else _copy(event, body, sources)
            if is_over or copies >= COPIES:
                return True, unfinished | {one.pk for one in events[number:]}
            has_copies |= copies > 0
        if event.organization_id is None:
            unfinished.add(event.pk)
            event.delete()
    return has_copies, unfinished


def shown_to(source: Source, organizations: Collection[Any]) -> dict[frozenset[str], Q]:
    """Return filters for the objects of a source that other organizations own and objects of these organizations show.

    Each is for the objects of which they show the same fields. Empty for a noun whose objects are seen by their own
    organizations alone.
    """
    found: dict[frozenset[str], Q] = {}
    own = in_organizations(source, {BY_OWNER: organizations})
    for view in _views_of(source) if source.shared_fields else ():
        seeing = reduce(or_, (Q(**{f"{column}__in": organizations}) for column in view.columns))
        shown = Q(pk__in=view.rows.filter(seeing).values(f"{view.lookup}__pk"))
        shown = shown if own is None else shown & ~own
        found[view.names] = found[view.names] | shown if view.names in found else shown
    return found


def seen_among(rows: Rows, shown: Mapping[frozenset[str], Q]) -> dict[Any, frozenset[str]]:
    """Return the fields of these rows that other objects show, by the rows' keys. ``shown`` is as `shown_to` returns it."""
    found: dict[Any, frozenset[str]] = {}
    for names, condition in shown.items():
        for key in rows.filter(condition).values_list("pk", flat=True):
            found[key] = names | found.get(key, frozenset())
    return found


def part_of(values: Mapping[str, Any], source: Source, names: Collection[str]) -> dict[str, Any]:
    """Return what others than the owner see of the nested values of an object: the shared fields with these names."""
    kept = (name for name in source.shared_fields if name in names and has_value(values, name))
    return nested({name: value_at(values, name) for name in kept})


def copy_of(
    event: Event, body: Mapping[str, Any], organization: models.Model, source: Source, names: Collection[str]
) -> Event:
    """Return an unsaved copy of an event with this body for another organization, which sees these fields of the object.

    Who changed the object in which request, and what belongs to the event alone, is for the owner.
    """
    one, key = event.copy_for(organization.pk), organization.pk
    external_id = organization_value(organization, "external_id")
    one.body = to_text(
        {
            **{name: value for name, value in body.items() if name != "correlation_id"},
            "id": one.public_id,
            "organization": {
                "id": key if isinstance(key, int) else str(key),
                "external_id": external_id and str(external_id),
            },
            "sequence": None,
            "actor": {"kind": body["actor"]["kind"], "id": None},
            "data": part_of(body["data"], source, names),
            **({"details": {}} if "details" in body else {}),
            "changed": [name for name in body["changed"] if name in names],
            "previous": part_of(body["previous"], source, names),
        }
    )
    return one


def is_end(event_type: str, source: Source) -> bool:
    """Return whether after such an event no object may show its object: it was deleted, or merged into another one."""
    return event_type in (*source.deletion_types, MERGED)


def is_awaited(event_type: str, source: Source, *, using: str) -> bool:
    """Return whether such an event of a source is the end of an object that others may have seen, and a webhook subscribes to it."""
    is_seen = bool(source.shared_fields) and is_end(event_type, source)
    return is_seen and Subscription.objects.using(using).matching([event_type]).exists()


def _is_seen(source: Source, event_type: str, changed: Iterable[str]) -> bool:
    """Return whether other organizations than the owner may see what an event of this type reports."""
    return event_type in source.event_types and bool(
        source.shared_fields and (is_end(event_type, source) or {*source.shared_fields}.intersection(changed))
    )


def _copy(event: Event, body: Mapping[str, Any], sources: Sequence[Source]) -> int:
    """Insert up to `COPIES` copies of an event that are missing, and return their number.

    There may be more where it returns `COPIES`, as it does while another transaction makes copies or gives numbers.
    """
    names = _recipients(event, body, sources)
    if not names:
        return 0
    organizations: Any = Event._meta.get_field("organization").related_model
    same = event.of_same_object.filter(type=event.type, occurred_at=event.occurred_at)
    with brief_write(durable=False):
        # Each copy is made once, in the order of events, and while no numbers are given.
        if not PeriodicRun.objects.lock(NUMBERING):
            return COPIES
        keys = names.keys() - set(same.values_list("organization_id", flat=True))
        owners = organizations._base_manager.in_bulk(sorted(keys)[:COPIES]).values()
        copies = [copy_of(event, body, one, sources[0], names[one.pk]) for one in owners]
        Event.objects.using(event._state.db).bulk_create(copies)
        EventSequence.objects.catch_up(event, [one.organization_id for one in copies])
    return len(copies)


def _recipients(event: Event, body: Mapping[str, Any], sources: Iterable[Source]) -> dict[Any, set[str]]:
    """Return the keys of the organizations that get a copy, each with the names of the fields that it sees.

    They subscribe to the type, and they or children show the object.
    """
    using, own = str(event._state.db), event.viewers
    subscriptions = Subscription.objects.using(using).matching([event.type])
    scopes = subscriptions.scopes()
    subscribed = {scope.organization_id for scope in scopes}
    if subscribed <= own:
        return {}
    parents = {scope.organization_id for scope in scopes if scope.include_children}
    among = None if parents else subscriptions.order_by().values(key=Cast("webhook__organization", models.TextField()))
    showing = _showing(event, body, sources, among)
    lineages = ancestors({*showing, *own}, using=using) if parents else {}
    found: dict[Any, set[str]] = defaultdict(set)
    for key, names in showing.items():
        for one in {key} & subscribed | lineages.get(key, frozenset()) & parents:
            found[one] |= names
    for one in own.union(*(lineages.get(key, frozenset()) & parents for key in own)):
        found.pop(one, None)
    is_end_for_all = any(is_end(event.type, one) for one in sources)
    return {key: names for key, names in found.items() if is_end_for_all or not names.isdisjoint(body["changed"])}


def _showing(event: Event, body: Mapping[str, Any], sources: Iterable[Source], among: Any) -> dict[Any, set[str]]:
    """Return the keys of the organizations that own an object, or whose learner's it is, that shows an event's object.

    With each are the names of the fields that it shows. ``sources`` are those of the event. ``among`` is a query of the
    keys that count, as text; None for all. To an object at its end, nothing may refer: those that got events of it are
    added. All see its ids alone, also where its row is kept.
    """
    found: dict[Any, set[str]] = defaultdict(set)
    as_key: Any = Event._meta.get_field("organization").target_field.to_python
    for shown in sources:
        ids = {one.name for one in shown.noun.fields if one.privacy is FieldPrivacy.ID}.intersection(
            shown.shared_fields
        )
        has_ended = is_end(event.type, shown)
        if has_ended:
            last = event.of_same_object.values("organization").annotate(last=Max("pk")).values("last")
            got = Event.objects.using(event._state.db).filter(pk__in=last, organization__isnull=False)
            # Who sees it no longer knows of no end.
            got = got.exclude(type=event_names.moves_of(shown.noun.name)[0])
            for key in got.values_list("organization_id", flat=True):
                found[key] |= ids
        views, queries = list(_views_of(shown)), []
        for number, view in enumerate(views):
            rows = view.rows.filter(**{f"{view.lookup}__{shown.mapped['id'].path}": body["data"]["id"]})
            for column in view.columns:
                # As text, because a host may keep the key in columns of several types: one statement reads them all.
                keys = rows.annotate(tms_key=Cast(column, models.TextField()))
                keys = keys if among is None else keys.filter(tms_key__in=among)
                queries.append(keys.values_list("tms_key", Value(number)))
        for key, number in queries[0].union(*queries[1:]).order_by() if queries else ():
            if key is not None:
                found[as_key(key)] |= ids if has_ended else views[number].names
    return found


class View(NamedTuple):
    """How objects of one source show those of another one.

    - ``rows``: the objects that show them
    - ``lookup``: that of the shown object in these rows
    - ``columns``: the lookups of the organizations that the rows belong to
    - ``names``: the shared fields that they show
    """

    rows: Rows
    lookup: str
    columns: Sequence[str]
    names: frozenset[str]


def _views_of(shown: Source) -> Iterator[View]:
    """Yield all ways in which objects of a source are shown: by the paths of all sources."""
    for source in all_sources():
        # Of several paths of which the first counts, all.
        names = OWNER, OWNERS, LEARNER, *source.computed.get(OWNER, ((), ()))[1]
        owners = (source.mapped[name] for name in names if name in source.mapped)
        columns = [one.path.replace(".", "__") for one in owners if one.lookup is not None]
        for lookup, seen in sorted(_lookups_of(shown, source).items()):
            # The organization of a shown object itself is no other one.
            own = f"{lookup}__{shown.mapped[OWNER].path.replace('.', '__')}" if OWNER in shown.mapped else ""
            if others := [one for one in columns if one != own]:
                yield View(rows_of(source), lookup, others, seen)


@cache
def _lookups_of(shown: Source, source: Source) -> dict[str, frozenset[str]]:
    """Return the lookups of objects of ``shown`` that payloads of a source show, with the shared fields that they show.

    Of personal fields, those alone that a payload has. Paths that only find an organization show nothing.
    """
    ends: dict[str, set[str]] = defaultdict(set)
    for field in (*source.noun.fields, *(one.field for one in source.custom_fields)):
        for path in _paths_of(source, field.name):
            parts = path.split(".")
            for number, step in enumerate(steps_of(source.model, path), 1):
                if step.target is not None and step.target._meta.concrete_model in shown.captured_models:
                    ends["__".join(parts[:number])].add(".".join(parts[number:]))
    paths = {name: _paths_of(shown, name) for name in shown.shared_fields}
    personal = {one.name for one in shown.noun.fields if one.privacy is FieldPrivacy.PERSONAL}
    seen = {"", "pk"}.union(*paths.values())
    return {
        lookup: frozenset(name for name in paths if name not in personal or (paths[name] and paths[name] <= found))
        for lookup, found in ends.items()
        if not found.isdisjoint(seen)
    }


def _paths_of(source: Source, name: str) -> set[str]:
    """Return the paths of the values that a field of a source is made of, or of those in each object of a list."""
    if name in source.mapped:
        one = source.mapped[name]
        return {f"{one.path}.{item}" for item in one.items.values()} or {one.path}
    _how, names = source.computed.get(name) or source.functions.get(name) or (None, ())
    return set().union(*(_paths_of(source, one) for one in names))
