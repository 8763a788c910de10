"""Objects that move to another organization: the one that they leave gets a thin event, which says that they left.

The event of the new organization holds no old values: they are another organization's data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from tms_webhooks import catalogue
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.computed import follow_value_or_none
from tms_webhooks.conf import strict_payloads
from tms_webhooks.event_names import is_update
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import subject_key
from tms_webhooks.outbox.event_row import event_row
from tms_webhooks.outbox.subscribed import organizations_of
from tms_webhooks.payloads.fields import nested_json
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER
from tms_webhooks.sources.mapping import organization_path

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change

ORGANIZATIONS = frozenset({OWNER, LEARNER_ORGANIZATION.name})
NO_ORGANIZATION = EventOrganizations(None)


class Departure(NamedTuple):
    """The organizations that an object leaves, as the owner or as the learner's; None for one that stays."""

    owner: Any
    learner: Any

    @property
    def organizations(self) -> EventOrganizations:
        """The organizations of the event about it, which needs an owner."""
        return EventOrganizations(self.learner if self.owner is None else self.owner, self.learner)


def with_moves(changes: Sequence[Change]) -> tuple[list[Change], dict[int, Departure]]:
    """Return the changes, marked where an organization begins to receive the object, and the departures by their indexes.

    An organization can leave one role and keep the other: a class that changes its owner may keep its learners.
    """
    marked, left = list(changes), {}
    for index, change in enumerate(changes):
        if not (change.before and change.after) or ORGANIZATIONS.isdisjoint(change.changed):
            continue
        before = {**change.after, **change.before}
        if any(
            isinstance(values.get(name), PayloadError) for values in (before, change.after) for name in ORGANIZATIONS
        ):
            # No departure is certain, and the old values may be another organization's.
            marked[index] = replace(change, moved=True)
            continue
        old, new = (organizations_of(values) or NO_ORGANIZATION for values in (before, change.after))
        marked[index] = replace(change, moved=not new.keys <= old.keys)
        departure = Departure(*(None if was == now else was for was, now in zip(old, new, strict=True)))
        if departure != Departure(None, None):
            left[index] = departure
    return marked, left


def update_type(source: Source) -> str | None:
    """Return the event type with which a source reports that an object left, or None."""
    return next(filter(is_update, source.event_types), None)


def departure_row(
    source: Source, type_name: str, change: Change, departure: Departure, external_ids: Mapping[Any, Any]
) -> Event:
    """Return the unsaved row of the event for the organizations that an object left: ids alone.

    ``external_ids`` are those of organizations, by their keys.
    """
    event_type, organizations = catalogue.get(type_name), departure.organizations
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
    values = {
        OWNER: organizations.owner,
        "organization.external_id": external_ids.get(organizations.owner),
        LEARNER_ORGANIZATION.name: organizations.learner,
    }
    subject = source.noun.name, subject_key(change.before["id"])
    return event_row(
        event_type,
        content,
        values,
        subject=subject,
        occurred_at=change.now,
        strict=strict_payloads(),
        numbered_by_owner=source.owners is not None,
    )


def external_ids(source: Source, organizations: Collection[Any], *, using: str) -> dict[Any, Any]:
    """Return the external ids of organizations, by their keys, from the attribute that the source maps."""
    path = source.paths.get("organization.external_id", "")
    name = organization_path("external_id") if path is not None else None
    if path and isinstance(path, str) and isinstance(source.owner_path, str):
        beginning = f"{source.owner_path}."
        name = path.removeprefix(beginning) if path.startswith(beginning) else None
    model: Any = Event._meta.get_field("organization").related_model
    if name is None:
        return {}
    found = model._base_manager.using(using).in_bulk(set(organizations))
    return {key: follow_value_or_none(organization, name) for key, organization in found.items()}
