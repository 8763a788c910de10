"""Writing events into the outbox, in the transaction of the change that they tell of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models, router, transaction
from django.utils import timezone

from tms_webhooks import catalogue, signals
from tms_webhooks.actors import current_actor
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, EventSequence, Occurrence, Subscription
from tms_webhooks.outbox.ring import bell
from tms_webhooks.payloads.build import build, organization_of
from tms_webhooks.payloads.envelope import Facts, envelope, to_text
from tms_webhooks.payloads.fields import subject_key
from tms_webhooks.sources.registry import sources_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import read_whole

if TYPE_CHECKING:
    from tms_webhooks.catalogue.event_type import EventType
    from tms_webhooks.sources.base import Source, Told

logger = logging.getLogger(__name__)

NOTHING = Facts(data={}, changed=(), previous={})


def record_change(source: Source, change: Change, *, using: str) -> list[Event]:
    """Record every event that ``change`` means to somebody, in the current transaction of ``using``.

    An event whose payload can't be built is recorded with the error instead of a body; under DEBUG and in tests the
    error is raised.
    """
    told = source.tells(change)
    events = (record_told(source, one, change, using=using) for one in told)
    return [event for event in events if event is not None]


def record_told(
    source: Source, told: Told, change: Change, *, using: str, subscription_id: int | None = None
) -> Event | None:
    """Record one event of a source, or nothing where nobody wants it or it was told before."""
    organization_id = change.values.get("organization.id")
    if not is_wanted(told.event_type, organization_id, using=using):
        return None
    if told.once and not Occurrence.objects.first_time(told.once, now=change.now, using=using):
        return None
    event_type = catalogue.get(told.event_type)
    error = ""
    try:
        facts = build(source, change, event_type, extra=told.extra)
    except Exception as reason:
        if strict_payloads():
            raise
        logger.exception("The payload of %s could not be built from %r.", told.event_type, source)
        facts, error = NOTHING, f"{type(reason).__name__}: {reason}"
    return _write(
        event_type,
        facts,
        organization=organization_of(change.values),
        organization_id=organization_id,
        subject_type=source.noun.name,
        subject_id=told.subject_id or subject_key(change.values["id"]),
        now=change.now,
        error=error,
        using=using,
        subscription_id=subscription_id,
    )


def emit(
    event_type: str,
    subject: models.Model,
    *,
    data: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
    organization: Any = None,
    using: str | None = None,
) -> Event | None:
    """Record an event that no change of a model shows; return it, or None where nobody subscribes to it.

    ``data`` is the nested payload; without it the payload is built from ``subject`` by the source that is registered
    for its model and the event's noun. ``organization`` is an object or a key; without it the source tells. Call it
    inside the transaction of what it tells of. Raises `UnknownEventType`, and `PayloadError` for data that breaks the
    event's schema or can't be built.
    """
    kind = catalogue.get(event_type)
    using = using or subject._state.db or router.db_for_write(type(subject))
    values = _values_of(kind, subject, using=using, needed=data is None or organization is None)
    if organization is not None:
        key = organization.pk if isinstance(organization, models.Model) else organization
        values = {**values, "organization.id": key}
        if isinstance(organization, models.Model):
            values["organization.external_id"] = getattr(organization, "external_id", None)
    organization_id = values.get("organization.id")
    if not is_wanted(event_type, organization_id, using=using):
        return None
    now = timezone.now()
    if data is None:
        source = _source_of(kind, subject)
        facts = build(source, Change(before={}, after=values, changed=(), now=now), kind)
        facts = Facts(data=facts.data, changed=sorted(previous or {}), previous=previous or {})
    else:
        facts = Facts(data=data, changed=sorted(previous or {}), previous=previous or {})
    with transaction.atomic(using=using):
        return _write(
            kind,
            facts,
            organization=organization_of(values),
            organization_id=organization_id,
            subject_type=kind.noun.name,
            subject_id=subject_key(subject.pk),
            now=now,
            using=using,
            validate=True,
        )


def is_wanted(event_type: str, organization_id: Any, *, using: str) -> bool:
    """Return whether any webhook of the organization asks for such events, also one that is disabled now."""
    if organization_id is None:
        return False
    wanting = Subscription.objects.using(using).wanting([event_type])
    return wanting.filter(webhook__organization_id=organization_id).exists()


def _values_of(kind: EventType, subject: models.Model, *, using: str, needed: bool) -> dict[str, Any]:
    if not needed:
        return {}
    source = _source_of(kind, subject)
    raw = read_whole(source, subject, using=using)
    if raw is None:
        raise PayloadError(f"{kind.name}: {subject._meta.label} {subject.pk} is not in the database; pass data.")
    return source.canonical(raw)


def _source_of(kind: EventType, subject: models.Model) -> Source:
    for source in sources_of(type(subject)):
        if source.noun is kind.noun:
            return source
    raise PayloadError(
        f"{kind.name}: {subject._meta.label} is registered for no source of {kind.noun.name!r}; "
        "register it, or pass data and organization."
    )


def _write(
    event_type: EventType,
    facts: Facts,
    *,
    organization: Mapping[str, Any],
    organization_id: Any,
    subject_type: str,
    subject_id: str,
    now: datetime,
    using: str,
    error: str = "",
    subscription_id: int | None = None,
    validate: bool = False,
) -> Event:
    actor = current_actor()
    event = Event(
        type=event_type.name,
        version=event_type.version,
        organization_id=organization_id,
        subject_type=subject_type,
        subject_id=subject_id,
        sequence=EventSequence.objects.advance(subject_type, subject_id, using=using),
        actor_kind=actor.kind,
        actor_id=actor.id or "",
        occurred_at=now,
        error=error,
        # What can't be sent has nothing to be fanned out to.
        fanned_out_at=now if error else None,
        subscription_id=subscription_id,
    )
    if not error:
        whole = envelope(
            public_id=event.public_id,
            event_type=event.type,
            occurred_at=now,
            version=event.version,
            organization=organization,
            sequence=event.sequence,
            actor=actor,
            facts=facts,
        )
        if validate or strict_payloads():
            event_type.validate(whole)
        event.body = to_text(whole)
    event.save(using=using, force_insert=True)
    signals.event_recorded.send_robust(Event, event=event)
    transaction.on_commit(bell.ring, using=using, robust=True)
    return event
