"""Writing events into the outbox, in the transaction of the change that they tell of."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.db import Error
from django.db.models import Q

from tms_webhooks import catalogue, signals
from tms_webhooks.actors import Actor, current_actor
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.compiled import CompiledQuery, Parameter
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, Occurrence, Subscription, Webhook
from tms_webhooks.models.audience import EventOrganizations, SubscriberScope, patterns_by_organizations
from tms_webhooks.models.event import LONGEST_EXTERNAL_ID, subject_key
from tms_webhooks.outbox import insert
from tms_webhooks.outbox.wake import wake_on_commit
from tms_webhooks.payloads.build import build, organization_of
from tms_webhooks.payloads.envelope import Facts, around_number, envelope, to_text
from tms_webhooks.sources.base import LEARNERS
from tms_webhooks.sources.interest import meant, patterns_of_anybody
from tms_webhooks.sources.rules import Change

if TYPE_CHECKING:
    from tms_webhooks.catalogue.event_type import EventType
    from tms_webhooks.sources.base import PlannedEvent, Source

LONGEST_ACTOR_ID = 64
LISTENING = ("event_type", "webhook__organization_id", "webhook__audience", "webhook__include_children")
"""What is asked of a subscription: its pattern, and the parts of a `Listener`."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EventDraft:
    """What one row of the outbox is made of.

    ``facts`` may be the `PayloadError` that says why there are none; ``values`` tell the organization; ``strict`` has
    a payload that is not as promised raise.
    """

    event_type: EventType
    facts: Facts | PayloadError
    values: Mapping[str, Any]
    subject: tuple[str, str]
    now: datetime
    strict: bool
    subscription_id: int | None = None


class NeverBreaking:
    """Logs what the host's declaration of a source gets wrong, so that it can't break the host's write.

    Errors of the database pass: the transaction is broken by then, and the change and its event go together.
    Under DEBUG and in tests everything passes. (A class, because it is entered with every save.)
    """

    __slots__ = ("source",)

    def __init__(self, source: Source) -> None:
        self.source = source

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, Error) or strict_payloads():
            return False
        label = self.source.model._meta.label
        logger.error("A change of %s could not be turned into an event.", label, exc_info=error)
        return True


def record_change(source: Source, change: Change, *, using: str, wanted: Collection[str] | None = None) -> list[Event]:
    """Record every event that ``change`` means to somebody, in the current transaction of ``using``.

    ``wanted`` are the event types that the object's organization wants; without them it is asked. An event whose payload
    can't be built is recorded with the error instead of a body; under DEBUG and in tests the error is raised.
    """
    if not (change.created or change.deleted or change.changed):
        return []
    if wanted is None:
        wanted = types_wanted(source.event_types, organizations_of(change.values), using=using)
    if not wanted:
        return []
    told = (one for one in source.events_for(change) if one.event_type in wanted)
    events = (_record_once(source, one, change, using=using) for one in told)
    return [event for event in events if event is not None]


