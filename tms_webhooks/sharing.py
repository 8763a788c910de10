"""Copies an event for the organizations whose objects show its object, such as the course of another organization.

A save records an event for the owner alone. Before the worker fans it out, it looks for these organizations by the paths that
the sources declare. It makes a copy for each that subscribes to the type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast

from tms_webhooks import catalogue
from tms_webhooks.catalogue.types.references import NOUN_OF_REFERENCE
from tms_webhooks.catalogue.values import has_value, nested, value_at
from tms_webhooks.db.sql import database
from tms_webhooks.db.writer import brief_write
from tms_webhooks.models import Event, PeriodicRun, Subscription
from tms_webhooks.models.audience import EventOrganizations, organizations_reached
from tms_webhooks.payloads.envelope import from_text, to_text
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, Source
from tms_webhooks.sources.interest import patterns_of_any_webhook, subscribed_types
from tms_webhooks.sources.mapping import OWNERS, organization_value
from tms_webhooks.sources.paths import steps_of
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import Rows, rows_of

SEARCHES = 20
"""Events whose organizations one call looks for, so that others don't wait for them."""
COPIES = 200
"""Copies in one transaction. The other ones of an event follow before it is fanned out."""

MERGED = "user.merged"

# The row of `PeriodicRun` that is locked while copies are made: each is made once, in the order of events.
SHARING = "tms_webhooks.sharing"


def types_elsewhere(
    source: Source, parts: Iterable[Any], organizations: Iterable[EventOrganizations], *, using: str
) -> Collection[str]:
    """Return the event types that any webhook subscribes to, if others than these organizations may see one of these changes.

    ``parts`` have the changes, which are of one kind. The result is empty if no other organization subscribes.
    """
    changes = [part.change for part in parts]
    if not any(one.deleted or not {*source.shared_fields}.isdisjoint(one.changed) for one in changes):
        return ()
    keys = {key for one in organizations for key in one.keys}
    if (
        not Subscription.objects.using(using)
        .matching(source.event_types)
        .exclude(webhook__organization__in=keys)
        .exists()
    ):
        return ()
    return subscribed_types(source.event_types, patterns_of_any_webhook(source.event_types, using=using))


def nouns_without_source() -> list[str]:
    """Return the names of nouns whose objects payloads show, but for which no model is registered.

    Raises `DeclarationError` for a source of a wrong form.
    """
    sources = all_sources()
    shown = {name.rpartition(".")[0] for source in sources for name in source.mapped}
    nouns = {NOUN_OF_REFERENCE.get(name, name) for name in shown} & catalogue.grouped().keys()
    return sorted(nouns.difference(source.noun.name for source in sources))


def share(keys: Collection[int]) -> tuple[int, set[int]]:
    """Copy new events for the organizations that show their objects; return the number of copies, and the events to continue with.

    Those must not be fanned out yet. An interrupted call is repeated without a second copy. Call it in no transaction.
    """
    events = list(
        Event.objects.using(database().alias).to_fan_out().filter(pk__in=keys, is_copy=False).exclude(body="")
    )
    copies, unfinished = 0, set[int]()
    for number, event in enumerate(events):
        body = from_text(event.body)
        sources = [one for one in all_sources() if _is_seen(one, event.type, body["changed"])]
        made = 0 if not sources else COPIES if number >= SEARCHES else _copy(event, body, sources)
        copies += made
        if made >= COPIES:
            return copies, unfinished | {one.pk for one in events[number:]}
        if event.organization_id is None:
            unfinished.add(event.pk)
            event.delete()
    return copies, unfinished


def shown_to(source: Source, organizations: Collection[Any]) -> Q | None:
    """Return a filter for the objects of a source that objects of these organizations show, whether or not they own them.

    None for a noun whose objects are seen by their own organizations alone.
    """
    if not source.shared_fields:
        return None
    shown = Q(pk__in=())
    for view in _views_of(source):
        seeing = reduce(or_, (Q(**{f"{column}__in": organizations}) for column in view.columns))
        shown |= Q(pk__in=view.rows.filter(seeing).values(f"{view.lookup}__pk"))
    return shown


