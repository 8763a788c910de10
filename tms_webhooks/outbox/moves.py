"""Objects that move to another organization: the one that they leave gets a thin event, which says that they left.

The event of the new organization holds no old values: they are another organization's data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import models

from tms_webhooks import catalogue
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.conf import app_settings, strict_payloads
from tms_webhooks.event_names import is_update
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import subject_key
from tms_webhooks.outbox.event_row import event_row
from tms_webhooks.outbox.subscribed import organizations_of
from tms_webhooks.payloads.fields import nested_json
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER
from tms_webhooks.sources.computed import follow_value_or_none
from tms_webhooks.sources.interest import OrganizationPath, organization_paths

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change


class Departure(NamedTuple):
    """The organizations that an object leaves, as the owner or as the learner's; None for one that stays."""

    owner: Any
    learner: Any

    @property
    def organizations(self) -> EventOrganizations:
        """The organizations of the event about it, which needs an owner."""
        return EventOrganizations(self.learner if self.owner is None else self.owner, self.learner)


class _OrganizationColumn(NamedTuple):
    """The canonical name of the row's value from which ``path`` leads to one of its organizations."""

    name: str
    path: OrganizationPath


def departures(source: Source, changes: Sequence[Change], *, using: str) -> dict[int, Departure]:
    """Return the organizations that objects leave, by the index of the change.

    An organization can leave one role and keep the other: a class that changes its owner may keep its learners.

    Only a source whose paths to its organizations SQL can follow has departures. Takes a query only where an object may
    have moved.
    """
    if OWNER in source.computed:
        moved = [index for index, change in enumerate(changes) if change.before and OWNER in change.changed]
        owners = {index: changes[index].before.get(OWNER) for index in moved}
        return {index: Departure(owner, None) for index, owner in owners.items() if owner is not None}
    columns = _organization_columns(source)
    moved = [index for index, change in enumerate(changes) if _may_have_moved(change, columns)]
    if not moved:
        return {}
    before = [_keys_before(source, column, [changes[index] for index in moved], using=using) for column in columns]
    found = {}
    for index, *keys in zip(moved, *before, strict=True):
        after = organizations_of(changes[index].after) or EventOrganizations(None)
        owner, learner = keys[0], keys[0] if source.owned_by_learner else after.learner
        if len(keys) > 1:
            learner = keys[1]
        departure = Departure(None if owner == after.owner else owner, None if learner == after.learner else learner)
        if departure != Departure(None, None):
            found[index] = departure
    return found


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
    return event_row(event_type, content, values, subject=subject, occurred_at=change.now, strict=strict_payloads())


def _may_have_moved(change: Change, columns: Sequence[_OrganizationColumn]) -> bool:
    return bool(change.before and change.after) and any(column.name in change.changed for column in columns)


@cache
def _organization_columns(source: Source) -> tuple[_OrganizationColumn, ...]:
    """Return the values of the row that lead to the owner and to the learner's organization; empty where one is not mapped."""
    names = {mapped.lookup: name for name, mapped in source.own.items()}
    paths = organization_paths(source)
    if any(path.column not in names for path in paths):
        return ()
    return tuple(_OrganizationColumn(names[path.column], path) for path in paths)


def _keys_before(
    source: Source, column: _OrganizationColumn, changes: Sequence[Change], *, using: str
) -> Iterator[Any]:
    """Yield the key of the organization that each object had by one of its columns."""
    values = [change.before.get(column.name) for change in changes]
    if not column.path.onward:
        yield from values
        return
    reference: Any = source.model._meta.get_field(column.path.column)
    rows: models.QuerySet[Any] = models.QuerySet(reference.related_model, using=using)
    target = reference.target_field.attname
    known = dict(rows.filter(**{f"{target}__in": set(values)}).values_list(target, column.path.onward))
    yield from (known.get(value) for value in values)


def external_ids(source: Source, organizations: Collection[Any], *, using: str) -> dict[Any, Any]:
    """Return the external ids of organizations, by their keys, from the attribute that the source maps."""
    path = source.paths.get("organization.external_id")
    name = app_settings.ORGANIZATION_FIELDS.get("external_id", "external_id")
    if isinstance(path, str) and isinstance(source.organization, str):
        beginning = f"{source.organization}."
        name = path.removeprefix(beginning) if path.startswith(beginning) else ""
    model: Any = Event._meta.get_field("organization").related_model
    found = model._base_manager.using(using).in_bulk(set(organizations)) if name else {}
    return {key: follow_value_or_none(organization, name) for key, organization in found.items()}
