"""Records the events that a change means: plans them, leaves out those without a subscription, writes their rows.

Everything happens in the caller's transaction, so that the change and its events commit or roll back together.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import Error

from tms_webhooks import signals
from tms_webhooks.conf import strict_payloads
from tms_webhooks.models import Event
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.outbox import folding, insert, moves, ownerless, owners
from tms_webhooks.outbox.event_row import collect, planned_event_row
from tms_webhooks.outbox.subscribed import matching_types_by_organizations, organizations_of
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


# An event that is planned, with the index of the change that it is an event of.
Indexed: TypeAlias = tuple[int, "PlannedEvent"]
# Event types by the organizations that subscribe to them.
Subscribed: TypeAlias = Mapping[EventOrganizations, Collection[str]]


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
    if all(change.is_empty for change in changes):
        return recorded
    may_lack_owner = ownerless.may_lack_owner(source)
    if may_lack_owner:
        ownerless.keep(source, changes, using=using)
    indexes, left = list(range(len(changes))), dict[int, list[Any]]()
    if source.owners is not None:
        wanted = None
        if may_lack_owner:
            changes = ownerless.with_first_ones(source, changes, using=using)
        owners.add_owner_values(
            source, (values for change in changes for values in (change.before, change.after)), using=using
        )
        by_owner, left = owners.changes_by_owner(changes)
        indexes, changes_of_owners = [index for index, _change in by_owner], [change for _index, change in by_owner]
    else:
        changes_of_owners = list(changes)
    marked, moved = moves.with_moves(changes_of_owners)
    departed = [(index, moves.Departure(key, None)) for index, keys in left.items() for key in keys]
    departed += [(indexes[position], departure) for position, departure in moved.items()]
    departures = _departure_rows(source, changes, departed, using=using) if departed else []
    subscribed = _subscribed(source, marked, using=using, wanted=wanted)
    if subscribed and may_lack_owner and source.owners is None:
        # After the departures of an object that was kept: the organization that it leaves may know it.
        marked = ownerless.with_first_ones(source, marked, using=using)
    folded, planned_events = _planned(source, marked, subscribed, using=using, found_later=found_later)
    new = [(indexes[position], event) for position, event in _new_rows(source, marked, planned_events, using=using)]
    insert_rows([event for _index, event in (*departures, *new)], using=using)
    for index, event in (*departures, *new, *((indexes[position], event) for position, event in folded)):
        recorded[index].append(event)
    return recorded


def record_planned(
    source: Source,
    changes: Sequence[Change],
    planned_events: Sequence[Indexed],
    *,
    using: str,
    subscription_id: int | None = None,
) -> list[Event]:
    """Record planned events, unless they were recorded before; return their rows.

    The caller has checked that a subscription matches each of them.
    """
    rows = _new_rows(source, changes, planned_events, using=using, subscription_id=subscription_id)
    return insert_rows([event for _index, event in rows], using=using)


def insert_rows(events: list[Event], *, using: str) -> list[Event]:
    """Insert the rows of events, send `event_recorded` for each, wake a drain on commit, and return them."""
    if not events:
        return events
    insert.insert(events, using=using)
    if signals.event_recorded.app_receiver is not None or signals.event_recorded.has_listeners(Event):
        if len(events) > 1:
            uids = [event.uid for event in events]
            events = list(Event.objects.using(using).filter(uid__in=uids).order_by("pk"))
        for event in events:
            signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
    return events


def _departure_rows(
    source: Source, changes: Sequence[Change], departed: Sequence[tuple[int, moves.Departure]], *, using: str
) -> list[tuple[int, Event]]:
    """Return the events of departures that a subscription matches, each with the index of its change."""
    event_type = moves.update_type(source)
    if event_type is None:
        return []
    organizations = {departure.organizations for _index, departure in departed}
    wanted = matching_types_by_organizations(organizations, [event_type], using=using)
    external_ids = moves.external_ids(source, [one.owner for one in wanted], using=using)
    return [
        (index, moves.departure_row(source, event_type, changes[index], departure, external_ids))
        for index, departure in departed
        if departure.organizations in wanted
    ]


def _subscribed(source: Source, changes: Sequence[Change], *, using: str, wanted: Collection[str] | None) -> Subscribed:
    """Return the subscribed event types by the organizations of changes; those without any are left out."""
    organizations = {organizations_of(change.values) for change in changes if not change.is_empty}
    known = {one for one in organizations if one is not None}
    if wanted is None:
        return matching_types_by_organizations(known, source.event_types, using=using) if known else {}
    return dict.fromkeys(known, wanted) if wanted else {}


def _planned(
    source: Source, changes: Sequence[Change], subscribed: Subscribed, *, using: str, found_later: bool
) -> tuple[list[tuple[int, Event]], list[Indexed]]:
    """Return the earlier events into which updates were folded, and the planned events; both with their change's index."""
    plan = sorted(_plan_events(source, changes, subscribed, using=using), key=itemgetter(0))
    for _index, planned, _is_wanted in plan if found_later else ():
        planned.repeated = False
    folded = folding.fold(source, changes, [(index, planned) for index, planned, _is_wanted in plan], using=using)
    new = [
        (index, planned)
        for position, (index, planned, is_wanted) in enumerate(plan)
        if is_wanted and position not in folded
    ]
    return [(plan[position][0], event) for position, event in folded.items()], new


def _plan_events(
    source: Source, changes: Sequence[Change], subscribed: Subscribed, *, using: str
) -> Iterable[tuple[int, PlannedEvent, bool]]:
    """Yield the events, each with the index of its change and whether a subscription matches it.

    Events that no subscription matches are yielded only if they can be folded into others.
    """
    indexes = [index for index, change in enumerate(changes) if subscribed and not change.is_empty]
    # Sources may lock rows to plan their events: one order, so that two transactions don't deadlock.
    for index in sorted(indexes, key=lambda index: str(changes[index].after.get(source._lock_order))):
        organizations = organizations_of(changes[index].values)
        types = subscribed.get(organizations) if organizations is not None else None
        if types:
            planned_events: list[PlannedEvent] = []
            with LogSourceErrors(source):
                planned_events = list(source.events_for(changes[index]))
            for planned in planned_events:
                is_wanted = planned.event_type in types
                if is_wanted or folding.can_fold(source, planned, changes[index], using=using):
                    yield index, planned, is_wanted


def _new_rows(
    source: Source,
    changes: Sequence[Change],
    planned_events: Sequence[Indexed],
    *,
    using: str,
    subscription_id: int | None = None,
) -> list[tuple[int, Event]]:
    """Return the unsaved rows of planned events with the indexes of their changes.

    An event whose ``once`` key was recorded before, or occurs a second time, is left out, unless it is repeated.
    """
    deadlines = {planned.once: planned.deadline for _index, planned in planned_events if planned.once}
    new = insert.record_first_times(deadlines, now=changes[0].now, using=using) if deadlines else set()
    rows: list[tuple[int, Event]] = []
    for index, planned in planned_events:
        if planned.once and planned.once not in new and not planned.repeated:
            continue
        new.discard(planned.once)
        with LogSourceErrors(source):
            event = planned_event_row(source, planned, changes[index], subscription_id=subscription_id)
            folding.remember(event, planned, changes[index], using=using)
            rows.append((index, event))
    return rows
