"""Records the events that a change means: plans them, leaves out those without a subscription, writes their rows.

Everything happens in the caller's transaction, so that the change and its events commit or roll back together.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from django.db import Error

from tms_webhooks import signals
from tms_webhooks.conf import strict_payloads
from tms_webhooks.models import Event
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.outbox import folding, owners
from tms_webhooks.outbox.event_row import collect, insert, planned_event_row, record_first_times
from tms_webhooks.outbox.folding import Planned
from tms_webhooks.outbox.owners import Departure, Part
from tms_webhooks.outbox.subscribed import matching_types_by_organizations, organizations_of
from tms_webhooks.outbox.wake import wake_on_commit

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change, PlannedEvent

logger = logging.getLogger(__name__)

# Rows of events, each with the index of its change.
Rows: TypeAlias = list[tuple[int, Event]]


def log_source_error(source: Source, error: Exception) -> None:
    """Log an error in the host's declaration of a source, so that it doesn't break the host's write.

    Database errors are raised: they break the transaction, and the change is rolled back with its event.
    Under DEBUG and in tests every error is raised.
    """
    if isinstance(error, Error) or strict_payloads():
        raise error
    collect(error)
    label = source.model._meta.label
    logger.error("A change of %s could not be turned into an event.", label, exc_info=error)


@contextmanager
def source_errors_logged(source: Source) -> Iterator[None]:
    """Pass the errors of the block to `log_source_error`."""
    try:
        yield
    except Exception as error:
        log_source_error(source, error)


def record_changes(
    source: Source,
    changes: Sequence[Change],
    *,
    using: str,
    wanted: Collection[str] | None = None,
    found_later: bool = False,
) -> list[list[Event]]:
    """Record the events of changes of different objects that a subscription matches; return the rows of each change.

    ``wanted`` are the event types that the objects' organizations subscribe to, if the caller knows them. An event whose
    payload can't be built is recorded with the error instead of a body; under DEBUG and in tests the error is raised.
    Of changes that were ``found_later``, a scan may have recorded an event already: it is not repeated.
    """
    recorded: list[list[Event]] = [[] for _change in changes]
    parts = [Part(index, change) for index, change in enumerate(changes) if not change.is_empty]
    if not parts:
        return recorded
    may_lack_owner = owners.may_lack_owner(source)
    if may_lack_owner:
        owners.keep_ownerless(source, [part.change for part in parts], using=using)
    if source.owners is not None:
        wanted = None
        if may_lack_owner:
            parts = owners.with_first_owners(source, parts, using=using)
        parts, departures = owners.split_by_owner(source, parts, using=using)
    else:
        departures = []
    if any(not owners.ORGANIZATIONS.isdisjoint(part.change.changed) for part in parts):
        parts, moved = owners.with_moves(parts)
        departures = [*departures, *moved]
    new = _departure_rows(source, departures, using=using) if departures else []
    subscribed = _subscribed(source, parts, using=using, wanted=wanted)
    if subscribed and may_lack_owner and source.owners is None:
        # After the departures of an object that was kept: the organization that it leaves may know it.
        parts = owners.with_first_owners(source, parts, using=using)
    planned = _planned(source, parts, subscribed, using=using, found_later=found_later)
    folded = folding.fold(source, planned, using=using)
    kept = [one for position, one in enumerate(planned) if one.is_wanted and position not in folded]
    new += _new_rows(source, kept, using=using)
    insert_rows([event for _index, event in new], using=using)
    for index, event in (*new, *((planned[position].part.position, event) for position, event in folded.items())):
        recorded[index].append(event)
    return recorded


def record_planned(
    source: Source, change: Change, planned: PlannedEvent, *, using: str, subscription_id: int | None = None
) -> bool:
    """Record a planned event that a subscription matches, unless it was recorded before; return whether it was not."""
    one = Planned(Part(0, change), planned, is_wanted=True)
    rows = _new_rows(source, [one], using=using, subscription_id=subscription_id)
    return bool(insert_rows([event for _index, event in rows], using=using))


def insert_rows(events: list[Event], *, using: str) -> list[Event]:
    """Insert the rows of events, send `event_recorded` for each, wake a drain on commit, and return them."""
    if not events:
        return events
    insert(events, using=using)
    if signals.event_recorded.app_receiver is not None or signals.event_recorded.has_listeners(Event):
        if len(events) > 1:
            uids = [event.uid for event in events]
            events = list(Event.objects.using(using).filter(uid__in=uids).order_by("pk"))
        for event in events:
            signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
    return events


def _departure_rows(source: Source, departures: Sequence[tuple[Change, int, Departure]], *, using: str) -> Rows:
    """Return the events of departures that a subscription matches, each with the index of its change."""
    event_type = next(iter(folding.update_types(source)), None)
    if event_type is None:
        return []
    organizations = {departure.organizations for _change, _index, departure in departures}
    wanted = matching_types_by_organizations(organizations, [event_type], using=using)
    external_ids = owners.external_ids(source, [one.owner for one in wanted], using=using)
    return [
        (index, owners.departure_row(source, event_type, change, departure, external_ids))
        for change, index, departure in departures
        if departure.organizations in wanted
    ]


def _subscribed(
    source: Source, parts: Sequence[Part], *, using: str, wanted: Collection[str] | None
) -> Mapping[EventOrganizations, Collection[str]]:
    """Return the subscribed event types by the organizations of changes; those without any are left out."""
    if wanted is not None and not wanted:
        return {}
    known = {one for part in parts if (one := organizations_of(part.change.values)) is not None}
    if wanted is None:
        return matching_types_by_organizations(known, source.event_types, using=using) if known else {}
    return dict.fromkeys(known, wanted)


def _planned(
    source: Source,
    parts: Sequence[Part],
    subscribed: Mapping[EventOrganizations, Collection[str]],
    *,
    using: str,
    found_later: bool,
) -> list[Planned]:
    """Return the events of changes in their order; of those that no subscription matches, only those that can be folded."""
    planned: list[Planned] = []
    # Sources may lock rows to plan their events: one order, so that two transactions don't deadlock.
    in_order = sorted(parts, key=lambda part: str(part.change.after.get(source._lock_order))) if parts[1:] else parts
    for part in in_order if subscribed else ():
        organizations = organizations_of(part.change.values)
        types = subscribed.get(organizations) if organizations is not None else None
        if not types:
            continue
        try:
            events = list(source.events_for(part.change))
        except Exception as error:
            log_source_error(source, error)
            continue
        for event in events:
            if found_later:
                event.repeated = False
            one = Planned(part, event, event.event_type in types)
            if one.is_wanted or folding.can_fold(source, one, using=using):
                planned.append(one)
    return sorted(planned, key=attrgetter("part.position"))


def _new_rows(source: Source, planned: Sequence[Planned], *, using: str, subscription_id: int | None = None) -> Rows:
    """Return the unsaved rows of planned events with the indexes of their changes.

    An event whose ``once`` key was recorded before, or occurs a second time, is left out, unless it is repeated.
    """
    deadlines = {one.event.once: one.event.deadline for one in planned if one.event.once}
    new = record_first_times(deadlines, now=planned[0].part.change.now, using=using) if deadlines else set()
    rows: Rows = []
    for part, event, _is_wanted in planned:
        if event.once and event.once not in new and not event.repeated:
            continue
        new.discard(event.once)
        try:
            row = planned_event_row(source, event, part.change, subscription_id=subscription_id)
            folding.remember(row, event, part.change, using=using)
            rows.append((part.position, row))
        except Exception as error:
            log_source_error(source, error)
    return rows
