"""Folds an update of an object into the event of the same object that was recorded before it in the same transaction.

One act of a user is often several writes: a form saves a class, then its instructors. The receiver gets one event with
the final data. Only updates are folded: two changes of a status stay two events.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

from django.db import connections, transaction

from tms_webhooks import catalogue
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.django_private import is_on_commit, transaction_block
from tms_webhooks.event_names import is_update
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.models.event import owned_key, subject_key
from tms_webhooks.outbox.event_row import external_id_of, planned_content, subject_name_of
from tms_webhooks.outbox.subscribed import learner_organization_of
from tms_webhooks.payloads.envelope import FIRST_SEQUENCE, from_text, to_text

if TYPE_CHECKING:
    from tms_webhooks.outbox.owners import Part
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change, PlannedEvent

# The type and the key of the object that an event is about.
Subject: TypeAlias = tuple[str, str]

# The objects of one transaction that are remembered: about 20 MB. Updates of older ones are recorded as events.
MOST_SUBJECTS = 50_000
# The columns that change when an update is folded into an event.
FOLDED = ("body", "external_id", "subject_name")
# Events whose bodies are read and written together.
BATCH = 200


class Planned(NamedTuple):
    """An event that a source makes of a change, and whether a subscription matches it."""

    part: Part
    event: PlannedEvent
    is_wanted: bool


class _Recorded(NamedTuple):
    """The newest event of an object in this transaction."""

    uid: UUID
    organizations: tuple[Any, Any]
    created: bool
    moved: bool
    omit_personal: bool


@dataclass(slots=True, eq=False)
class _TransactionEvents:
    """The newest event of each object in one transaction. Being called on commit shows that the transaction is open."""

    block: tuple[Any, str | None]
    by_subject: OrderedDict[Subject, _Recorded] = field(default_factory=OrderedDict)

    def __call__(self) -> None:
        self.by_subject.clear()


class _OpenTransactions(threading.local):
    """The events of the open transactions of this thread, by the alias of the database."""

    def __init__(self) -> None:
        self.open: dict[str, _TransactionEvents] = {}


_thread = _OpenTransactions()


@cache
def update_types(source: Source) -> tuple[str, ...]:
    """Return the event types with which a source reports an update, and that an object left."""
    return tuple(filter(is_update, source.event_types))


def remember(event: Event, planned: PlannedEvent, change: Change, *, using: str) -> None:
    """Remember an event that was recorded, for the updates of its object that follow in this transaction."""
    events, subject = _open_events(using), (event.subject_type, event.sequence_key)
    if change.deleted or not event.body:
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
    events.by_subject[subject] = _Recorded(
        event.uid, organizations, change.created, change.moved, planned.omit_personal
    )
    events.by_subject.move_to_end(subject)
    if len(events.by_subject) > MOST_SUBJECTS:
        events.by_subject.popitem(last=False)


def can_fold(source: Source, planned: Planned, *, using: str) -> bool:
    """Return whether a planned event is an update of an object that has an event in this transaction."""
    return _recorded_of(source, planned, using=using) is not None


def fold(source: Source, planned_events: Sequence[Planned], *, using: str) -> dict[int, Event]:
    """Fold updates into earlier events of their objects; return those events by the position in ``planned_events``.

    Those that are missing in the result have no such event: they are not updates, or a savepoint has removed it.
    """
    found = {
        position: recorded
        for position, planned in enumerate(planned_events if _open_events(using) else ())
        if (recorded := _recorded_of(source, planned, using=using)) is not None
    }
    folded: dict[int, Event] = {}
    positions = list(found)
    for start in range(0, len(positions), BATCH):
        batch = positions[start : start + BATCH]
        uids = [found[position].uid for position in batch]
        events = {event.uid: event for event in Event.objects.using(using).filter(uid__in=uids).exclude(body="")}
        for position in batch:
            event = events.get(found[position].uid)
            if event is not None and _fold_into(event, found[position], source, planned_events[position]):
                folded[position] = event
        changed = [folded[position] for position in batch if position in folded]
        if len(changed) == 1:
            values = {name: getattr(changed[0], name) for name in FOLDED}
            Event.objects.using(using).filter(pk=changed[0].pk).update(**values)
        elif changed:
            Event.objects.using(using).bulk_update(changed, FOLDED)
    return folded


def _fold_into(event: Event, recorded: _Recorded, source: Source, planned: Planned) -> bool:
    """Add an update to the body of an event; return False where its payload can't be built."""
    event_type = catalogue.get(event.type)
    planned.event.omit_personal |= recorded.omit_personal
    content = planned_content(source, planned.event, planned.part.change, catalogue.get(planned.event.event_type))
    if isinstance(content, PayloadError):
        return False
    body = from_text(event.body)
    json_names = frozenset(field.name for field in event_type.fields if field.kind is FieldKind.JSON)
    body["data"] = _merged(body["data"], content["data"], json_names)
    if not recorded.created:
        names = {*body["changed"], *content["changed"]}
        body["changed"] = [field.name for field in event_type.fields if field.name in names]
        # The old values of an object that moved are another organization's.
        body["previous"] = {} if recorded.moved else _merged(content["previous"], body["previous"], json_names)
    if strict_payloads():
        event_type.validate({**body, "sequence": FIRST_SEQUENCE})
    event.body = to_text(body)
    event.external_id, event.subject_name = external_id_of(content), subject_name_of(body)
    return True


def _merged(
    nested: Mapping[str, Any], newer: Mapping[str, Any], json_names: frozenset[str], path: str = ""
) -> dict[str, Any]:
    """Return two nested objects as one; where both have a value, that of ``newer``.

    ``json_names`` are the dotted names of values that are one whole although they may be objects.
    """
    merged = dict(nested)
    for name, value in newer.items():
        before, full_name = merged.get(name), f"{path}{name}"
        if isinstance(before, dict) and isinstance(value, dict) and full_name not in json_names:
            value = _merged(before, value, json_names, f"{full_name}.")
        merged[name] = value
    return merged


def _recorded_of(source: Source, planned: Planned, *, using: str) -> _Recorded | None:
    """Return the event into which a planned update can be folded, if it is of the same organizations."""
    if planned.event.event_type not in update_types(source) or (events := _open_events(using)) is None:
        return None
    values = planned.part.change.values
    subject_id = subject_key(planned.event.subject_id or values["id"])
    if source.owners is not None:
        subject_id = owned_key(subject_id, values["organization.id"])
    recorded = events.by_subject.get((source.noun.name, subject_id))
    organizations = values.get("organization.id"), learner_organization_of(values)
    return recorded if recorded is not None and recorded.organizations == organizations else None


def _open_events(using: str) -> _TransactionEvents | None:
    """Return the events of the open transaction; None where there are none, or they were rolled back."""
    events = _thread.open.get(using)
    if events is None:
        return None
    connection = connections[using]
    if events.block == transaction_block(connection) and is_on_commit(connection, events):
        return events
    del _thread.open[using]
    return None
