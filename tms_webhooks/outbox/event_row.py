"""Builds the row of an event with the body that receivers get, and inserts it in as few statements as possible.

The body is complete except for the sequence number, which is null. `outbox.numbers` gives it, and `Event.from_db` adds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connections, models

from tms_webhooks import catalogue
from tms_webhooks.actors import current_actor
from tms_webhooks.catalogue import EventType
from tms_webhooks.catalogue.values import nested, value_at
from tms_webhooks.db.django_private import new_instance
from tms_webhooks.db.prepared import run_often
from tms_webhooks.db.sql import as_json, recordset
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.audience import EventOrganizations
from tms_webhooks.models.event import (
    LONGEST_EXTERNAL_ID,
    LONGEST_SUBJECT_NAME,
    numbered,
    searchable,
    subject_key,
    subject_number,
    time_ordered_uuid,
)
from tms_webhooks.payloads.envelope import (
    FIRST_SEQUENCE,
    envelope,
    to_text,
)
from tms_webhooks.sources.base import LEARNER, OF_ANOTHER_OWNER, Source
from tms_webhooks.sources.mapping import Values

# What an event is about, if its object has no name of its own, in this order.
NAMED_REFERENCES = ("class", "course", "learning_path", "achievement")

# Fields whose values go to the driver as they are.
PLAIN = (
    models.BigIntegerField,
    models.BooleanField,
    models.CharField,
    models.TextField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
)

# Inserts events. ``rows`` are ``VALUES``, or for many events `recordset`: all rows in one parameter.
INSERT = "INSERT INTO {event} ({columns}) {rows} RETURNING {key}"

# Return the span in which an event is recorded, as W3C Trace Context writes it. Tracing adds one.
span_readers: list[Callable[[], str]] = []

logger = logging.getLogger(__name__)


def organizations_of(values: Values) -> EventOrganizations | None:
    """Return the organizations that an object with these canonical values belongs to; None without an owner."""
    owner = values.get("organization.id")
    if isinstance(owner, PayloadError):
        logger.error("A change was not recorded, because the organization that owns the object is unknown: %s", owner)
        return None
    # A host may keep the key in a column of another type.
    as_key = Webhook._meta.get_field("organization").target_field.to_python
    return None if owner is None else EventOrganizations(as_key(owner), as_key(learner_organization_of(values)))


def learner_organization_of(values: Values) -> Any:
    """Return the key of the learner's organization that gets the event; None where it is unknown: the payload reports the error.

    Of an object with several owners, the learner's organization gets one of their events.
    """
    if values.get(OF_ANOTHER_OWNER):
        return None
    learner = values.get(LEARNER)
    return None if isinstance(learner, PayloadError) else learner


def event_row(
    event_type: EventType,
    content: Callable[[], Mapping[str, Any]],
    values: Values,
    *,
    subject_id: Any,
    occurred_at: datetime,
    strict: bool,
    subscription_id: int | None = None,
    source: Source | None = None,
) -> Event:
    """Return the unsaved row of an event about the object with this id, caused by the current actor.

    ``content`` returns what `build_content` does.
    ``values`` are the object's canonical values, which name its organizations; ``source`` is that of the object, if it has one. A payload that can't be built is
    recorded in ``error``, with an empty body; where the caller is ``strict`` the `PayloadError` is raised.
    """
    actor, noun, key = current_actor(), event_type.noun.name, subject_key(subject_id)
    event = new_instance(
        Event,
        {
            **_event_defaults(),
            "uid": time_ordered_uuid(),
            "type": event_type.name,
            "version": event_type.version,
            "organization_id": values.get("organization.id"),
            "learner_organization_id": learner_organization_of(values),
            "subject_type": noun,
            "subject_id": key,
            "actor_kind": actor.kind,
            "actor_id": actor.stored_id,
            "traceparent": next((read() or None for read in span_readers), None),
            "occurred_at": occurred_at,
            "subscription_id": subscription_id,
            "subject_key": subject_number(noun, key),
            "numbered_by_owner": source is not None and source.owners is not None,
        },
    )
    try:
        whole = envelope(event, values, content(), actor=actor)
        if strict and event.organization_id is not None:
            event_type.validate({**whole, "sequence": FIRST_SEQUENCE})
        event.body = to_text(whole)
        label(event, whole["data"])
    except Exception as reason:
        if strict:
            raise
        event.body = ""
        # The message of any other error may quote the value, which may be personal.
        event.error = str(reason) if isinstance(reason, PayloadError) else type(reason).__name__
        logger.exception("The payload of %s could not be built from %r.", event_type.name, source)
    return event


@cache
def _event_defaults() -> dict[str, Any]:
    return {field.attname: field.get_default() for field in Event._meta.concrete_fields}


def label(event: Event, data: Mapping[str, Any]) -> None:
    """Set what an event is found by: the customer's own id of the object, and the names of the learner and of the object.

    Such as "Anna Larsen · Azure Administrator", cut to the column. An id that is too long for its column is left out.
    """
    given = data.get("external_id")
    event.external_id = str(given) if given is not None and len(str(given)) <= LONGEST_EXTERNAL_ID else ""
    people = (one for one in (data, data.get("user")) if isinstance(one, Mapping))
    objects = (one for one in (data, *map(data.get, NAMED_REFERENCES)) if isinstance(one, Mapping))
    names = [
        " ".join(filter(None, (_text(one, "first_name"), _text(one, "last_name")))) or _text(one, "user_name")
        for one in people
    ]
    names.append(next(filter(None, (_text(one, "name") for one in objects)), ""))
    text = " · ".join(filter(None, names))
    event.subject_name = text if len(text) <= LONGEST_SUBJECT_NAME else f"{text[: LONGEST_SUBJECT_NAME - 1]}…"
    event.searched_name = searchable(event.subject_name)


def _text(values: Mapping[str, Any], name: str) -> str:
    """Return a text in one line, without characters that a database may refuse; empty for any other value."""
    value = values.get(name)
    line = " ".join(value.split()) if isinstance(value, str) else ""
    return line if line.isprintable() else "".join(filter(str.isprintable, line))


# Merging

# In place of an old value that an event does not have, and of a value that an object does not have.
UNKNOWN, ABSENT = object(), object()


def remaining_changes(
    events: Iterable[Mapping[str, Any]], newest: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """Return ``changed`` and ``previous`` of one event that stands for all of these events of an object, the oldest first.

    ``newest`` has the object as it is now.

    - ``changed`` names the fields of all events, in the order of the type's fields;
    - ``previous`` has the oldest old value of each;
    - a field that has its oldest value again is in neither.
    """
    oldest: dict[str, Any] = {}
    for event in events:
        for name in event["changed"]:
            oldest.setdefault(name, value_at(event["previous"], name, UNKNOWN))
    fields = [field.name for kind in catalogue.expand(newest["type"]) for field in kind.all_fields]
    # Names that are no field of the type are last.
    changed = [
        name
        for name in dict.fromkeys([*(name for name in fields if name in oldest), *oldest])
        if oldest[name] not in [value_at(newest.get(part), name, ABSENT) for part in ("data", "details")]
    ]
    return changed, nested({name: oldest[name] for name in changed if oldest[name] is not UNKNOWN})


# Inserting


def set_sequence(event: Event, sequence: int) -> None:
    """Give a new event its number, in its row and in its body, if it has one."""
    event.sequence, event.body = sequence, numbered(event.body, sequence)


def insertion_of(events: Sequence[Event], *, using: str) -> Callable[[], None]:
    """Return the function that inserts new events in their order, in one statement, and gives them their primary keys.

    The values are computed when it is made: call this before the transaction, so that the transaction is short. Django's
    signals of a save are not sent: `event_recorded` announces an event.
    """
    connection, is_one = connections[using], len(events) == 1
    rows = []
    for event in events:
        # Not where the row is built: not every row is inserted.
        if event.error:
            logger.error("Event %s (%s) was recorded without a payload: %s", event.public_id, event.type, event.error)
        values = vars(event)
        row = {field.attname: values[field.attname] for field in _fields()}
        for name, field in _adapted():
            row[name] = field.get_db_prep_save(row[name], connection)
        rows.append(row)
    params = rows[0] if is_one else {"lines": as_json(rows)}

    def insert() -> None:
        # The database counts keys up from row to row.
        keys = sorted(run_often(connection, _statement(using, is_one=is_one), params))
        for event, (key,) in zip(events, keys, strict=True):
            event.pk, event._state.adding, event._state.db = key, False, using

    return insert


@cache
def _statement(using: str, *, is_one: bool) -> str:
    connection = connections[using]
    quote = connection.ops.quote_name
    places = ", ".join(f"%({field.attname})s" for field in _fields())
    return INSERT.format(
        event=quote(Event._meta.db_table),
        columns=", ".join(quote(str(field.column)) for field in _fields()),
        rows=f"VALUES ({places})" if is_one else recordset(_fields(), connection) % "%(lines)s",
        key=quote(str(Event._meta.pk.column)),
    )


@cache
def _fields() -> tuple[models.Field[Any, Any], ...]:
    return tuple(field for field in Event._meta.concrete_fields if not field.primary_key)


@cache
def _adapted() -> tuple[tuple[str, models.Field[Any, Any]], ...]:
    return tuple((field.attname, field) for field in _fields() if not isinstance(field, PLAIN))
