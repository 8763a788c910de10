"""Builds the row of an event, with the body that receivers get, in memory: nothing here queries the database.

The body is complete except for the sequence number, which is null until the event is fanned out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from tms_webhooks import catalogue
from tms_webhooks.actors import Actor, current_actor, current_correlation_id
from tms_webhooks.conf import strict_payloads
from tms_webhooks.db.django_private import new_instance
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event
from tms_webhooks.models.event import (
    LONGEST_EXTERNAL_ID,
    LONGEST_SUBJECT_NAME,
    subject_key,
    subject_number,
    time_ordered_uuid,
)
from tms_webhooks.outbox.subscribed import learner_organization_of
from tms_webhooks.payloads.envelope import FIRST_SEQUENCE, build_content, envelope, organization_of, to_text

if TYPE_CHECKING:
    from tms_webhooks.catalogue.event_type import EventType
    from tms_webhooks.sources.base import Source
    from tms_webhooks.sources.rules import Change, PlannedEvent

# What an event is about, if its object has no name of its own, in this order.
NAMED_REFERENCES = ("class", "course", "learning_path", "achievement")

_collected: ContextVar[list[Exception] | None] = ContextVar("tms_webhooks_build_errors", default=None)

logger = logging.getLogger(__name__)


@contextmanager
def build_errors() -> Iterator[list[Exception]]:
    """Collect the errors for which an event has no payload or is not recorded: they are only logged in production."""
    errors: list[Exception] = []
    token = _collected.set(errors)
    try:
        yield errors
    finally:
        _collected.reset(token)


def collect(error: Exception) -> None:
    """Add an error to those of `build_errors`, inside its ``with`` block."""
    if (errors := _collected.get()) is not None:
        errors.append(error)


def planned_event_row(
    source: Source, planned: PlannedEvent, change: Change, *, subscription_id: int | None = None
) -> Event:
    """Return the unsaved row of one event that a source makes of a change."""
    event_type = catalogue.get(planned.event_type)
    return event_row(
        event_type,
        planned_content(source, planned, change, event_type),
        change.values,
        subject=(source.noun.name, subject_key(planned.subject_id or change.values["id"])),
        occurred_at=change.now,
        strict=strict_payloads(),
        subscription_id=subscription_id,
        numbered_by_owner=source.owners is not None,
    )


def event_row(
    event_type: EventType,
    content: Mapping[str, Any] | PayloadError,
    values: Mapping[str, Any],
    *,
    subject: tuple[str, str],
    occurred_at: datetime,
    strict: bool,
    subscription_id: int | None = None,
    numbered_by_owner: bool = False,
) -> Event:
    """Return the unsaved row of an event, caused by the current actor.

    ``content`` holds the body's ``data``, ``changed`` and ``previous``, or is the error that prevented building them.
    ``values`` are the object's canonical values, which name its organizations. A payload that can't be built is logged
    and recorded in ``error``, with an empty body; where the caller is ``strict`` the `PayloadError` is raised.
    """
    actor = current_actor()
    subject_type, subject_id = subject
    columns = {
        **_event_defaults(),
        "uid": time_ordered_uuid(),
        "type": event_type.name,
        "version": event_type.version,
        "organization_id": values["organization.id"],
        "learner_organization_id": learner_organization_of(values),
        "subject_type": subject_type,
        "subject_id": subject_id,
        "external_id": external_id_of(content),
        "actor_kind": actor.kind,
        "actor_id": actor.stored_id,
        "occurred_at": occurred_at,
        "subscription_id": subscription_id,
        "subject_key": subject_number(subject_type, subject_id),
        "numbered_by_owner": numbered_by_owner,
    }
    event = new_instance(Event, columns)
    try:
        event.body = _body(event, event_type, content, values, actor=actor, strict=strict)
        event.subject_name = subject_name_of(content)
    except PayloadError as reason:
        if strict:
            raise
        event.error = str(reason)
        collect(reason)
        logger.error("Event %s (%s) was recorded without a payload: %s", event.public_id, event.type, reason)
    return event


def planned_content(
    source: Source, planned: PlannedEvent, change: Change, event_type: EventType
) -> Mapping[str, Any] | PayloadError:
    """Return the ``data``, ``changed`` and ``previous`` of a planned event, or the error that prevents building them."""
    try:
        return build_content(change, event_type, extra=planned.extra, omit_personal=planned.omit_personal)
    except Exception as reason:
        if strict_payloads():
            raise
        logger.exception("The payload of %s could not be built from %r.", planned.event_type, source)
        # The message of any other error may quote the value, which may be personal.
        return reason if isinstance(reason, PayloadError) else PayloadError(type(reason).__name__)


@cache
def _event_defaults() -> dict[str, Any]:
    return {field.attname: field.get_default() for field in Event._meta.concrete_fields}


def external_id_of(content: Mapping[str, Any] | PayloadError) -> str:
    """Return the customer's own id of the subject; empty where it is too long for the column, which is searched."""
    name = None if isinstance(content, PayloadError) else content["data"].get("external_id")
    return str(name) if name is not None and len(str(name)) <= LONGEST_EXTERNAL_ID else ""


def subject_name_of(content: Mapping[str, Any] | PayloadError) -> str:
    """Return the names of the learner and of the object, such as "Anna Larsen · Azure Administrator", cut to the column."""
    if isinstance(content, PayloadError):
        return ""
    data = content["data"]
    references = (data.get(name) for name in NAMED_REFERENCES)
    named = [data, *(one for one in references if isinstance(one, Mapping))]
    names = [
        _person_name(data),
        _person_name(data.get("user")),
        next(filter(None, (_text(one, "name") for one in named)), ""),
    ]
    text = " · ".join(filter(None, names))
    return text if len(text) <= LONGEST_SUBJECT_NAME else f"{text[: LONGEST_SUBJECT_NAME - 1]}…"


def _person_name(person: Any) -> str:
    if not isinstance(person, Mapping):
        return ""
    names = filter(None, (_text(person, "first_name"), _text(person, "last_name")))
    return " ".join(names) or _text(person, "user_name")


def _text(values: Mapping[str, Any], name: str) -> str:
    """Return a text in one line, without characters that a database may refuse; empty for any other value."""
    value = values.get(name)
    line = " ".join(value.split()) if isinstance(value, str) else ""
    return line if line.isprintable() else "".join(filter(str.isprintable, line))


def _body(
    event: Event,
    event_type: EventType,
    content: Mapping[str, Any] | PayloadError,
    values: Mapping[str, Any],
    *,
    actor: Actor,
    strict: bool,
) -> str:
    if isinstance(content, PayloadError):
        raise content
    whole = envelope(
        public_id=event.public_id,
        event_type=event.type,
        occurred_at=event.occurred_at,
        version=event.version,
        organization=organization_of(values),
        actor=actor,
        correlation_id=current_correlation_id(),
        content=content,
    )
    if strict:
        event_type.validate({**whole, "sequence": FIRST_SEQUENCE})
    return to_text(whole)
