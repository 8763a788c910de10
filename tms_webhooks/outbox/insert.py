"""Writes the rows of new events, and the keys of events that are recorded once, in as few statements as possible.

An event is written without its sequence number: `outbox.numbers` gives it later. No statement uses an index but the
unique one on ``key``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.db.prepared import run_often
from tms_webhooks.db.sql import as_json, most_parameters, recordset
from tms_webhooks.models.event import Event
from tms_webhooks.models.occurrence import Occurrence
from tms_webhooks.payloads.envelope import with_sequence

# Fields whose values go to the driver as they are.
PLAIN = (
    models.BigIntegerField,
    models.BooleanField,
    models.CharField,
    models.TextField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
)

# A first occurrence takes three parameters, and an old SQLite allows 999 in a statement.
KEYS_PER_STATEMENT = 300

# Inserts events. ``rows`` are ``VALUES``, or for many events on PostgreSQL `recordset`: all rows in one parameter.
INSERT = "INSERT INTO {event} ({columns}) {rows} {returning}"

# Records keys that are new, and returns those. Index: the unique one on ``key``.
RECORD_FIRST_TIMES = "{insert} {occurrence} ({key}, recorded_at, deadline) VALUES {values} {suffix} RETURNING {key}"


def set_sequence(event: Event, sequence: int) -> None:
    """Give a new event its number, in its row and in its body, if it has one."""
    event.sequence = sequence
    event.body = with_sequence(event.body, sequence)


def insert(events: Sequence[Event], *, using: str) -> None:
    """Insert new events in their order. One event gets its primary key; those of many stay unset.

    Django's signals of a save are not sent: `event_recorded` announces an event.
    """
    insertion_of(events, using=using)()


def insertion_of(events: Sequence[Event], *, using: str) -> Callable[[], None]:
    """Return the function that inserts events as `insert` does.

    The values are computed when it is made: call this before the transaction, so that the transaction is short.
    """
    connection = connections[using]
    rows = [_values(event, connection) for event in events]
    if len(rows) == 1:
        return lambda: _insert_one(events[0], rows[0], connection)
    if connection.vendor == "postgresql":
        lines = as_json({str(field.column): row[field.attname] for field in _fields()} for row in rows)
        sql = _statement(recordset(_fields(), connection), using)
        return lambda: _execute(sql, [lines], connection)
    return lambda: _insert_many([list(row.values()) for row in rows], connection)


def _values(event: Event, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    row = vars(event)
    values = {name: row[name] for name in _names()}
    for name, field in _adapted():
        if values[name] is not None:
            values[name] = field.get_db_prep_save(values[name], connection)
    return values


def _insert_one(event: Event, values: Mapping[str, Any], connection: BaseDatabaseWrapper) -> None:
    sql = _statement(f"VALUES ({', '.join(f'%({name})s' for name in values)})", connection.alias, returns_key=True)
    if connection.features.can_return_columns_from_insert:
        ((event.pk,),) = run_often(connection, sql, values)
    else:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            event.pk = connection.ops.last_insert_id(cursor, Event._meta.db_table, str(Event._meta.pk.column))
    event._state.adding = False
    event._state.db = connection.alias


def _insert_many(rows: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper) -> None:
    place = f"({', '.join(['%s'] * len(_fields()))})"
    # Few statements: after each, another thread may take Python's lock, while SQLite stays locked.
    size = most_parameters(connection) // len(_fields()) if connection.vendor == "sqlite" else len(rows)
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        sql = _statement(f"VALUES {', '.join([place] * len(part))}", connection.alias)
        _execute(sql, [*chain.from_iterable(part)], connection)


def _execute(sql: str, params: Sequence[Any], connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@cache
def _statement(rows: str, using: str, *, returns_key: bool = False) -> str:
    connection = connections[using]
    quote = connection.ops.quote_name
    returns_key = returns_key and connection.features.can_return_columns_from_insert
    return INSERT.format(
        event=quote(Event._meta.db_table),
        columns=", ".join(quote(str(field.column)) for field in _fields()),
        rows=rows,
        returning=f"RETURNING {quote(str(Event._meta.pk.column))}" if returns_key else "",
    )


@cache
def _fields() -> tuple[models.Field[Any, Any], ...]:
    return tuple(field for field in Event._meta.concrete_fields if not field.primary_key)


@cache
def _names() -> tuple[str, ...]:
    return tuple(field.attname for field in _fields())


@cache
def _adapted() -> tuple[tuple[str, models.Field[Any, Any]], ...]:
    return tuple((field.attname, field) for field in _fields() if not isinstance(field, PLAIN))


def record_first_times(deadlines: Mapping[str, datetime | None], *, now: datetime, using: str) -> set[str]:
    """Record the keys that are new and return them: `OccurrenceManager.record_first_time` for many.

    ``deadlines`` maps each key to the date that it is about, if it is about one.
    """
    ordered = sorted(deadlines.items())
    if not connections[using].features.can_return_rows_from_bulk_insert:
        record = Occurrence.objects.record_first_time
        return {key for key, deadline in ordered if record(key, now=now, deadline=deadline, using=using)}
    new: set[str] = set()
    for start in range(0, len(ordered), KEYS_PER_STATEMENT):
        new |= _record_new_keys(ordered[start : start + KEYS_PER_STATEMENT], now=now, using=using)
    return new


def _record_new_keys(lines: Sequence[tuple[str, datetime | None]], *, now: datetime, using: str) -> set[str]:
    ops = connections[using].ops
    insert, suffix = insert_ignoring_conflicts(connections[using])
    sql = RECORD_FIRST_TIMES.format(
        insert=insert,
        occurrence=ops.quote_name(Occurrence._meta.db_table),
        key=ops.quote_name("key"),
        values=", ".join(["(%s, %s, %s)"] * len(lines)),
        suffix=suffix,
    )
    moment = ops.adapt_datetimefield_value
    params = [param for name, deadline in lines for param in (name, moment(now), moment(deadline))]
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return {name for (name,) in cursor.fetchall()}
