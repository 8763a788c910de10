"""To whom objects belong: one organization or several, another one than before, or none yet.

- The change of an object with several owners becomes one change for each owner. Each gets events of its own, with its
  own sequence.
- Those that see an object no longer get an event with its ids. Those that see it from now on get the whole object. Old values are another organization's. Those that see it all along get the usual event.
- New objects without an organization, and objects whose organization can't be read, are kept. They are new for their
  organization once it is known: its first event shows their state then. A change of their own row is detected here, and
  one of another row on the path to the organization by `reconcile.ownerless`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from tms_webhooks import event_names
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, OwnerlessObject, Webhook
from tms_webhooks.models.audience import EventOrganizations, SubscriberScope
from tms_webhooks.models.source_state import LONGEST_KEY
from tms_webhooks.outbox.event_row import organizations_of
from tms_webhooks.sources import states
from tms_webhooks.sources.base import LEARNER, OF_ANOTHER_OWNER, OWNER, Source
from tms_webhooks.sources.mapping import OWNERS, Values, organization_value
from tms_webhooks.sources.paths import may_be_null
from tms_webhooks.sources.rules import Change

# The names of the events for those that see an object no longer, and from now on.
Moves = tuple[str, str]

ORGANIZATIONS = frozenset({OWNER, LEARNER})

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """A change for one of the owners of an object, or for one side of its move.

    - ``position``: that of the whole change among all
    - ``organizations``: the `EventOrganizations` that its events are for; None for those of the object
    - ``move``: the type of its event, for those that see the object no longer, or from now on
    - ``may_fold``: whether later updates of the transaction may be folded into its event
    """

    position: int
    change: Change
    organizations: Any = None
    move: str = ""
    may_fold: bool = True


# Several owners


class ObjectScope:
    """The objects that a webhook with this scope receives.

    ``organizations`` are the keys of the organizations whose objects these are, by default by the tree, which is read once.
    """

    def __init__(self, scope: SubscriberScope, organizations: Collection[Any] | None = None) -> None:
        if organizations is None:
            organizations = scope.organizations(using=Webhook.objects.db)
        self.organizations = organizations
        self._scope = scope

    def canonical(self, source: Source, raw: Values) -> Values | None:
        """Return the canonical values of an object with these raw values; None if it is outside the scope.

        Of an object with several owners, these are the values for the first owner in the scope.
        """
        for one in values_by_owner(source, raw):
            organizations = organizations_of(one)
            if organizations is not None and self._scope.includes(organizations, self.organizations):
                return one
        return None


def by_organization(source: Source, parts: Sequence[Part]) -> list[Part]:
    """Return the changes for the owners of the objects; those of objects that move for each side.

    One that gets its first owner is new; it may have left another one.
    """
    has_several, may_be_first = source.owners is not None, may_lack_owner(source)
    if has_several and may_be_first:
        parts = with_first_owners(source, parts)
    split, moves = _for_owners if has_several else _for_one_owner, event_names.moves_of(source.noun.name)
    found = [part for position, change, *_rest in parts for part in split(position, change, moves)]
    return found if has_several or not may_be_first else with_first_owners(source, found)


def values_by_owner(source: Source, raw: Values) -> list[Values]:
    """Return the canonical values of an object with these raw values: for each of several owners, or as they are."""
    values = source.canonical(raw)
    owners = {} if source.owners is None else _owners(values)
    return [_values_for(values, owner, owners) for owner in owners.values()] or [values]


def _for_one_owner(position: int, change: Change, moves: Moves) -> Iterator[Part]:
    old, new = {**change.after, **change.before}, change.values
    is_known = not any(isinstance(values.get(OWNER), PayloadError) for values in (old, new))
    before, after = organizations_of(old) if is_known else None, organizations_of(new)
    if before is not None and isinstance(new.get(LEARNER), PayloadError):
        before = before._replace(learner=None)
    yield from _sides(Part(position, change), before, after, moves)


def _for_owners(position: int, change: Change, moves: Moves) -> Iterator[Part]:
    """Yield the changes of an object with several owners: one for each."""
    before, after = _owners(change.before), _owners(change.after)
    own = tuple(name for name in change.changed if name != OWNER)
    for key in {**before, **after}:
        old = _values_for(change.before, before[key], before) if key in before else {}
        new = _values_for(change.after, after[key], after) if key in after else {}
        part = Part(position, replace(change, before=old, after=new, changed=own), organizations_of(new or old))
        if not (change.before and change.after):
            yield part
        elif old and new:
            was = _values_for({**change.after, **change.before}, before[key], before)
            yield from _sides(part, organizations_of(was), part.organizations, moves) if own else ()
        elif new:
            yield part._replace(move=moves[1])
        elif not isinstance(change.after.get(OWNERS), PayloadError):
            # The learner's organization may see it through another owner.
            yield part._replace(organizations=EventOrganizations(key), move=moves[0])


def _sides(
    whole: Part, before: EventOrganizations | None, after: EventOrganizations | None, moves: Moves
) -> Iterator[Part]:
    """Yield a change for those that see its object no longer, all along, and from now on.

    It is one part if its organizations are the same. Those before it are None if they are unknown: then all that see it
    now get it whole.
    """
    if before == after:
        yield whole._replace(organizations=after)
        return
    removed, added = moves
    if before is not None:
        yield whole._replace(organizations=before._replace(other=after), move=removed)
        if after is not None:
            yield whole._replace(organizations=after._replace(other=before, stays=True), may_fold=False)
    if after is not None:
        yield whole._replace(organizations=after._replace(other=before), move=added)


def side_of(part: Part, external_ids: Mapping[Any, Any]) -> Part:
    """Return a part of a move with what its event is about: the ids that a removed object had, or the object as it is.

    ``external_ids`` are those of the organizations, by their keys.
    """
    change, organizations = part.change, part.organizations
    if not event_names.is_removal(part.move):
        return part._replace(change=replace(change, before={}, changed=()))
    named = {
        OWNER: organizations.owner,
        "organization.external_id": external_ids.get(organizations.owner),
        LEARNER: organizations.learner,
    }
    return part._replace(change=replace(change, before={**change.before, **named}, after={}, changed=()))


def external_ids_of(organizations: Collection[Any], *, using: str) -> dict[Any, Any]:
    """Return the external ids of the organizations with these keys."""
    model: Any = Event._meta.get_field("organization").related_model
    found = model._base_manager.using(using).in_bulk(organizations)
    return {key: organization_value(one, "external_id") for key, one in found.items()}


def _owners(values: Values) -> dict[Any, dict[str, Any]]:
    """Return the values of an object's owners by their keys, in the order of keys."""
    owners = values.get(OWNERS)
    return {one["id"]: one for one in owners} if isinstance(owners, list) else {}


