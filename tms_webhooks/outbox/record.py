"""Records the events that a change means: plans them, leaves out those without a subscription, writes their rows.

Everything happens in the caller's transaction, so that the change and its events commit or roll back together.

An update is folded into the event of the same object that was recorded before it in the same transaction. One act of a
user is often several writes: a form saves a class, then its instructors. The receiver gets one event with the final
data. Only updates are folded: two changes of a status stay two events.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from django.db import Error, connections, models, transaction
from django.db.models import Q

from tms_webhooks import catalogue, sharing, signals
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.django_private import delete_without_signals, on_commit_functions, transaction_block
from tms_webhooks.db.prepared import CompiledQuery, Parameter
from tms_webhooks.event_names import UPDATED
from tms_webhooks.models import Event, Occurrence, Subscription, Webhook
from tms_webhooks.models.audience import EventOrganizations, SubscriberScope, patterns_by_organizations
from tms_webhooks.models.event import owned_key, subject_key
from tms_webhooks.outbox import owners
from tms_webhooks.outbox.event_row import (
    event_row,
    insertion_of,
    label,
    learner_organization_of,
    organizations_of,
    remaining_changes,
)
from tms_webhooks.outbox.owners import Part
from tms_webhooks.outbox.wake import waker
from tms_webhooks.payloads.envelope import FIRST_SEQUENCE, build_content, from_text, to_text
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.interest import subscribed_types
from tms_webhooks.sources.mapping import Values
from tms_webhooks.sources.rules import Change, PlannedEvent

logger = logging.getLogger(__name__)

# The objects of one transaction that are remembered: about 20 MB. Updates of older ones are recorded as events.
MOST_SUBJECTS = 50_000
# The columns that change when an update is folded into an event.
FOLDED = ("body", "external_id", "subject_name", "searched_name")
# Events whose bodies are written together.
BATCH = 200


class Planned(NamedTuple):
    """An event that a source makes of a change, and whether a subscription matches it."""

    part: Part
    event: PlannedEvent
    is_wanted: bool = True
    earlier: _Recorded | None = None
    """The event into which this one can be folded."""


# Planned events with their rows, which are not saved yet.
PlannedRows: TypeAlias = list[tuple[Planned, Event]]


class _Recorded(NamedTuple):
    """The newest event of an object in this transaction."""

    uid: UUID
    organizations: tuple[Any, Any]
    created: bool
    omit_personal: bool


class _RecordedEvents(dict[tuple[str, str], _Recorded]):
    """The newest event of each object in one transaction, by the type and the key of the object.

    It is called on commit, so that it ends with the transaction. ``block`` is that of the transaction.
    """

    block: tuple[Any, str | None]

    def __call__(self) -> None:
        self.clear()


class _Failures(threading.local):
    """How many errors this thread has logged by `log_source_error`."""

    count = 0


_thread = _Failures()


def failures() -> int:
    """Return how many errors this thread has logged by `log_source_error`."""
    return _thread.count


def log_source_error(source: Source, error: Exception) -> None:
    """Log an error in the host's declaration of a source, so that it doesn't break the host's write.

    Database errors are raised: they break the transaction, and the change is rolled back with its event.
    Under DEBUG and in tests every error is raised.
    """
    if isinstance(error, Error) or strict_payloads():
        raise error
    _thread.count += 1
    logger.error("A change of %s could not be turned into an event.", source.model._meta.label, exc_info=error)


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
    wanted: Collection[str] | None = None,
    found_later: bool = False,
    moves_only: bool = False,
) -> list[list[Event]]:
    """Record the events of changes of different objects that a subscription matches; return the rows of each change.

    ``wanted`` are the event types that the objects' organizations subscribe to, if the caller knows them. An event whose
    payload can't be built is recorded with the error instead of a body; under DEBUG and in tests the error is raised.
    Of changes that were ``found_later``, a scan may have recorded an event already: it is not repeated. With
    ``moves_only``, the objects' organizations alone have changed, with another object that moved.
    """
    recorded: list[list[Event]] = [[] for _change in changes]
    parts = [Part(index, change) for index, change in enumerate(changes) if moves_only or not change.is_empty]
    if not parts:
        return recorded
    using = changes[0].using
    may_lack_owner = owners.may_lack_owner(source)
    if may_lack_owner:
        owners.keep_ownerless(source, [part.change for part in parts])
    changed = {name for part in parts for name in part.change.changed}
    if is_split := moves_only or source.owners is not None or not changed.isdisjoint(owners.ORGANIZATIONS):
        split, wanted = owners.by_organization(source, parts), None
        parts = [part for part in split if part.move or not moves_only]
    else:
        unowned = EventOrganizations(None) if source.owner is None else None
        parts = [part._replace(organizations=organizations_of(part.change.values) or unowned) for part in parts]
    known = {part.organizations for part in parts if part.organizations is not None}
    subscribed: Mapping[EventOrganizations, Collection[str]] = dict.fromkeys(known, wanted) if wanted else {}
    if source.shared_fields and (elsewhere := sharing.types_elsewhere(source, parts, known, using=using)):
        # What the owner doesn't subscribe to is recorded, too: the worker looks for the others.
        subscribed = dict.fromkeys(known, elsewhere)
    elif wanted is None:
        subscribed = matching_types_by_organizations(known, source.event_types, using=using)
    if not subscribed:
        return recorded
    if may_lack_owner and not is_split:
        parts = owners.with_first_owners(source, parts)
    events = _recorded_events(using)
    to_build = _planned(source, parts, subscribed, events, found_later=found_later)
    stored: Mapping[UUID, Event] = {}
    if events:
        to_build, stored = _with_earlier(to_build, using=using)
    rows = _rows(source, to_build, using=using)
    # An update whose payload can't be built is an event of its own.
    updates = [(planned.earlier, row) for planned, row in rows if planned.earlier is not None and row.body]
    folded = _fold(updates, stored, using=using) if updates else {}
    new = [(planned, row) for planned, row in rows if planned.is_wanted and row.uid not in folded]
    if events is not None:
        _remember(new, events)
    insert_rows([row for _planned, row in new], using=using)
    for planned, row in rows:
        if planned.is_wanted or row.uid in folded:
            recorded[planned.part.position].append(folded.get(row.uid, row))
    return recorded


def record_planned(source: Source, change: Change, planned: PlannedEvent) -> bool:
    """Record a planned event that a subscription matches, unless it was recorded before; return whether it was not."""
    rows = _rows(source, [Planned(Part(0, change), planned)], using=change.using)
    return bool(insert_rows([row for _planned, row in rows], using=change.using))


def insert_rows(events: list[Event], *, using: str) -> list[Event]:
    """Insert the rows of events, send `event_recorded` for each, wake a drain on commit, and return them."""
    if not events:
        return events
    insertion_of(events, using=using)()
    if signals.event_recorded.app_receiver is not None or signals.event_recorded.has_listeners(Event):
        for event in events:
            signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
    return events


def _planned(
    source: Source,
    parts: Iterable[Part],
    subscribed: Mapping[EventOrganizations, Collection[str]],
    earlier_events: _RecordedEvents | None,
    *,
    found_later: bool,
) -> list[Planned]:
    """Return the events of changes in their order; of those that no subscription matches, only those that can be folded.

    ``subscribed`` are the event types that their organizations subscribe to.
    """
    planned: list[Planned] = []
    shared = set[int]()
    # Sources may lock rows to plan their events: one order, so that two transactions don't deadlock.
    for part in sorted(parts, key=lambda one: str(one.change.after.get(source._lock_order))):
        types = subscribed.get(part.organizations)
        if not types:
            continue
        if not part.may_fold:
            shared.add(part.position)
        try:
            events = [PlannedEvent(part.move)] if part.move else list(source.events_for(part.change))
        except Exception as error:
            log_source_error(source, error)
            continue
        for event in events:
            if found_later:
                event.repeated = False
            earlier, is_update = None, event.event_type.endswith(UPDATED)
            # One with a key can't be undone. An update after a move is also for those that see the object all along.
            is_apart = event.once if is_update else part.move and part.position in shared
            kept = part._replace(may_fold=False) if is_apart else part
            if earlier_events and kept.may_fold and is_update:
                earlier = _earlier(earlier_events, source, event, part.change.values)
            if event.event_type in types or earlier is not None:
                planned.append(Planned(kept, event, event.event_type in types, earlier))
    return sorted(planned, key=attrgetter("part.position"))


def _rows(source: Source, planned: Sequence[Planned], *, using: str) -> PlannedRows:
    """Return planned events with their unsaved rows.

    An event whose ``once`` key was recorded before, or occurs a second time, is left out, unless it is repeated.
    """
    deadlines = {one.event.once: one.event.deadline for one in planned if one.event.once}
    # In the order of keys, so that two transactions don't deadlock.
    new = {
        key
        for key, deadline in sorted(deadlines.items())
        if Occurrence.objects.record_first_time(key, now=planned[0].part.change.now, deadline=deadline, using=using)
    }
    rows: PlannedRows = []
    left = {one.part.organizations.owner for one in planned if one.part.move}
    external_ids = owners.external_ids_of(left, using=using) if left else {}
    for one in planned:
        part, event = one.part, one.event
        if event.once and event.once not in new and not event.repeated:
            continue
        new.discard(event.once)
        try:
            if part.move:
                part = owners.side_of(part, external_ids)
            event_type = catalogue.get(event.event_type)
            content = partial(
                build_content, part.change, event_type, extra=event.extra, omit_personal=event.omit_personal
            )
            row = event_row(
                event_type,
                content,
                part.change.values,
                subject_id=event.subject_id or part.change.values["id"],
                occurred_at=part.change.now,
                strict=strict_payloads(),
                subscription_id=event.subscription_id,
                source=source,
            )
            if part.organizations is not None and part.organizations.other is not None:
                row.other_organization_id, row.other_learner_organization_id, *_more = part.organizations.other
            rows.append((one._replace(part=part), row))
        except Exception as error:
            log_source_error(source, error)
    return rows


# Subscriptions


def is_subscribed(event_type: str, organizations: EventOrganizations | None, *, using: str) -> bool:
    """Return whether a webhook of these organizations subscribes to an event type, also one that is disabled now."""
    known = [] if organizations is None else [organizations]
    return bool(matching_types_by_organizations(known, (event_type,), using=using))


def matching_types_by_organizations(
    organizations: Collection[EventOrganizations], event_types: Collection[str], *, using: str
) -> dict[EventOrganizations, set[str]]:
    """Return the subscribed event types of many objects, by their organizations; those without any are left out.

    Takes one query, and a second one where subscriptions include child organizations.
    """
    if not organizations:
        return {}
    if len(organizations) == 1:
        ((owner, learner, *_other),) = organizations
        rows = _query_of_two(tuple(event_types), using).run(owner, owner if learner is None else learner)
    else:
        keys = {key for one in organizations for key in one.keys}
        rows = list(_scopes(event_types, Q(webhook__organization_id__in=keys), using=using))
    scopes = [(SubscriberScope(*scope), pattern) for pattern, *scope in rows]
    found = patterns_by_organizations(organizations, scopes, using=using)
    return {one: names for one, patterns in found.items() if (names := subscribed_types(event_types, patterns))}


@cache
def _query_of_two(event_types: tuple[str, ...], using: str) -> CompiledQuery:
    """Build the query for the subscriptions of an owner and a learner's organization, whose keys are parameters."""
    key = Webhook._meta.get_field("organization")
    of_both = Q(webhook__organization_id=Parameter(key)) | Q(webhook__organization_id=Parameter(key, 1))
    return CompiledQuery(_scopes(event_types, of_both, using=using))


