"""Records the events that a change means: plans them, leaves out those without a subscription, writes their rows.

Everything happens in the caller's transaction, so that the change and its events commit or roll back together.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

from django.db import Error

from tms_webhooks import signals
from tms_webhooks.conf import strict_payloads
from tms_webhooks.models import Event, Occurrence
from tms_webhooks.outbox import folding, insert, moves, ownerless, owners
from tms_webhooks.outbox.event_row import collect, planned_event_row
from tms_webhooks.outbox.subscribed import matching_types, matching_types_by_organizations, organizations_of
from tms_webhooks.outbox.wake import wake_on_commit

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change, PlannedEvent

logger = logging.getLogger(__name__)


class LogSourceErrors:
    """Log errors in the host's declaration of a source, so that they don't break the host's write.

    Database errors are raised: they break the transaction, and the change is rolled back with its event.
    Under DEBUG and in tests every error is raised. (A class, because every save enters it: it is faster.)
    """

    __slots__ = ("source",)

    def __init__(self, source: Source) -> None:
        self.source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, Error) or strict_payloads():
            return False
        collect(error)
        label = self.source.model._meta.label
        logger.error("A change of %s could not be turned into an event.", label, exc_info=error)
        return True


# One change


def record_change(source: Source, change: Change, *, using: str, wanted: Collection[str] | None = None) -> list[Event]:
    """Record every event that ``change`` means and that a subscription matches; return their rows.

    ``wanted`` are the event types that the object's organizations subscribe to; without it they are queried. An event
    whose payload can't be built is recorded with the error instead of a body; under DEBUG and in tests the error is
    raised.
    """
    if change.is_empty:
        return []
    if source.owners is not None:
        return record_changes(source, [change], using=using)[0]
    ownerless.keep(source, [change], using=using)
    (change,), departures = _record_departures(source, [change], using=using)
    recorded = list(departures.values())
    if wanted is None:
        wanted = matching_types(source.event_types, organizations_of(change.values), using=using)
    if not wanted:
        return recorded
    (change,) = ownerless.with_first_ones(source, [change], using=using)
    for planned in source.events_for(change):
        if folded := folding.fold(source, [change], [(0, planned)], using=using):
            recorded.append(folded[0])
        elif planned.event_type in wanted:
            event = _record_once(source, planned, change, using=using)
            recorded += [] if event is None else [event]
    return recorded


def record_planned(
    source: Source, planned: PlannedEvent, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    """Record one planned event; return None where no subscription matches it or it was recorded before."""
    if not matching_types([planned.event_type], organizations_of(change.values), using=using):
        return None
    return _record_once(source, planned, change, using=using, subscription_id=subscription_id)


def _record_once(
    source: Source, planned: PlannedEvent, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    if planned.once:
        is_first = Occurrence.objects.record_first_time(
            planned.once, now=change.now, deadline=planned.deadline, using=using
        )
        if not (is_first or planned.repeated):
            return None
    event = planned_event_row(source, planned, change, subscription_id=subscription_id)
    folding.remember(source, event, planned, change, using=using)
    return record_row(event, using=using)


def record_row(event: Event, *, using: str) -> Event:
    """Insert the row of an event, send `event_recorded`, and wake a drain on commit."""
    insert.insert_one(event, using=using)
    signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
    return event


# Changes of many objects


def record_changes(
    source: Source, changes: Sequence[Change], *, using: str, found_later: bool = False
) -> list[list[Event]]:
    """Record the events of changes of different objects; return the rows of each change, without their keys.

    Has the effect of `record_change` for one after the other, in a few statements for all. Of changes that were
    ``found_later``, a scan may have recorded an event already: it is not repeated.
    """
    ownerless.keep(source, changes, using=using)
    if source.owners is not None:
        changes = ownerless.with_first_ones(source, changes, using=using)
        return _record_for_owners(source, changes, using=using, found_later=found_later)
    # Before an object that was kept counts as new: the organization that it leaves may know it.
    changes, departures = _record_departures(source, changes, using=using)
    changes = ownerless.with_first_ones(source, changes, using=using)
    recorded = _record_changes(source, changes, using=using, found_later=found_later)
    for index, event in departures.items():
        recorded[index].insert(0, event)
    return recorded


def _record_for_owners(
    source: Source, changes: Sequence[Change], *, using: str, found_later: bool
) -> list[list[Event]]:
    """Record the events of objects with several owners: those of each owner."""
    states = (values for change in changes for values in (change.before, change.after))
    owners.add_owner_values(source, states, using=using)
    by_owner, left = owners.changes_by_owner(changes)
    recorded: list[list[Event]] = [[] for _change in changes]
    marked, learners = moves.with_moves([change for _index, change in by_owner])
    departed = [(index, moves.Departure(organization, None)) for index, keys in left.items() for organization in keys]
    departed += [(by_owner[position][0], departure) for position, departure in learners.items()]
    for (index, _departure), event in zip(
        departed, _departure_rows(source, changes, departed, using=using), strict=True
    ):
        if event is not None:
            recorded[index].append(event)
    events = _record_changes(source, marked, using=using, found_later=found_later)
    for (index, _change), found in zip(by_owner, events, strict=True):
        recorded[index] += found
    return recorded


def _record_changes(source: Source, changes: Sequence[Change], *, using: str, found_later: bool) -> list[list[Event]]:
    plan = sorted(_plan_events(source, changes, using=using), key=itemgetter(0))
    for _index, planned, _wanted in plan if found_later else ():
        planned.repeated = False
    folded = folding.fold(source, changes, [(index, planned) for index, planned, _wanted in plan], using=using)
    new = [
        (index, planned) for position, (index, planned, wanted) in enumerate(plan) if wanted and position not in folded
    ]
    recorded = record_planned_events(source, changes, new, using=using)
    for position, event in folded.items():
        recorded[plan[position][0]].append(event)
    return recorded


def _record_departures(
    source: Source, changes: Sequence[Change], *, using: str
) -> tuple[list[Change], dict[int, Event]]:
    """Record the events for organizations that objects leave; return the changes, marked as moved, and those events.

    The events are returned by the indexes of their changes.
    """
    marked, left = moves.with_moves(changes)
    events = zip(left, _departure_rows(source, changes, list(left.items()), using=using), strict=True)
    return marked, {index: event for index, event in events if event is not None}


def _departure_rows(
    source: Source, changes: Sequence[Change], departed: Sequence[tuple[int, moves.Departure]], *, using: str
) -> list[Event | None]:
    """Record the events of departures, each with the index of its change; None where no subscription matches."""
    event_type = moves.update_type(source)
    if event_type is None or not departed:
        return [None] * len(departed)
    organizations = {departure.organizations for _index, departure in departed}
    wanted = matching_types_by_organizations(organizations, [event_type], using=using)
    external_ids = moves.external_ids(source, [one.owner for one in wanted], using=using)
    rows = [
        moves.departure_row(source, event_type, changes[index], departure, external_ids)
        if departure.organizations in wanted
        else None
        for index, departure in departed
    ]
    _record_rows(source, [row for row in rows if row is not None], using=using)
    return rows


def record_planned_events(
    source: Source, changes: Sequence[Change], planned_events: list[tuple[int, PlannedEvent]], *, using: str
) -> list[list[Event]]:
    """Record these events, each with the index of its change in ``changes``; return the rows of each change.

    The caller has checked that a subscription matches each of them.
    """
    recorded: list[list[Event]] = [[] for _change in changes]
    for index, planned in _not_yet_recorded(planned_events, changes, using=using):
        with LogSourceErrors(source):
            event = planned_event_row(source, planned, changes[index])
            folding.remember(source, event, planned, changes[index], using=using)
            recorded[index].append(event)
    _record_rows(source, [event for events in recorded for event in events], using=using)
    return recorded


def _plan_events(source: Source, changes: Sequence[Change], *, using: str) -> Iterable[tuple[int, PlannedEvent, bool]]:
    """Yield the events, each with the index of its change and whether a subscription matches it.

    Events that no subscription matches are yielded only if they can be folded into others.
    """
    organizations_by_change = {
        n: organizations_of(change.values) for n, change in enumerate(changes) if not change.is_empty
    }
    known = {organizations for organizations in organizations_by_change.values() if organizations is not None}
    subscribed = matching_types_by_organizations(known, source.event_types, using=using) if known else {}
    # Sources may lock rows to plan their events: one order, so that two transactions don't deadlock.
    for index, organizations in sorted(
        organizations_by_change.items(), key=lambda item: str(changes[item[0]].after.get(source._lock_order))
    ):
        types = subscribed.get(organizations) if organizations is not None else None
        if types:
            planned_events: list[PlannedEvent] = []
            with LogSourceErrors(source):
                planned_events = list(source.events_for(changes[index]))
            for planned in planned_events:
                wanted = planned.event_type in types
                if wanted or folding.can_fold(source, planned, changes[index], using=using):
                    yield index, planned, wanted


def _not_yet_recorded(
    planned_events: list[tuple[int, PlannedEvent]], changes: Sequence[Change], *, using: str
) -> list[tuple[int, PlannedEvent]]:
    """Leave out events whose ``once`` key was recorded before, or occurs a second time in the list, unless repeated."""
    deadlines = {planned.once: planned.deadline for _index, planned in planned_events if planned.once}
    new = insert.record_first_times(deadlines, now=changes[0].now, using=using) if deadlines else set()
    kept = []
    for index, planned in planned_events:
        if planned.once and planned.once not in new and not planned.repeated:
            continue
        new.discard(planned.once)
        kept.append((index, planned))
    return kept


def _record_rows(source: Source, events: Sequence[Event], *, using: str) -> None:
    """Insert the rows of many events, send `event_recorded` for each, and wake a drain on commit."""
    if not events:
        return
    subjects = [(event.subject_type, owners.sequence_key(source, event)) for event in events]
    counts = Counter(subjects)
    last = insert.advance(counts, using=using)
    following = {subject: last[subject] - many for subject, many in counts.items()}
    for event, subject in zip(events, subjects, strict=True):
        following[subject] += 1
        insert.set_sequence(event, following[subject])
    insert.insert_many(events, using=using)
    if signals.event_recorded.has_listeners(Event):
        for event in Event.objects.using(using).filter(uid__in=[event.uid for event in events]).order_by("pk"):
            signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
