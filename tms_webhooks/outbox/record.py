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
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

from django.db import Error, connections, transaction

from tms_webhooks import catalogue, sharing, signals
from tms_webhooks.catalogue.values import nested, value_at
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.django_private import is_on_commit, last_on_commit, transaction_block
from tms_webhooks.event_names import UPDATED
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, Occurrence
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import owned_key, subject_key
from tms_webhooks.outbox import owners
from tms_webhooks.outbox.event_row import (
    event_row,
    insert,
    label,
    learner_organization_of,
    organizations_of,
    planned_content,
)
from tms_webhooks.outbox.owners import Part
from tms_webhooks.outbox.subscribed import matching_types_by_organizations
from tms_webhooks.outbox.wake import waker
from tms_webhooks.payloads.envelope import FIRST_SEQUENCE, from_text, to_text
from tms_webhooks.sources.rules import PlannedEvent

if TYPE_CHECKING:
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change

logger = logging.getLogger(__name__)

# Rows of events, each with the index of its change.
Rows: TypeAlias = list[tuple[int, Event]]
# The type and the key of the object that an event is about.
Subject: TypeAlias = tuple[str, str]

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
    is_wanted: bool
    earlier: _Recorded | None = None
    """The event into which this one can be folded."""


class _Recorded(NamedTuple):
    """The newest event of an object in this transaction."""

    uid: UUID
    organizations: tuple[Any, Any]
    created: bool
    omit_personal: bool


@dataclass(slots=True, eq=False)
class _TransactionEvents:
    """The newest event of each object in one transaction. Being called on commit shows that the transaction is open."""

    block: tuple[Any, str | None]
    by_subject: dict[Subject, _Recorded] = field(default_factory=dict)

    def __call__(self) -> None:
        self.by_subject.clear()


class _OpenTransactions(threading.local):
    """The events of the open transactions of this thread, by the alias of the database."""

    def __init__(self) -> None:
        self.open: dict[str, _TransactionEvents] = {}
        self.failures = 0


_thread = _OpenTransactions()


def failures() -> int:
    """Return how many errors this thread has logged by `log_source_error`."""
    return _thread.failures


def log_source_error(source: Source, error: Exception) -> None:
    """Log an error in the host's declaration of a source, so that it doesn't break the host's write.

    Database errors are raised: they break the transaction, and the change is rolled back with its event.
    Under DEBUG and in tests every error is raised.
    """
    if isinstance(error, Error) or strict_payloads():
        raise error
    _thread.failures += 1
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
    may_lack_owner = owners.may_lack_owner(source)
    if may_lack_owner:
        owners.keep_ownerless(source, [part.change for part in parts], using=using)
    changed = {name for part in parts for name in part.change.changed}
    if is_split := moves_only or source.owners is not None or not changed.isdisjoint(owners.ORGANIZATIONS):
        split, wanted = owners.by_organization(source, parts, using=using), None
        parts = [part for part in split if part.move or not moves_only]
        organizations = [part.organizations for part in parts]
    else:
        unowned = EventOrganizations(None) if source.owner is None else None
        organizations = [organizations_of(part.change.values) or unowned for part in parts]
    planned: list[Planned] = []
    if wanted is None or wanted or source.shared_fields:
        known = {one for one in organizations if one is not None}
        subscribed: Mapping[Any, Collection[str]] = dict.fromkeys(known, wanted or ())
        if source.shared_fields and (elsewhere := sharing.types_elsewhere(source, parts, known, using=using)):
            # What the owner doesn't subscribe to is recorded, too: the worker looks for the others.
            subscribed = dict.fromkeys(known, elsewhere)
        elif wanted is None and known:
            subscribed = matching_types_by_organizations(known, source.event_types, using=using)
        if subscribed and may_lack_owner and not is_split:
            parts = owners.with_first_owners(source, parts, using=using)
        types = map(subscribed.get, organizations)
        planned = _planned(source, zip(parts, types, strict=True), using=using, found_later=found_later)
    folded = _fold(source, planned, using=using) if any(one.earlier for one in planned) else {}
    kept = [one for position, one in enumerate(planned) if one.is_wanted and position not in folded]
    new = _new_rows(source, kept, using=using)
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


def _planned(
    source: Source, parts: Iterable[tuple[Part, Collection[str] | None]], *, using: str, found_later: bool
) -> list[Planned]:
    """Return the events of changes in their order; of those that no subscription matches, only those that can be folded.

    ``parts`` are changes with the event types that are subscribed to.
    """
    planned: list[Planned] = []
    may_fold = _open_events(using) is not None
    shared = set[int]()
    # Sources may lock rows to plan their events: one order, so that two transactions don't deadlock.
    for part, types in sorted(parts, key=lambda one: str(one[0].change.after.get(source._lock_order))):
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
            can_fold = may_fold and part.may_fold and event.event_type.endswith(UPDATED)
            earlier = _recorded_of(source, event, part.change.values, using=using) if can_fold else None
            if event.event_type in types or earlier is not None:
                # A later update is also for those that see the object all along.
                kept = part._replace(may_fold=False) if part.move and part.position in shared else part
                planned.append(Planned(kept, event, event.event_type in types, earlier))
    return sorted(planned, key=attrgetter("part.position"))


