"""To whom objects belong, also those with several owners: each owner gets events of its own, with its own sequence.

The change of an object with several owners becomes one change for each owner. An organization that no longer owns it
gets the thin event of an object that left. One that begins to own it gets no old values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Webhook
from tms_webhooks.models.audience import SubscriberScope
from tms_webhooks.outbox.subscribed import organizations_of
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OF_ANOTHER_OWNER, OWNER
from tms_webhooks.sources.mapping import OWNERS
from tms_webhooks.sources.snapshots import owner_values, unread_of_owners

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change

Values = Mapping[str, Any]


class ObjectScope:
    """The objects that a webhook with this scope receives.

    ``organizations`` are the keys of the organizations whose objects these are. The tree is read once.
    """

    def __init__(self, scope: SubscriberScope) -> None:
        self.organizations: Collection[Any] = scope.organizations(using=Webhook.objects.db)
        self._scope = scope
        self._owner_values: dict[Any, dict[str, Any]] = {}

    def canonical(self, source: Source, raw: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the canonical values of an object with these raw values; None if it is outside the scope.

        Of an object with several owners, these are the values for the first owner in the scope.
        """
        values = source.canonical(raw)
        add_owner_values(source, [values], using=Webhook.objects.db, known=self._owner_values)
        return next(filter(self._includes, [values] if source.owners is None else values_by_owner(values)), None)

    def _includes(self, values: Mapping[str, Any]) -> bool:
        organizations = organizations_of(values)
        return organizations is not None and self._scope.includes(organizations, self.organizations)


def changes_by_owner(changes: Sequence[Change]) -> tuple[list[tuple[int, Change]], dict[int, list[Any]]]:
    """Return the changes for the current owners, and the keys of the owners that objects leave.

    Both come with the index of the change in ``changes``.
    """
    found: list[tuple[int, Change]] = []
    left: dict[int, list[Any]] = {}
    for index, change in enumerate(changes):
        if change.is_empty:
            continue
        before, after = _owners(change.before), _owners(change.after)
        found += [(index, one) for one in _for_owners(change, before, after)]
        is_known = change.before and not isinstance(change.after.get(OWNERS), PayloadError)
        if is_known and change.after and (gone := [key for key in before if key not in after]):
            left[index] = gone
    return found, left


def add_owner_values(
    source: Source, states: Iterable[Values], *, using: str, known: dict[Any, dict[str, Any]] | None = None
) -> None:
    """Add the values that SQL can't read to the owners in canonical values. ``known`` keeps them by the owners' keys."""
    if not unread_of_owners(source):
        return
    known = {} if known is None else known
    owners = [owner for values in states for owner in _owners(values).values()]
    known.update(owner_values(source, {owner["id"] for owner in owners} - known.keys(), using=using))
    for owner in owners:
        owner.update(known.get(owner["id"], {}))


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
            old = {**change.before, OWNER: None}
            yield replace(change, before=old, after=values, changed=(*own, OWNER))
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
