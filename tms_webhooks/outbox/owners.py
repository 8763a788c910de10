"""To whom objects belong: one organization or several, another one than before, or none yet.

- The change of an object with several owners becomes one change for each owner. Each gets events of its own, with its
  own sequence.
- An organization that an object leaves gets a thin event, which says that it left. One that begins to receive it gets no
  old values: they are another organization's.
- New objects without an organization, and objects whose organization can't be read, are kept. They are new for their
  organization once it is known: its first event shows their state then. A change of their own row is detected here, and
  one of another row on the path to the organization by `reconcile.ownerless`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tms_webhooks import catalogue
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, OwnerlessObject, Webhook
from tms_webhooks.models.audience import EventOrganizations, SubscriberScope
from tms_webhooks.models.event import subject_key
from tms_webhooks.models.source_state import LONGEST_KEY
from tms_webhooks.outbox.event_row import event_row, organizations_of
from tms_webhooks.outbox.subscribed import matching_types_by_organizations
from tms_webhooks.payloads.fields import nested_json
from tms_webhooks.sources import states
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OF_ANOTHER_OWNER, OWNER
from tms_webhooks.sources.mapping import OWNERS, organization_value
from tms_webhooks.sources.paths import may_be_null

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change

Values = Mapping[str, Any]

ORGANIZATIONS = frozenset({OWNER, LEARNER_ORGANIZATION.name})

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """A change for one of the owners of an object, and the position of the whole change among all."""

    position: int
    change: Change


class Departure(NamedTuple):
    """The organizations that an object leaves, as the owner or as the learner's; None for one that stays."""

    owner: Any
    learner: Any

    @property
    def organizations(self) -> EventOrganizations:
        """The organizations of the event about it, which needs an owner."""
        return EventOrganizations(self.learner if self.owner is None else self.owner, self.learner)


STAYS = Departure(None, None)
# A change with its index, and a departure that it is.
Departures = list[tuple["Change", int, Departure]]


# Several owners


class ObjectScope:
    """The objects that a webhook with this scope receives.

    ``organizations`` are the keys of the organizations whose objects these are. The tree is read once.
    """

    def __init__(self, scope: SubscriberScope) -> None:
        self.organizations: Collection[Any] = scope.organizations(using=Webhook.objects.db)
        self._scope = scope

    def canonical(self, source: Source, raw: Values) -> Values | None:
        """Return the canonical values of an object with these raw values; None if it is outside the scope.

        Of an object with several owners, these are the values for the first owner in the scope.
        """
        values = source.canonical(raw)
        for one in [values] if source.owners is None else values_by_owner(values):
            organizations = organizations_of(one)
            if organizations is not None and self._scope.includes(organizations, self.organizations):
                return one
        return None


def by_organization(source: Source, parts: Sequence[Part]) -> tuple[list[Part], Departures]:
    """Return the changes for the current owners, marked where an organization begins to receive the object; and the
    departures.
    """
    kept, departures = list[Part](), Departures()
    for index, change in parts:
        for_owners: Iterable[Change] = (change,)
        if source.owners is not None:
            before, after = _owners(change.before), _owners(change.after)
            for_owners = _for_owners(change, before, after)
            if change.before and change.after and not isinstance(change.after.get(OWNERS), PayloadError):
                departures += [(change, index, Departure(key, None)) for key in before if key not in after]
        for one in for_owners:
            has_joined, departure = _move(one)
            kept.append(Part(index, replace(one, moved=True) if has_joined else one))
            if departure != STAYS:
                departures.append((one, index, departure))
    return kept, departures


def values_by_owner(values: Values) -> Iterator[dict[str, Any]]:
    """Yield the canonical values of an object for each of its owners."""
    owners = _owners(values)
    for owner in owners.values():
        yield _values_for(values, owner, owners)


def _for_owners(change: Change, before: Mapping[Any, Values], after: Mapping[Any, Values]) -> Iterator[Change]:
    if change.deleted:
        for owner in before.values():
            yield replace(change, before=_values_for(change.before, owner, before))
        return
    own = tuple(name for name in change.changed if name != OWNER)
    for key, owner in after.items():
        values = _values_for(change.after, owner, after)
        if change.created:
            yield replace(change, after=values)
        elif key not in before:
            yield replace(change, before={**change.before, OWNER: None}, after=values, changed=(*own, OWNER))
        elif own:
            yield replace(change, before=_values_for(change.before, owner, before), after=values, changed=own)


def _owners(values: Values) -> dict[Any, dict[str, Any]]:
    """Return the values of an object's owners by their keys, in the order of keys."""
    owners = values.get(OWNERS)
    return {one["id"]: one for one in owners} if isinstance(owners, list) else {}


def _values_for(values: Values, owner: Values, owners: Mapping[Any, Values]) -> dict[str, Any]:
    learner = values.get(LEARNER_ORGANIZATION.name)
    # One owner's event goes to the learner's organization: its own, if it is an owner, or the first one's.
    carrier = learner if learner in owners else next(iter(owners))
    named = {f"organization.{name}": value for name, value in owner.items()}
    return {**values, **named, OF_ANOTHER_OWNER: learner is not None and owner["id"] != carrier}


