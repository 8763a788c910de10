"""Writing events into the outbox, in the transaction of the change that they tell of."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import Error
from django.db.models import Q

from tms_webhooks import catalogue, signals
from tms_webhooks.actors import Actor, current_actor
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, Occurrence, Subscription, Webhook, numbered
from tms_webhooks.models.audience import Home, Listener, heard_at
from tms_webhooks.models.compiled import CompiledQuery, Parameter
from tms_webhooks.models.event import LONGEST_EXTERNAL_ID, subject_key
from tms_webhooks.outbox.ring import ring_on_commit
from tms_webhooks.payloads.build import build, organization_of
from tms_webhooks.payloads.envelope import Facts, around_number, envelope, to_text
from tms_webhooks.sources.base import LEARNERS
from tms_webhooks.sources.interest import meant
from tms_webhooks.sources.rules import Change

if TYPE_CHECKING:
    from tms_webhooks.catalogue.event_type import EventType
    from tms_webhooks.sources.base import Source, Told

LONGEST_ACTOR_ID = 64
LISTENING = ("event_type", "webhook__organization_id", "webhook__audience", "webhook__include_children")
"""What is asked of a subscription: its pattern, and the parts of a `Listener`."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
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
        wanted = types_wanted(source.event_types, home_of(change.values), using=using)
    if not wanted:
        return []
    told = (one for one in source.tells(change) if one.event_type in wanted)
    events = (_record(source, one, change, using=using) for one in told)
    return [event for event in events if event is not None]


def record_told(
    source: Source, told: Told, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    """Record one event of a source, or nothing where nobody wants it or it was told before."""
    if not types_wanted([told.event_type], home_of(change.values), using=using):
        return None
    return _record(source, told, change, using=using, subscription_id=subscription_id)


def types_wanted(event_types: Iterable[str], home: Home | None, *, using: str) -> set[str]:
    """Return those event types that any webhook asks for to which an event of this home comes, also one disabled now."""
    if home is None:
        return set()
    names = tuple(event_types)
    owner, learner = home
    rows = _query_listeners(names, using).run(owner, owner if learner is None else learner)
    listeners = [(Listener(*listener), pattern) for pattern, *listener in rows]
    return meant(names, heard_at([home], listeners, using=using)[home])


@cache
def _query_listeners(event_types: tuple[str, ...], using: str) -> CompiledQuery:
    """Build the query for who subscribes to anything that means one of these event types, of all to whom it may come."""
    key = Webhook._meta.get_field("organization")
    near = Q(webhook__organization_id=Parameter(key)) | Q(webhook__organization_id=Parameter(key, 1))
    wanting = Subscription.objects.using(using).wanting(event_types).filter(near | Q(webhook__include_children=True))
    return CompiledQuery(wanting.order_by().values_list(*LISTENING).distinct())


def _record(
    source: Source, told: Told, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    if told.once and not Occurrence.objects.first_time(told.once, now=change.now, deadline=told.deadline, using=using):
        return None
    return write(entry_of(source, told, change, subscription_id=subscription_id), using=using)


def entry_of(source: Source, told: Told, change: Change, *, subscription_id: int | None = None) -> Entry:
    """Gather what the row of one event is made of."""
    event_type = catalogue.get(told.event_type)
    return Entry(
        event_type,
        _facts(source, told, change, event_type),
        change.values,
        (source.noun.name, subject_key(told.subject_id or change.values["id"])),
        change.now,
        strict=strict_payloads(),
        subscription_id=subscription_id,
    )


def _facts(source: Source, told: Told, change: Change, event_type: EventType) -> Facts | PayloadError:
    try:
        return build(change, event_type, extra=told.extra, forgetting=told.forgetting)
    except Exception as reason:
        if strict_payloads():
            raise
        logger.exception("The payload of %s could not be built from %r.", told.event_type, source)
        # The message of any other error may quote the value, which may be personal.
        return reason if isinstance(reason, PayloadError) else PayloadError(type(reason).__name__)


def write(entry: Entry, *, using: str) -> Event:
    """Write the row of an event, and ring on commit."""
    event, around = compose(entry, actor=current_actor())
    numbered.write(event, around=around, using=using)
    signals.event_recorded.tell(Event, using=using, event=event)
    ring_on_commit(using)
    return event


def compose(entry: Entry, *, actor: Actor) -> tuple[Event, tuple[str, str] | None]:
    """Make the row of an event that has no number yet; return it with what stands in its body before and after that."""
    subject_type, subject_id = entry.subject
    event = numbered.new_event(
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


def home_of(values: Mapping[str, Any]) -> Home | None:
    """Return where what has these canonical values is at home; None where no organization owns it."""
    owner = values.get("organization.id")
    if isinstance(owner, PayloadError):
        logger.error("Nobody can be told of a change: %s", owner)
        return None
    # A host may keep the key in a column of another kind.
    as_key = Webhook._meta.get_field("organization").target_field.to_python
    return None if owner is None else Home(as_key(owner), as_key(_learners(values)))


def _learners(values: Mapping[str, Any]) -> Any:
    learner = values.get(LEARNERS.name)
    # Why it can't be read is told by the payload.
    return None if isinstance(learner, PayloadError) else learner


def _external_id(facts: Facts | PayloadError) -> str:
    """Return what the customer's own system calls the subject; nothing where that is too long to be searched for."""
    name = None if isinstance(facts, PayloadError) else facts.data.get("external_id")
    return str(name) if name is not None and len(str(name)) <= LONGEST_EXTERNAL_ID else ""


def _body(entry: Entry, event: Event, actor: Actor) -> str:
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
