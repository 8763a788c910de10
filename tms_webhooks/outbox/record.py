"""Writing events into the outbox, in the transaction of the change that they tell of."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models import Q
from django.utils import timezone

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
from tms_webhooks.payloads.fields import names_in
from tms_webhooks.sources.base import LEARNERS
from tms_webhooks.sources.interest import meant
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import key_of, read_whole

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


def emit(
    event_type: str,
    subject: models.Model,
    *,
    data: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    organization: Any = None,
    learner_organization: Any = None,
    using: str | None = None,
) -> Event | None:
    """Record an event that no change of a model shows; return it, or None where nobody subscribes to it.

    ``data`` is the nested payload, ``previous`` the nested old values of what changed; without ``data`` the payload is
    built from ``subject`` by the source that is registered for its model and the event's noun, and ``extra`` adds what
    that does not know, by canonical names. ``organization`` is an object or its key, and so is ``learner_organization``
    where it tells of a learner; without them the source tells. Call it inside the transaction of what it tells of. Raises
    `UnknownEventType`, ``TypeError`` for a subject that is no model instance, and `PayloadError` for one that is not
    saved, for an organization that is none, and for data that breaks the event's schema or can't be built.
    """
    kind = catalogue.get(event_type)
    _refuse_subject(event_type, subject)
    using = using or subject._state.db or router.db_for_write(type(subject))
    source = _source_of(kind, subject) if data is None or organization is None else None
    values: dict[str, Any] = {} if source is None else _values_of(source, subject, using=using)
    if organization is not None:
        values["organization.id"] = _organization_key(organization)
    if learner_organization is not None:
        values[LEARNERS.name] = _organization_key(learner_organization)
    if not types_wanted([event_type], home_of(values), using=using):
        return None
    if organization is not None:
        values["organization.external_id"] = _organization_external_id(organization, using=using)
    now = timezone.now()
    if data is None and source is not None:
        data = build(Change(before={}, after=values, changed=(), now=now, using=using), kind, extra=extra).data
    facts = Facts(data=data or {}, changed=names_in(previous or {}, kind.fields), previous=previous or {})
    key = values.get("id", subject.pk)
    entry = Entry(kind, facts, values, (kind.noun.name, subject_key(key)), now, strict=True)
    with transaction.atomic(using=using):
        return _write(entry, using=using)


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
    return _write(entry_of(source, told, change, subscription_id=subscription_id), using=using)


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


def _write(entry: Entry, *, using: str) -> Event:
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


def _refuse_subject(event_type: str, subject: object) -> None:
    if not isinstance(subject, models.Model):
        raise TypeError(f"The subject of {event_type} is a {type(subject).__name__}; pass a model instance.")
    if subject.pk is None:
        raise PayloadError(f"{event_type}: the {subject._meta.label} is not saved; save it first.")


def _values_of(source: Source, subject: models.Model, *, using: str) -> dict[str, Any]:
    raw = read_whole(source, key_of(source, subject), using=using)
    if raw is None:
        raise PayloadError(f"{subject._meta.label} {subject.pk} is not in the database; pass data and organization.")
    return source.canonical(raw)


def _source_of(kind: EventType, subject: models.Model) -> Source:
    for source in sources_of(type(subject)):
        if source.noun is kind.noun:
            return source
    raise PayloadError(
        f"{kind.name}: {subject._meta.label} is registered for no source of {kind.noun.name!r}; "
        "register it, or pass data and organization."
    )


def _organization_key(organization: Any) -> Any:
    """Return the key of what a caller of `emit` passed as the organization."""
    field = Event._meta.get_field("organization")
    if isinstance(organization, field.related_model) and organization.pk is not None:
        return organization.pk
    try:
        if not isinstance(organization, models.Model):
            return field.target_field.to_python(organization)
    except ValidationError:
        pass
    raise PayloadError(f"A {type(organization).__name__} is no organization; pass a saved one or its key.")


def _organization_external_id(organization: Any, *, using: str) -> Any:
    if not isinstance(organization, models.Model):
        model = Event._meta.get_field("organization").related_model
        organization = model._base_manager.using(using).get(pk=organization)
    return getattr(organization, "external_id", None)