def part_of(values: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """Return what others than the owner see of the nested values of an object."""
    return nested({name: value_at(values, name) for name in source.shared_fields if has_value(values, name)})


def copy_of(event: Event, body: Mapping[str, Any], organization: models.Model, source: Source) -> Event:
    """Return an unsaved copy of an event with this body for another organization: with what that sees of the object."""
    one, key, external_id = (
        event.copy_for(organization.pk),
        organization.pk,
        organization_value(organization, "external_id"),
    )
    one.body = to_text(
        {
            **body,
            "id": one.public_id,
            "organization": {
                "id": key if isinstance(key, int) else str(key),
                "external_id": external_id and str(external_id),
            },
            "sequence": None,
            "data": part_of(body["data"], source),
            "changed": [name for name in body["changed"] if name in source.shared_fields],
            "previous": part_of(body["previous"], source),
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

    There may be more where it returns `COPIES`, as it does while another transaction makes copies.
    """
    keys = _recipients(event, body, sources)
    if not keys:
        return 0
    organizations: Any = Event._meta.get_field("organization").related_model
    same = event.of_same_object.filter(type=event.type, occurred_at=event.occurred_at)
    with brief_write(durable=False):
        if not PeriodicRun.objects.lock(SHARING):
            return COPIES
        keys -= set(same.values_list("organization_id", flat=True))
        owners = organizations._base_manager.in_bulk(sorted(keys)[:COPIES]).values()
        copies = [copy_of(event, body, one, sources[0]) for one in owners]
        Event.objects.using(event._state.db).bulk_create(copies)
    return len(copies)


def _recipients(event: Event, body: Mapping[str, Any], sources: Iterable[Source]) -> set[Any]:
    """Return the keys of the organizations that get a copy: they subscribe to the type, and they or children show the object."""
    using, own = str(event._state.db), event.organizations
    scopes = Subscription.objects.using(using).matching([event.type]).scopes()
    if {scope.organization_id for scope in scopes} <= own.keys:
        return set()
    showing = [EventOrganizations(key, key) for key in _showing(event, body, sources)]
    return organizations_reached(scopes, showing, using=using) - organizations_reached(scopes, [own], using=using)


def _showing(event: Event, body: Mapping[str, Any], sources: Iterable[Source]) -> set[Any]:
    """Return the keys of the organizations that own an object, or whose learner's it is, that shows an event's object.

    ``sources`` are those of the event. To an object at its end, nothing may refer: those that got events of it are added.
    """
    found: set[Any] = set()
    as_key: Any = Event._meta.get_field("organization").target_field.to_python
    for shown in sources:
        if is_end(event.type, shown):
            found.update(event.of_same_object.values_list("organization_id", flat=True))
        # As text, because a host may keep the key in columns of several types: one statement reads them all.
        keys = [
            view.rows.filter(**{f"{view.lookup}__{shown.mapped['id'].path}": body["data"]["id"]}).values_list(
                Cast(column, models.TextField()), flat=True
            )
            for view in _views_of(shown)
            for column in view.columns
        ]
        if keys:
            found.update(as_key(key) for key in keys[0].union(*keys[1:]) if key is not None)
    return found - {None}


class View(NamedTuple):
    """How objects of one source show those of another one.

    - ``rows``: the objects that show them
    - ``lookup``: that of the shown object in these rows
    - ``columns``: the lookups of the organizations that the rows belong to
    """

    rows: Rows
    lookup: str
    columns: Sequence[str]


def _views_of(shown: Source) -> Iterator[View]:
    """Yield all ways in which objects of a source are shown: by the paths of all sources."""
    for source in all_sources():
        # Of several paths of which the first counts, all.
        names = OWNER, OWNERS, LEARNER_ORGANIZATION.name, *source.computed.get(OWNER, ((), ()))[1]
        owners = (source.mapped[name] for name in names if name in source.mapped)
        columns = [one.path.replace(".", "__") for one in owners if one.lookup is not None]
        for lookup in sorted(_lookups_of(shown, source)):
            # The organization of a shown object itself is no other one.
            own = f"{lookup}__{shown.mapped[OWNER].path.replace('.', '__')}" if OWNER in shown.mapped else ""
            if others := [one for one in columns if one != own]:
                yield View(rows_of(source), lookup, others)


@cache
def _lookups_of(shown: Source, source: Source) -> set[str]:
    """Return the lookups of objects of ``shown`` that objects of a source show."""
    return {
        "__".join(mapped.path.split(".")[: number + 1])
        for mapped in source.mapped.values()
        for number, step in enumerate(steps_of(source.model, mapped.path))
        if step.target is not None and step.target._meta.concrete_model in shown.captured_models
    }