def _scopes(event_types: Collection[str], of_organizations: Q, *, using: str) -> models.QuerySet[Any, Any]:
    """Return a query for the patterns of subscriptions to these event types, each with the fields of `SubscriberScope`.

    They are those ``of_organizations``, and all of webhooks that include child organizations.
    """
    rows = Subscription.objects.using(using).matching(event_types)
    rows = rows.filter(of_organizations | Q(webhook__include_children=True)).order_by()
    columns = ("event_type", "webhook__organization_id", "webhook__audience", "webhook__include_children")
    return rows.values_list(*columns).distinct()


# Folding


def _recorded_events(using: str) -> _RecordedEvents | None:
    """Return the events that the open transaction has recorded; None in a test case's, which is none of the host's."""
    block = transaction_block(connections[using])
    if block is None:
        return None
    for function in on_commit_functions(connections[using]):
        # A rollback has removed those of another transaction.
        if isinstance(function, _RecordedEvents) and function.block == block:
            return function
    events = _RecordedEvents()
    events.block = block
    transaction.on_commit(events, using=using, robust=True)
    return events


def _earlier(events: _RecordedEvents, source: Source, planned: PlannedEvent, values: Values) -> _Recorded | None:
    """Return the event into which a planned update can be folded: the last one of its object, if of the same organizations."""
    subject_id = subject_key(planned.subject_id or values["id"])
    if source.owners is not None:
        subject_id = owned_key(subject_id, values["organization.id"])
    recorded = events.get((source.noun.name, subject_id))
    organizations = values.get("organization.id"), learner_organization_of(values)
    return recorded if recorded is not None and recorded.organizations == organizations else None