def _new_rows(source: Source, planned: Sequence[Planned], *, using: str, subscription_id: int | None = None) -> Rows:
    """Return the unsaved rows of planned events with the indexes of their changes.

    An event whose ``once`` key was recorded before, or occurs a second time, is left out, unless it is repeated.
    """
    deadlines = {one.event.once: one.event.deadline for one in planned if one.event.once}
    # In the order of keys, so that two transactions don't deadlock.
    new = {
        key
        for key, deadline in sorted(deadlines.items())
        if Occurrence.objects.record_first_time(key, now=planned[0].part.change.now, deadline=deadline, using=using)
    }
    rows: Rows = []
    left = {one.part.organizations.owner for one in planned if one.part.move}
    external_ids = owners.external_ids_of(left, using=using) if left else {}
    for whole, event, _is_wanted, _earlier in planned:
        if event.once and event.once not in new and not event.repeated:
            continue
        new.discard(event.once)
        try:
            part = owners.side_of(whole, external_ids) if whole.move else whole
            event_type = catalogue.get(event.event_type)
            row = event_row(
                event_type,
                planned_content(source, event, part.change, event_type),
                part.change.values,
                subject=(source.noun.name, subject_key(event.subject_id or part.change.values["id"])),
                occurred_at=part.change.now,
                strict=strict_payloads(),
                subscription_id=subscription_id,
                numbered_by_owner=source.owners is not None,
            )
            if part.organizations is not None and part.organizations.other is not None:
                row.other_organization_id, row.other_learner_organization_id, *_more = part.organizations.other
            _remember(row, event, part, using=using)
            rows.append((part.position, row))
        except Exception as error:
            log_source_error(source, error)
    return rows


# Folding


def _remember(event: Event, planned: PlannedEvent, part: Part, *, using: str) -> None:
    """Remember an event that was recorded, for the updates of its object that follow in this transaction."""
    events, subject = _open_events(using), (event.subject_type, event.sequence_key)
    if part.change.deleted or not part.may_fold or not event.body:
        if events is not None:
            events.by_subject.pop(subject, None)
        return
    if events is None:
        block = transaction_block(connections[using])
        if block is None:
            # A test case's transaction, which is none of the host's.
            return
        events = _thread.open[using] = _TransactionEvents(block)
        transaction.on_commit(events, using=using, robust=True)
    organizations = event.organization_id, event.learner_organization_id
    if len(events.by_subject) >= MOST_SUBJECTS:
        events.by_subject.clear()
    events.by_subject[subject] = _Recorded(event.uid, organizations, part.change.created, planned.omit_personal)


def _fold(source: Source, planned_events: Sequence[Planned], *, using: str) -> dict[int, Event]:
    """Fold updates into earlier events of their objects; return those events by the position in ``planned_events``.

    Those that are missing in the result have no such event: they are not updates, or a savepoint has removed it.
    """
    found = {position: one.earlier for position, one in enumerate(planned_events) if one.earlier is not None}
    rows = Event.objects.using(using)
    events = rows.exclude(body="").in_bulk([one.uid for one in found.values()], field_name="uid")
    folded = {
        position: events[recorded.uid]
        for position, recorded in found.items()
        if recorded.uid in events
        if _fold_into(events[recorded.uid], recorded, source, planned_events[position])
    }
    rows.bulk_update(folded.values(), FOLDED, batch_size=BATCH)
    return folded


def _fold_into(event: Event, recorded: _Recorded, source: Source, planned: Planned) -> bool:
    """Add an update to the body of an event; return False where its payload can't be built."""
    event_type = catalogue.get(event.type)
    planned.event.omit_personal |= recorded.omit_personal
    content = planned_content(source, planned.event, planned.part.change, catalogue.get(planned.event.event_type))
    if isinstance(content, PayloadError):
        return False
    body = from_text(event.body)
    body["data"] |= content["data"]
    if not recorded.created:
        old = {name: value_at(one["previous"], name) for one in (content, body) for name in one["changed"]}
        body["changed"] = [field.name for field in event_type.all_fields if field.name in old]
        body["previous"] = nested(old)
    if strict_payloads():
        event_type.validate({**body, "sequence": FIRST_SEQUENCE})
    event.body = to_text(body)
    label(event, body["data"])
    return True


def _recorded_of(source: Source, planned: PlannedEvent, values: Mapping[str, Any], *, using: str) -> _Recorded | None:
    """Return the event into which a planned update can be folded, if it is of the same organizations."""
    subject_id = subject_key(planned.subject_id or values["id"])
    if source.owners is not None:
        subject_id = owned_key(subject_id, values["organization.id"])
    recorded = _thread.open[using].by_subject.get((source.noun.name, subject_id))
    organizations = values.get("organization.id"), learner_organization_of(values)
    return recorded if recorded is not None and recorded.organizations == organizations else None


def _open_events(using: str) -> _TransactionEvents | None:
    """Return the events of the open transaction; None if it has no events, or they were rolled back."""
    events = _thread.open.get(using)
    if events is None:
        return None
    connection = connections[using]
    if events.block == transaction_block(connection) and is_on_commit(connection, events):
        return events
    del _thread.open[using]
    return None


# Waking


class _PromisedWakeUp:
    """A wake-up that runs when the transaction commits."""

    done = False

    def __call__(self) -> None:
        self.done = True
        waker.wake()


def wake_on_commit(using: str) -> None:
    """Wake a drain when the transaction commits: once, however many events it records in a row."""
    last = last_on_commit(connections[using])
    if isinstance(last, _PromisedWakeUp) and not last.done:
        return
    transaction.on_commit(_PromisedWakeUp(), using=using, robust=True)
