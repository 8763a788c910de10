"""Writes the rows of new events with their sequence numbers, in as few statements as the database allows.

All statements that write events stand here. A unique index serves each of them: ``tms_event_sequence_of_subject`` for
the sequence numbers, the one on ``key`` for first occurrences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import chain
from typing import Any, TypeAlias

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.db.prepared import run_often
from tms_webhooks.db.sql import as_json, most_parameters, recordset
from tms_webhooks.models.event import Event, EventSequence, subject_number
from tms_webhooks.models.occurrence import Occurrence
from tms_webhooks.payloads.envelope import split_at_sequence, with_sequence

# The type and the key of the object that an event is about.
Subject: TypeAlias = tuple[str, str]

# Fields whose values go to the driver as they are.
PLAIN = (
    models.BigIntegerField,
    models.CharField,
    models.TextField,
    models.PositiveIntegerField,
    models.PositiveSmallIntegerField,
)

# A first occurrence takes three parameters, and an old SQLite allows 999 in a statement.
KEYS_PER_STATEMENT = 300

# Inserts one event and its number together. For PostgreSQL: one round trip instead of two in every save of the host.
# Index: tms_event_sequence_of_subject.
INSERT_NUMBERED = """
WITH numbered AS ({counting})
INSERT INTO {event} ({columns}, sequence, body)
VALUES ({places}, (SELECT last FROM numbered), %(head)s || (SELECT last::text FROM numbered) || %(tail)s)
RETURNING {key}::bigint, sequence::bigint"""

# Inserts one event whose number is known. Uses no index.
INSERT = "INSERT INTO {event} ({columns}, sequence, body) VALUES ({places}, %(sequence)s, %(body)s) {returning}"

# Inserts many events whose numbers are known. On PostgreSQL ``values`` is `recordset`: all rows in one parameter.
INSERT_MANY = "INSERT INTO {event} ({columns}) {values}"

# Takes numbers for many subjects, and returns the last number of each. Index: tms_event_sequence_of_subject.
ADVANCE = (
    "INSERT INTO {sequence} (subject_type, subject_id, last) SELECT subject_type, subject_id, many FROM {subjects} "
    "ON CONFLICT (subject_type, subject_id) DO UPDATE SET last = {sequence}.last + excluded.last "
    "RETURNING subject_type, subject_id, last"
)
# Reads the subjects from one JSON parameter: each database has its own function for it.
SUBJECTS = {
    "postgresql": "json_to_recordset(%s) AS line (subject_type varchar, subject_id varchar, many integer) WHERE true",
    "sqlite": (
        "(SELECT json_extract(value, '$.subject_type') AS subject_type, json_extract(value, '$.subject_id') "
        "AS subject_id, json_extract(value, '$.many') AS many FROM json_each(%s)) WHERE true"
    ),
}

# The same for MySQL and MariaDB in three statements: an INSERT that finds its row also locks the gap next to it. Other
# transactions insert there. Each uses the index tms_event_sequence_of_subject.
LOCK_NUMBERS = "SELECT subject_id, last FROM {sequence} WHERE subject_type = %s AND subject_id IN %s ORDER BY subject_id FOR UPDATE"
ADVANCE_KNOWN = "UPDATE {sequence} SET last = last + %s WHERE subject_type = %s AND subject_id IN %s"
ADVANCE_NEW = (
    "INSERT INTO {sequence} (subject_type, subject_id, last) VALUES (%s, %s, %s) "
    "ON DUPLICATE KEY UPDATE last = last + VALUES(last)"
)

# Records keys that are new, and returns those. Index: the unique one on ``key``.
RECORD_FIRST_TIMES = "{insert} {occurrence} ({key}, recorded_at, deadline) VALUES {values} {suffix} RETURNING {key}"


# One event


def insert_one(event: Event, *, using: str) -> None:
    """Insert a new event with the next number of its subject.

    Django's signals of a save are not sent: `event_recorded` announces an event.
    """
    connection = connections[using]
    if event.body and connection.vendor == "postgresql":
        head, tail = split_at_sequence(event.body)
        values = {**_column_values(event, connection), "head": head, "tail": tail}
        ((event.pk, event.sequence),) = run_often(connection, _statement(INSERT_NUMBERED, connection.alias), values)
        event.body = f"{head}{event.sequence}{tail}"
    else:
        set_sequence(event, EventSequence.objects.advance(event.subject_type, event.subject_id, using=using))
        _insert(event, connection)
    event._state.adding = False
    event._state.db = using


def set_sequence(event: Event, sequence: int) -> None:
    """Give a new event its number, in its row and in its body, if it has one."""
    event.sequence = sequence
    if event.body:
        event.body = with_sequence(event.body, sequence)


def _insert(event: Event, connection: BaseDatabaseWrapper) -> None:
    values = {**_column_values(event, connection), "sequence": event.sequence, "body": event.body}
    if connection.features.can_return_columns_from_insert:
        ((event.pk,),) = run_often(connection, _statement(INSERT, connection.alias), values)
        return
    with connection.cursor() as cursor:
        cursor.execute(_statement(INSERT, connection.alias), values)
        event.pk = connection.ops.last_insert_id(cursor, Event._meta.db_table, str(Event._meta.pk.column))


def _column_values(event: Event, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    row = vars(event)
    row["subject_key"] = subject_number(event.subject_type, event.subject_id)
    values = {name: row[name] for name in _written_names()}
    for name, field in _adapted():
        if values[name] is not None:
            values[name] = field.get_db_prep_save(values[name], connection)
    return values


@cache
def _statement(sql: str, using: str) -> str:
    connection = connections[using]
    quote = connection.ops.quote_name
    key = quote(str(Event._meta.pk.column))
    return sql.format(
        event=quote(Event._meta.db_table),
        columns=", ".join(quote(str(field.column)) for field in _written_fields()),
        places=", ".join(f"%({field.attname})s" for field in _written_fields()),
        counting=EventSequence.objects.counting(using) if connection.vendor == "postgresql" else "",
        key=key,
        returning=f"RETURNING {key}" if connection.features.can_return_columns_from_insert else "",
    )


@cache
def _written_fields() -> tuple[models.Field[Any, Any], ...]:
    known_later = {"id", "sequence", "body"}
    return tuple(field for field in Event._meta.local_concrete_fields if field.name not in known_later)


@cache
def _written_names() -> tuple[str, ...]:
    return tuple(field.attname for field in _written_fields())


@cache
def _adapted() -> tuple[tuple[str, models.Field[Any, Any]], ...]:
    return tuple((field.attname, field) for field in _written_fields() if not isinstance(field, PLAIN))


# Many events


def insert_many(events: Sequence[Event], *, using: str) -> None:
    """Insert new events that have their numbers, in their order. Their primary keys stay unset."""
    insertion_of(events, using=using)()


def insertion_of(events: Sequence[Event], *, using: str) -> Callable[[], None]:
    """Return the function that inserts events as `insert_many` does.

    The values are computed when it is made: call this before the transaction, so that the transaction is short.
    """
    connection = connections[using]
    fields = [field for field in Event._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    statement = partial(INSERT_MANY.format, event=_table(Event, using), columns=columns)
    if connection.vendor == "postgresql":
        lines = as_json({str(field.column): field.pre_save(event, add=True) for field in fields} for event in events)
        sql = statement(values=recordset(fields, connection))
        return lambda: _execute(sql, [lines], connection)
    rows = [
        [field.get_db_prep_save(field.pre_save(event, add=True), connection) for field in fields] for event in events
    ]
    return lambda: _insert_rows(statement(values="VALUES {}"), rows, connection)


def _execute(sql: str, params: Sequence[Any], connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def _insert_rows(sql: str, rows: Sequence[Sequence[Any]], connection: BaseDatabaseWrapper) -> None:
    """Insert rows with an `INSERT` whose values are ``{}``, in few statements."""
    width = max(map(len, rows), default=1)
    place = f"({', '.join(['%s'] * width)})"
    if connection.vendor != "sqlite":
        # MySQL's driver joins the rows, up to the size of a packet.
        with connection.cursor() as cursor:
            cursor.executemany(sql.format(place), rows)
        return
    # After each statement, another thread may take Python's lock, while the database stays locked.
    size = most_parameters(connection) // width
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        _execute(sql.format(", ".join([place] * len(some))), [*chain.from_iterable(some)], connection)


def advance(counts: Mapping[Subject, int], *, using: str) -> dict[Subject, int]:
    """Take as many numbers for each subject as ``counts`` says, without gaps; return the last number of each.

    As with `EventSequenceManager.advance` the subjects stay locked until the transaction ends. They are locked in one
    order, so that two transactions don't deadlock.
    """
    connection = connections[using]
    ordered = dict(sorted(counts.items()))
    if not ordered:
        return {}
    if connection.vendor == "mysql":
        return _advance_in_mysql(ordered, using=using)
    if connection.vendor not in SUBJECTS or not connection.features.can_return_rows_from_bulk_insert:
        return {
            subject: [EventSequence.objects.advance(*subject, using=using) for _ in range(many)][-1]
            for subject, many in ordered.items()
        }
    lines = [{"subject_type": kind, "subject_id": key, "many": many} for (kind, key), many in ordered.items()]
    sql = ADVANCE.format(sequence=_table(EventSequence, using), subjects=SUBJECTS[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(sql, [as_json(lines)])
        return {(kind, key): last for kind, key, last in cursor.fetchall()}


def _advance_in_mysql(counts: dict[Subject, int], *, using: str) -> dict[Subject, int]:
    known = _lock_numbers(counts, using=using)
    keys_by_step: dict[tuple[str, int], list[str]] = defaultdict(list)
    for (kind, key), many in counts.items():
        if (kind, key) in known:
            keys_by_step[kind, many].append(key)
    table = _table(EventSequence, using)
    with connections[using].cursor() as cursor:
        for (kind, many), keys in keys_by_step.items():
            # Few objects have two events in one batch, so this is one statement or a few.
            cursor.execute(ADVANCE_KNOWN.format(sequence=table), [many, kind, tuple(keys)])
    new = {subject: many for subject, many in counts.items() if subject not in known}
    if new:
        with connections[using].cursor() as cursor:
            lines = [(kind, key, many) for (kind, key), many in new.items()]
            cursor.executemany(ADVANCE_NEW.format(sequence=table), lines)
    # Another transaction may have inserted the new ones first: read their numbers again.
    return {subject: last + counts[subject] for subject, last in known.items()} | _lock_numbers(new, using=using)


def _lock_numbers(subjects: Mapping[Subject, int], *, using: str) -> dict[Subject, int]:
    """Lock the rows of these subjects; return the last number of each that has one."""
    by_type: dict[str, list[str]] = defaultdict(list)
    for kind, key in subjects:
        by_type[kind].append(key)
    found: dict[Subject, int] = {}
    with connections[using].cursor() as cursor:
        for kind, keys in by_type.items():
            cursor.execute(LOCK_NUMBERS.format(sequence=_table(EventSequence, using)), [kind, tuple(keys)])
            found.update(((kind, key), last) for key, last in cursor.fetchall())
    return found


# First occurrences


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
        occurrence=_table(Occurrence, using),
        key=ops.quote_name("key"),
        values=", ".join(["(%s, %s, %s)"] * len(lines)),
        suffix=suffix,
    )
    moment = ops.adapt_datetimefield_value
    params = [param for name, deadline in lines for param in (name, moment(now), moment(deadline))]
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return {name for (name,) in cursor.fetchall()}


def _table(model: type[models.Model], using: str) -> str:
    return connections[using].ops.quote_name(model._meta.db_table)