def _with_earlier(planned: list[Planned], *, using: str) -> tuple[list[Planned], Mapping[UUID, Event]]:
    """Read the earlier events, and return them by their ids, with those planned events that are to be built.

    An event that a savepoint has removed takes no update, and an update that no subscription matches needs one.
    """
    uids = [one.earlier.uid for one in planned if one.earlier is not None]
    stored = Event.objects.using(using).exclude(body="").in_bulk(uids, field_name="uid")
    kept: list[Planned] = []
    for one in planned:
        if one.earlier is not None and one.earlier.uid in stored:
            one.event.omit_personal |= one.earlier.omit_personal
            kept.append(one)
        elif one.is_wanted:
            kept.append(one._replace(earlier=None))
    return kept, stored


def _remember(rows: PlannedRows, events: _RecordedEvents) -> None:
    """Remember the rows that are recorded, for the updates of their objects that follow in this transaction."""
    for planned, row in rows:
        part, subject = planned.part, (row.subject_type, row.sequence_key)
        if part.change.deleted or not part.may_fold or not row.body:
            events.pop(subject, None)
            continue
        if len(events) >= MOST_SUBJECTS:
            events.clear()
        organizations = row.organization_id, row.learner_organization_id
        events[subject] = _Recorded(row.uid, organizations, part.change.created, planned.event.omit_personal)