def record_planned(
    source: Source, told: PlannedEvent, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    """Record one event of a source, or nothing where nobody wants it or it was told before."""
    if not types_wanted([told.event_type], organizations_of(change.values), using=using):
        return None
    return _record_once(source, told, change, using=using, subscription_id=subscription_id)


def types_wanted(event_types: Iterable[str], home: EventOrganizations | None, *, using: str) -> set[str]:
    """Return those event types that any webhook asks for to which an event of this home comes, also one disabled now."""
    if home is None:
        return set()
    names = tuple(event_types)
    owner, learner = home
    rows = _query_listeners(names, using).run(owner, owner if learner is None else learner)
    listeners = [(SubscriberScope(*listener), pattern) for pattern, *listener in rows]
    return meant(names, patterns_by_organizations([home], listeners, using=using)[home])


@cache
def _query_listeners(event_types: tuple[str, ...], using: str) -> CompiledQuery:
    """Build the query for who subscribes to anything that means one of these event types, of all to whom it may come."""
    key = Webhook._meta.get_field("organization")
    near = Q(webhook__organization_id=Parameter(key)) | Q(webhook__organization_id=Parameter(key, 1))
    wanting = Subscription.objects.using(using).wanting(event_types).filter(near | Q(webhook__include_children=True))
    return CompiledQuery(wanting.order_by().values_list(*LISTENING).distinct())


def _record_once(
    source: Source, told: PlannedEvent, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    if told.once and not Occurrence.objects.record_first_time(
        told.once, now=change.now, deadline=told.deadline, using=using
    ):
        return None
    return insert_draft(draft_of(source, told, change, subscription_id=subscription_id), using=using)


def draft_of(source: Source, told: PlannedEvent, change: Change, *, subscription_id: int | None = None) -> EventDraft:
    """Gather what the row of one event is made of."""
    event_type = catalogue.get(told.event_type)
    return EventDraft(
        event_type,
        _facts(source, told, change, event_type),
        change.values,
        (source.noun.name, subject_key(told.subject_id or change.values["id"])),
        change.now,
        strict=strict_payloads(),
        subscription_id=subscription_id,
    )


def _facts(source: Source, told: PlannedEvent, change: Change, event_type: EventType) -> Facts | PayloadError:
    try:
        return build(change, event_type, extra=told.extra, forgetting=told.forgetting)
    except Exception as reason:
        if strict_payloads():
            raise
        logger.exception("The payload of %s could not be built from %r.", told.event_type, source)
        # The message of any other error may quote the value, which may be personal.
        return reason if isinstance(reason, PayloadError) else PayloadError(type(reason).__name__)


def insert_draft(entry: EventDraft, *, using: str) -> Event:
    """Write the row of an event, and ring on commit."""
    event, around = compose(entry, actor=current_actor())
    insert.insert_one(event, around=around, using=using)
    signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
    return event


def compose(entry: EventDraft, *, actor: Actor) -> tuple[Event, tuple[str, str] | None]:
    """Make the row of an event that has no number yet; return it with what stands in its body before and after that."""
    subject_type, subject_id = entry.subject
    event = insert.new_event(
        type=entry.event_type.name,
        version=entry.event_type.version,
        organization_id=entry.values["organization.id"],
        learner_organization_id=_learners(entry.values),
        subject_type=subject_type,
        subject_id=subject_id,
        external_id=_external_id(entry.facts),
        actor_kind=actor.kind,
        actor_id=(actor.id or "")[:LONGEST_ACTOR_ID],
        occurred_at=entry.now,
        subscription_id=entry.subscription_id,
    )
    try:
        return event, around_number(_body(entry, event, actor))
    except PayloadError as reason:
        if entry.strict:
            raise
        event.error = str(reason)
        # What can't be sent has nothing to be fanned out to.
        event.fanned_out_at = entry.now
        logger.error("Event %s (%s) was recorded without a payload: %s", event.public_id, event.type, reason)
        return event, None


def organizations_of(values: Mapping[str, Any]) -> EventOrganizations | None:
    """Return where what has these canonical values is at home; None where no organization owns it."""
    owner = values.get("organization.id")
    if isinstance(owner, PayloadError):
        logger.error("Nobody can be told of a change: %s", owner)
        return None
    # A host may keep the key in a column of another kind.
    as_key = Webhook._meta.get_field("organization").target_field.to_python
    return None if owner is None else EventOrganizations(as_key(owner), as_key(_learners(values)))


def _learners(values: Mapping[str, Any]) -> Any:
    learner = values.get(LEARNERS.name)
    # Why it can't be read is told by the payload.
    return None if isinstance(learner, PayloadError) else learner


def _external_id(facts: Facts | PayloadError) -> str:
    """Return what the customer's own system calls the subject; nothing where that is too long to be searched for."""
    name = None if isinstance(facts, PayloadError) else facts.data.get("external_id")
    return str(name) if name is not None and len(str(name)) <= LONGEST_EXTERNAL_ID else ""


def _body(entry: EventDraft, event: Event, actor: Actor) -> str:
    """Return the body as it were if the event was its subject's first: its number is known when it is written."""
    if isinstance(entry.facts, PayloadError):
        raise entry.facts
    whole = envelope(
        public_id=event.public_id,
        event_type=event.type,
        occurred_at=entry.now,
        version=event.version,
        organization=organization_of(entry.values),
        sequence=1,
        actor=actor,
        facts=entry.facts,
    )
    if entry.strict:
        entry.event_type.validate(whole)
    return to_text(whole)


def record_changes(source: Source, changes: Sequence[Change], *, using: str) -> list[list[Event]]:
    """Record every event that these changes of different objects mean to somebody; return those of each change.

    The same as `record_change` of one after the other. The events that are returned don't know their keys.
    """
    told = sorted(_plan_events(source, changes, using=using), key=itemgetter(0))
    return record_planned_events(source, changes, told, using=using)


def record_planned_events(
    source: Source, changes: Sequence[Change], told: list[tuple[int, PlannedEvent]], *, using: str
) -> list[list[Event]]:
    """Record these events, each with the place of its change in ``changes``; return those of each change.

    Whether anybody wants them has been asked.
    """
    entries: list[tuple[int, EventDraft]] = []
    for number, one in _not_yet_recorded(told, changes, using=using):
        with NeverBreaking(source):
            entries.append((number, draft_of(source, one, changes[number])))
    recorded: list[list[Event]] = [[] for _change in changes]
    events = _insert_drafts([entry for _number, entry in entries], using=using)
    for (number, _entry), event in zip(entries, events, strict=True):
        recorded[number].append(event)
    return recorded


def types_subscribed(event_types: Collection[str], *, using: str) -> set[str]:
    """Return which of these event types any webhook asks for, also one that is disabled now."""
    return meant(event_types, patterns_of_anybody(tuple(sorted(event_types)), using=using))


def types_wanted_by(
    homes: Collection[EventOrganizations], event_types: Collection[str], *, using: str
) -> dict[EventOrganizations, set[str]]:
    """Return the same of events that are at home in each of these places, in one query; or two, where the tree matters.

    A home where nothing is asked for is left out.
    """
    keys = {key for home in homes for key in home.keys}
    near = Q(webhook__organization_id__in=keys) | Q(webhook__include_children=True)
    wanting = Subscription.objects.using(using).wanting(event_types).filter(near)
    rows = wanting.order_by().values_list(*LISTENING).distinct()
    listeners = [(SubscriberScope(*listener), pattern) for pattern, *listener in rows]
    wanted = {
        home: meant(event_types, asked)
        for home, asked in patterns_by_organizations(homes, listeners, using=using).items()
    }
    return {home: types for home, types in wanted.items() if types}


def _plan_events(source: Source, changes: Sequence[Change], *, using: str) -> Iterable[tuple[int, PlannedEvent]]:
    """Yield what each change means to its own organizations, with the change's place in the list."""
    homes = {number: organizations_of(change.values) for number, change in enumerate(changes) if _is_one(change)}
    places = {home for home in homes.values() if home is not None}
    wanted = types_wanted_by(places, source.event_types, using=using) if places else {}
    # What sources lock to tell they lock in one order, or two transactions could wait for each other.
    for number, home in sorted(homes.items(), key=lambda one: source.turn(changes[one[0]])):
        types = wanted.get(home) if home is not None else None
        if types:
            told: list[PlannedEvent] = []
            with NeverBreaking(source):
                told = [one for one in source.events_for(changes[number]) if one.event_type in types]
            yield from ((number, one) for one in told)


def _is_one(change: Change) -> bool:
    return change.created or change.deleted or bool(change.changed)


def _not_yet_recorded(
    told: list[tuple[int, PlannedEvent]], changes: Sequence[Change], *, using: str
) -> list[tuple[int, PlannedEvent]]:
    """Leave out what was told before, and what is told twice here."""
    once = {one.once: one.deadline for _number, one in told if one.once}
    new = insert.record_first_times(once, now=changes[0].now, using=using) if once else set()
    kept = []
    for number, one in told:
        if one.once and one.once not in new:
            continue
        new.discard(one.once)
        kept.append((number, one))
    return kept


def _insert_drafts(entries: Sequence[EventDraft], *, using: str) -> list[Event]:
    if not entries:
        return []
    counts = Counter(entry.subject for entry in entries)
    last = insert.advance(counts, using=using)
    following = {subject: last[subject] - many for subject, many in counts.items()}
    actor = current_actor()
    events = []
    for entry in entries:
        following[entry.subject] += 1
        event, around = compose(entry, actor=actor)
        insert.set_sequence(event, following[entry.subject], around=around)
        events.append(event)
    insert.insert_many(events, using=using)
    if signals.event_recorded.has_listeners(Event):
        for event in Event.objects.using(using).filter(uid__in=[event.uid for event in events]).order_by("pk"):
            signals.event_recorded.send_in_savepoint(Event, using=using, event=event)
    wake_on_commit(using)
    return events
