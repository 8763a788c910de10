"""Writing a new event's row, with the next number of its subject: in as few statements as the database takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.db import connections, models

from tms_webhooks.models.compiled import SHORT_LIVED
from tms_webhooks.models.event import Event, EventSequence
from tms_webhooks.models.prepared import prepared

# Fields whose values go to the driver as they are.
PLAIN = (models.CharField, models.TextField, models.PositiveIntegerField, models.PositiveSmallIntegerField)

AT_ONCE = """
WITH numbered AS ({counting})
INSERT INTO {event} ({columns}, sequence, body)
VALUES ({places}, (SELECT last FROM numbered), %(head)s || (SELECT last::text FROM numbered) || %(tail)s)
RETURNING {key}::bigint, sequence::bigint"""

AFTERWARDS = "INSERT INTO {event} ({columns}, sequence, body) VALUES ({places}, %(sequence)s, %(body)s) {returning}"


def new_event(**values: Any) -> Event:
    """Return an event with these values, by the names of their columns, that is not written yet.

    Django takes several times as long for values that have names.
    """
    return Event(*[values[name] if name in values else default() for name, default in _defaults().items()])


def write(event: Event, *, around: tuple[str, str] | None, using: str) -> None:
    """Write a new event. ``around`` is what stands in its body before and after its number; None if it has no body.

    Django's signals of a save are not sent: `event_recorded` tells of an event.
    """
    if around is not None and connections[using].vendor == "postgresql":
        _write_at_once(event, around, using=using)
    else:
        number(event, EventSequence.objects.advance(event.subject_type, event.subject_id, using=using), around=around)
        _write_numbered(event, using=using)
    event._state.adding = False
    event._state.db = using


def number(event: Event, sequence: int, *, around: tuple[str, str] | None) -> None:
    """Give a new event its number, in its row and in its body, if it has one."""
    event.sequence = sequence
    event.body = "" if around is None else str(sequence).join(around)


def _write_at_once(event: Event, around: tuple[str, str], *, using: str) -> None:
    values = {**_values(event, using=using), "head": around[0], "tail": around[1]}
    with prepared(connections[using], after=SHORT_LIVED) as cursor:
        cursor.execute(_statement(AT_ONCE, using), values)
        event.pk, sequence = cursor.fetchone()
    number(event, sequence, around=around)


def _write_numbered(event: Event, *, using: str) -> None:
    connection = connections[using]
    values = {**_values(event, using=using), "sequence": event.sequence, "body": event.body}
    with connection.cursor() as cursor:
        cursor.execute(_statement(AFTERWARDS, using), values)
        if connection.features.can_return_columns_from_insert:
            (event.pk,) = cursor.fetchone()
        else:
            event.pk = connection.ops.last_insert_id(cursor, Event._meta.db_table, str(Event._meta.pk.column))


def _values(event: Event, *, using: str) -> dict[str, Any]:
    connection, row = connections[using], vars(event)
    values = {field.attname: row[field.attname] for field in _fields()}
    for field in _adapted():
        values[field.attname] = field.get_db_prep_save(field.pre_save(event, add=True), connection)
    return values


@cache
def _statement(sql: str, using: str) -> str:
    connection = connections[using]
    quote = connection.ops.quote_name
    key = quote(str(Event._meta.pk.column))
    return sql.format(
        event=quote(Event._meta.db_table),
        columns=", ".join(quote(str(field.column)) for field in _fields()),
        places=", ".join(f"%({field.attname})s" for field in _fields()),
        counting=EventSequence.objects.counting(using) if connection.vendor == "postgresql" else "",
        key=key,
        returning=f"RETURNING {key}" if connection.features.can_return_columns_from_insert else "",
    )


@cache
def _defaults() -> dict[str, Callable[[], Any]]:
    return {field.attname: field.get_default for field in Event._meta.concrete_fields}


@cache
def _fields() -> tuple[models.Field[Any, Any], ...]:
    known_later = {"id", "sequence", "body"}
    return tuple(field for field in Event._meta.local_concrete_fields if field.name not in known_later)


@cache
def _adapted() -> tuple[models.Field[Any, Any], ...]:
    return tuple(field for field in _fields() if not isinstance(field, PLAIN))