def _fold(updates: Sequence[tuple[_Recorded, Event]], stored: Mapping[UUID, Event], *, using: str) -> dict[UUID, Event]:
    """Fold updates into earlier events of their objects; return those events by the ids of the rows that they replace.

    An ``…updated`` event is deleted if all of its changes are undone.
    """
    folded: dict[UUID, Event] = {}
    undone = set[int]()
    for earlier, row in updates:
        event = folded[row.uid] = stored[earlier.uid]
        if _fold_into(event, row, is_new=earlier.created) and event.type.endswith(UPDATED):
            undone.add(event.pk)
        else:
            undone.discard(event.pk)
    rows = Event.objects.using(using)
    rows.bulk_update([event for event in folded.values() if event.pk not in undone], FOLDED, batch_size=BATCH)
    if undone:
        delete_without_signals(rows.filter(pk__in=undone))
    return folded


def _fold_into(event: Event, update: Event, *, is_new: bool) -> bool:
    """Add an update to the body of an earlier event; return whether it undoes all changes. A new object's names none."""
    body, newer = from_text(event.body), from_text(update.body)
    body["data"] |= newer["data"]
    changes = [one for one in (body, newer) if one["changed"] and not is_new]
    body["changed"], body["previous"] = remaining_changes(changes, body)
    if strict_payloads():
        catalogue.get(event.type).validate({**body, "sequence": FIRST_SEQUENCE})
    event.body = to_text(body)
    label(event, body["data"])
    return bool(changes) and not body["changed"]


# Waking


class _PromisedWakeUp:
    """A wake-up that runs when the transaction commits."""

    done = False

    def __call__(self) -> None:
        self.done = True
        waker.wake()


def wake_on_commit(using: str) -> None:
    """Wake a drain when the transaction commits: once, however many events it records."""
    if all(one.done for one in on_commit_functions(connections[using]) if isinstance(one, _PromisedWakeUp)):
        transaction.on_commit(_PromisedWakeUp(), using=using, robust=True)
