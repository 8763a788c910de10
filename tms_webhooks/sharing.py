"""Copies an event for the organizations whose objects show its object, such as the course of another organization.

A save records an event for the owner alone. Before the worker fans it out, it looks for these organizations by the paths that
the sources declare. It makes a copy for each that subscribes to the type.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

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
from tms_webhooks.sources.rows import rows_of
from tms_webhooks.sources.tms import CLOSED

SEARCHES = 20
"""Events whose organizations one call looks for, so that others don't wait for them."""
COPIES = 200
"""Copies in one transaction. The other ones of an event follow before it is fanned out."""

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


def _is_seen(source: Source, event_type: str, changed: Iterable[str]) -> bool:
    """Return whether other organizations than the owner may see what an event of this type reports."""
    # Of the fields that a closed account loses, an event names no personal ones.
    is_end = event_type in (*source.deletion_types, CLOSED)
    is_shown = is_end or not {*source.shared_fields}.isdisjoint(changed)
    return is_shown and event_type in source.event_types and bool(source.shared_fields)


def _copy(event: Event, body: Mapping[str, Any], sources: Sequence[Source]) -> int:
    """Insert up to `COPIES` copies of an event that are missing, and return their number.

    There may be more where it returns `COPIES`, as it does while another transaction makes copies.
    """
    keys, fields = _recipients(event, body, sources), sources[0].shared_fields
    if not keys:
        return 0
    organizations: Any = Event._meta.get_field("organization").related_model
    seen: dict[str, Any] = {
        part: nested({name: value_at(body[part], name) for name in fields if has_value(body[part], name)})
        for part in ("data", "previous")
    }
    seen["changed"] = [name for name in body["changed"] if name in fields]
    same = event.of_same_object.filter(type=event.type, occurred_at=event.occurred_at)
    with brief_write(durable=False):
        if not PeriodicRun.objects.lock(SHARING):
            return COPIES
        keys -= set(same.values_list("organization_id", flat=True))
        owners = organizations._base_manager.in_bulk(sorted(keys)[:COPIES])
        copies = [event.copy_for(key) for key in owners]
        for one in copies:
            key, external_id = one.organization_id, organization_value(owners[one.organization_id], "external_id")
            named = {"id": key if isinstance(key, int) else str(key), "external_id": external_id and str(external_id)}
            one.body = to_text({**body, "id": one.public_id, "organization": named, "sequence": None, **seen})
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

    ``sources`` are those of the event. Nothing shows a deleted object: of that, they are those that got events of it.
    """
    found: set[Any] = set()
    as_key: Any = Event._meta.get_field("organization").target_field.to_python
    for shown, source in product(sources, all_sources()):
        if event.type in shown.deletion_types:
            return set(event.of_same_object.values_list("organization_id", flat=True))
        # Of several paths of which the first counts, all.
        names = OWNER, OWNERS, LEARNER_ORGANIZATION.name, *source.computed.get(OWNER, ((), ()))[1]
        owners = (source.mapped[name] for name in names if name in source.mapped)
        columns = [one.path.replace(".", "__") for one in owners if one.lookup is not None]
        for lookup in _lookups_of(shown, source) if columns else ():
            rows = rows_of(source).filter(**{f"{lookup}__{shown.mapped['id'].path}": body["data"]["id"]})
            found.update(as_key(key) for row in rows.values_list(*columns).distinct() for key in row if key is not None)
    return found


def _lookups_of(shown: Source, source: Source) -> set[str]:
    """Return the lookups of objects of ``shown`` that objects of a source show."""
    return {
        "__".join(mapped.path.split(".")[: number + 1])
        for mapped in source.mapped.values()
        for number, step in enumerate(steps_of(source.model, mapped.path))
        if step.target is not None and step.target._meta.concrete_model in shown.captured_models
    }