# Moves


def _move(change: Change) -> tuple[bool, Departure]:
    """Return whether an organization begins to receive the object, and those that it leaves.

    An organization can leave one role and keep the other: a class that changes its owner may keep its learners.
    """
    if not (change.before and change.after) or ORGANIZATIONS.isdisjoint(change.changed):
        return False, STAYS
    both = ({**change.after, **change.before}, change.after)
    if any(isinstance(values.get(name), PayloadError) for values in both for name in ORGANIZATIONS):
        # No departure is certain, and the old values may be another organization's.
        return True, STAYS
    old, new = (organizations_of(values) or EventOrganizations(None) for values in both)
    # The owner still sees an object whose learner is no longer its own.
    learner = None if old.learner in (new.owner, new.learner) else old.learner
    return not new.keys <= old.keys, Departure(None if old.owner == new.owner else old.owner, learner)


def departure_rows(
    source: Source, departures: Departures, event_types: Collection[str], *, using: str
) -> list[tuple[int, Event]]:
    """Return the unsaved rows of the events for organizations that objects left, each with the index of its change.

    They have ids alone. ``event_types`` is the type that reports them, if there is one and a subscription matches it.
    """
    organizations = {departure.organizations for _change, _index, departure in departures}
    wanted = matching_types_by_organizations(organizations, event_types, using=using) if event_types else {}
    model: Any = Event._meta.get_field("organization").related_model
    left = model._base_manager.using(using).in_bulk({one.owner for one in wanted}) if wanted else {}
    rows = []
    for change, index, departure in departures:
        owner, learner = departure.organizations
        if departure.organizations not in wanted:
            continue
        (event_type,) = map(catalogue.get, event_types)
        ids = {name: value for name, value in change.before.items() if not isinstance(value, PayloadError)}
        fields = [
            field
            for field in event_type.fields
            if field.privacy is FieldPrivacy.ID
            and field.name in ids
            and not field.name.startswith(("organization.", "learner_organization."))
        ]
        content = {
            "data": nested_json(fields, ids),
            "changed": [LEARNER_ORGANIZATION.name if departure.owner is None else OWNER],
            "previous": {},
            "left": True,
        }
        external_id = organization_value(left[owner], "external_id") if owner in left else None
        row = event_row(
            event_type,
            content,
            {OWNER: owner, "organization.external_id": external_id, LEARNER_ORGANIZATION.name: learner},
            subject=(source.noun.name, subject_key(change.before["id"])),
            occurred_at=change.now,
            strict=strict_payloads(),
            numbered_by_owner=source.owners is not None,
        )
        rows.append((index, row))
    return rows


# No owner yet


def keep_ownerless(source: Source, changes: Sequence[Change], *, using: str) -> None:
    """Keep new objects without an organization, and changed ones whose organization can't be read."""
    lacking = [
        one for one in changes if one.after and not has_owner(one.after) and (one.created or _is_unreadable(one.after))
    ]
    if lacking:
        keys = [key for key in map(_key, lacking) if len(key) <= LONGEST_KEY]
        if len(keys) < len(lacking):
            logger.warning(
                "%r: objects with ids of more than %s characters can't wait for an organization.", source, LONGEST_KEY
            )
        now = lacking[0].now
        rows = (OwnerlessObject(source=source.name, key=key, since=now, checked_at=now) for key in keys)
        # Those that are recorded already stay as they are.
        OwnerlessObject.objects.using(using).bulk_create(rows, ignore_conflicts=True)


def with_first_owners(source: Source, parts: Sequence[Part], *, using: str) -> list[Part]:
    """Return the changes, where an object that gets its first organization is new; forget that it was kept.

    Call it where a subscription matches: for other objects the query would be in vain.
    """
    owned = {index: change for index, change in parts if change.changed and has_owner(change.after)}
    if not owned:
        return list(parts)
    kept = OwnerlessObject.objects.take(source.name, [_key(one) for one in owned.values()], using=using)
    found: list[Part] = []
    for index, change in parts:
        # It enters if it is known to have had no organization.
        is_known_before = (OWNERS in change.before or OWNER in change.before) and not _is_unreadable(change.before)
        enters = index in owned and (_key(change) in kept or (is_known_before and not has_owner(change.before)))
        found.append(Part(index, replace(change, before={}, changed=()) if enters else change))
    return found


def has_owner(values: Values) -> bool:
    """Return whether an object with these canonical values has an organization that can be read."""
    return bool(values.get(OWNERS) or values.get(OWNER) is not None) and not _is_unreadable(values)


def _is_unreadable(values: Values) -> bool:
    return isinstance(values.get(OWNERS, values.get(OWNER)), PayloadError)


def _key(change: Change) -> str:
    return states.key_text(change.values.get("id"))


@cache
def may_lack_owner(source: Source) -> bool:
    """Return whether an object of the source may have no organization, as far as its model shows."""
    if "id" not in source.own:
        return False
    mapped = source.mapped.get(OWNER)
    if mapped is None or not isinstance(mapped.lookup, str):
        return True
    return may_be_null(source.model, mapped.lookup.replace("__", "."))