def _values_for(values: Values, owner: Values, owners: Mapping[Any, Values]) -> dict[str, Any]:
    learner = values.get(LEARNER)
    # One owner's event goes to the learner's organization: its own, if it is an owner, or the first one's.
    carrier = learner if learner in owners else next(iter(owners))
    named = {f"organization.{name}": value for name, value in owner.items()}
    return {**values, **named, OF_ANOTHER_OWNER: learner is not None and owner["id"] != carrier}


# No owner yet


def keep_ownerless(source: Source, changes: Sequence[Change]) -> None:
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
        OwnerlessObject.objects.using(lacking[0].using).bulk_create(rows, ignore_conflicts=True)


def with_first_owners(source: Source, parts: Sequence[Part]) -> list[Part]:
    """Return the changes, where an object that gets its first organization is new; forget that it was kept.

    Call it where a subscription matches: for other objects the query would be in vain.
    """
    owned = {_key(part.change) for part in parts if part.change.changed and has_owner(part.change.after)}
    if not owned:
        return list(parts)
    kept = OwnerlessObject.objects.take(source.name, owned, using=parts[0].change.using)
    found: list[Part] = []
    for part in parts:
        key, before = _key(part.change), part.change.before
        had_none = (OWNERS in before or OWNER in before) and not (_is_unreadable(before) or has_owner(before))
        enters = key in owned and (key in kept or had_none)
        if not enters or event_names.is_removal(part.move):
            found.append(part)
        elif part.may_fold:
            organizations = part.organizations and part.organizations._replace(other=None)
            found.append(Part(part.position, replace(part.change, before={}, changed=()), organizations))
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
    if source.owner is None or "id" not in source.own:
        return False
    lookup = source.lookup(OWNER)
    return lookup is None or may_be_null(source.model, lookup.replace("__", "."))
