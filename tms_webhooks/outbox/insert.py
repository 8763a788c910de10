"""Writing a new event's row, with the next number of its subject: in as few statements as the database takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from django.db import connections, models
from django.db.models import Model

from tms_webhooks.db.compiled import SHORT_LIVED
from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.db.prepared import prepared
from tms_webhooks.db.sql import as_json, recordset
from tms_webhooks.models.event import Event, EventSequence
from tms_webhooks.models.occurrence import Occurrence

# Fields whose values go to the driver as they are.
PLAIN = (models.CharField, models.TextField, models.PositiveIntegerField, models.PositiveSmallIntegerField)

INSERT_NUMBERED = """
WITH numbered AS ({counting})
INSERT INTO {event} ({columns}, sequence, body)
VALUES ({places}, (SELECT last FROM numbered), %(head)s || (SELECT last::text FROM numbered) || %(tail)s)
RETURNING {key}::bigint, sequence::bigint"""

INSERT = "INSERT INTO {event} ({columns}, sequence, body) VALUES ({places}, %(sequence)s, %(body)s) {returning}"


def new_event(**values: Any) -> Event:
    """Return an event with these values, by the names of their columns, that is not written yet.

    Django takes several times as long for values that have names.
    """
    return Event(*[values[name] if name in values else default() for name, default in _event_defaults().items()])


def insert_one(event: Event, *, around: tuple[str, str] | None, using: str) -> None:
    """Write a new event. ``around`` is what stands in its body before and after its number; None if it has no body.

    Django's signals of a save are not sent: `event_recorded` tells of an event.
    """
    if around is not None and connections[using].vendor == "postgresql":
        _insert_numbering(event, around, using=using)
    else:
        set_sequence(
            event, EventSequence.objects.advance(event.subject_type, event.subject_id, using=using), around=around
        )
        _insert(event, using=using)
    event._state.adding = False
    event._state.db = using


def set_sequence(event: Event, sequence: int, *, around: tuple[str, str] | None) -> None:
    """Give a new event its number, in its row and in its body, if it has one."""
    event.sequence = sequence
    event.body = "" if around is None else str(sequence).join(around)


def _insert_numbering(event: Event, around: tuple[str, str], *, using: str) -> None:
    values = {**_column_values(event, using=using), "head": around[0], "tail": around[1]}
    with prepared(connections[using], after=SHORT_LIVED) as cursor:
        cursor.execute(_statement(INSERT_NUMBERED, using), values)
        event.pk, sequence = cursor.fetchone()
    set_sequence(event, sequence, around=around)


def _insert(event: Event, *, using: str) -> None:
    connection = connections[using]
    values = {**_column_values(event, using=using), "sequence": event.sequence, "body": event.body}
    with connection.cursor() as cursor:
        cursor.execute(_statement(INSERT, using), values)
        if connection.features.can_return_columns_from_insert:
            (event.pk,) = cursor.fetchone()
        else:
            event.pk = connection.ops.last_insert_id(cursor, Event._meta.db_table, str(Event._meta.pk.column))


def _column_values(event: Event, *, using: str) -> dict[str, Any]:
    connection, row = connections[using], vars(event)
    values = {field.attname: row[field.attname] for field in _written_fields()}
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
        columns=", ".join(quote(str(field.column)) for field in _written_fields()),
        places=", ".join(f"%({field.attname})s" for field in _written_fields()),
        counting=EventSequence.objects.counting(using) if connection.vendor == "postgresql" else "",
        key=key,
        returning=f"RETURNING {key}" if connection.features.can_return_columns_from_insert else "",
    )


@cache
def _event_defaults() -> dict[str, Callable[[], Any]]:
    return {field.attname: field.get_default for field in Event._meta.concrete_fields}


@cache
def _written_fields() -> tuple[models.Field[Any, Any], ...]:
    known_later = {"id", "sequence", "body"}
    return tuple(field for field in Event._meta.local_concrete_fields if field.name not in known_later)


@cache
def _adapted() -> tuple[models.Field[Any, Any], ...]:
    return tuple(field for field in _written_fields() if not isinstance(field, PLAIN))


# Each takes three parameters, and an old SQLite 999 in a statement.
KEYS_AT_ONCE = 300

Subject: TypeAlias = tuple[str, str]

ADVANCE = (
    "INSERT INTO {table} (subject_type, subject_id, last) SELECT subject_type, subject_id, many FROM {lines} "
    "ON CONFLICT (subject_type, subject_id) DO UPDATE SET last = {table}.last + excluded.last "
    "RETURNING subject_type, subject_id, last"
)
LINES = {
    "postgresql": "json_to_recordset(%s) AS line (subject_type varchar, subject_id varchar, many integer) WHERE true",
    "sqlite": (
        "(SELECT json_extract(value, '$.subject_type') AS subject_type, json_extract(value, '$.subject_id') "
        "AS subject_id, json_extract(value, '$.many') AS many FROM json_each(%s)) WHERE true"
    ),
}


def advance(counts: Mapping[Subject, int], *, using: str) -> dict[Subject, int]:
    """Give each subject so many numbers, without gaps; return the last number of each.

    As with `EventSequenceManager.advance` the subjects stay locked until the transaction ends. They are locked in one
    order, so that two transactions don't wait for each other.
    """
    connection = connections[using]
    ordered = dict(sorted(counts.items()))
    if not ordered:
        return {}
    if connection.vendor == "mysql":
        return _advance_in_mysql(ordered, using=using)
    if connection.vendor not in LINES or not connection.features.can_return_rows_from_bulk_insert:
        return {subject: _advance_alone(subject, many, using=using) for subject, many in ordered.items()}
    lines = [{"subject_type": kind, "subject_id": key, "many": many} for (kind, key), many in ordered.items()]
    sql = ADVANCE.format(table=_table_of(EventSequence, using), lines=LINES[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(sql, [as_json(lines)])
        return {(kind, key): last for kind, key, last in cursor.fetchall()}


def _advance_alone(subject: Subject, many: int, *, using: str) -> int:
    return [EventSequence.objects.advance(*subject, using=using) for _ in range(many)][-1]


def _advance_in_mysql(counts: dict[Subject, int], *, using: str) -> dict[Subject, int]:
    """Update those that are there and insert the others: see `EventSequenceManager` for why not both in one."""
    known = _locked_in_mysql(counts, using=using)
    steps: dict[tuple[str, int], list[str]] = defaultdict(list)
    for (kind, key), many in counts.items():
        if (kind, key) in known:
            steps[kind, many].append(key)
    table = _table_of(EventSequence, using)
    with connections[using].cursor() as cursor:
        for (kind, many), keys in steps.items():
            # Two events of an object in one batch are rare: this is one statement, or a few.
            cursor.execute(
                f"UPDATE {table} SET last = last + %s WHERE subject_type = %s AND subject_id IN %s",  # noqa: S608
                [many, kind, tuple(keys)],
            )
    new = {subject: many for subject, many in counts.items() if subject not in known}
    if new:
        with connections[using].cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {table} (subject_type, subject_id, last) VALUES (%s, %s, %s) "  # noqa: S608
                "ON DUPLICATE KEY UPDATE last = last + VALUES(last)",
                [(kind, key, many) for (kind, key), many in new.items()],
            )
    # Somebody else may have begun to count the new ones, too.
    return {subject: last + counts[subject] for subject, last in known.items()} | _locked_in_mysql(new, using=using)


def _locked_in_mysql(subjects: Mapping[Subject, int], *, using: str) -> dict[Subject, int]:
    by_type: dict[str, list[str]] = defaultdict(list)
    for kind, key in subjects:
        by_type[kind].append(key)
    found: dict[Subject, int] = {}
    with connections[using].cursor() as cursor:
        for kind, keys in by_type.items():
            cursor.execute(
                f"SELECT subject_id, last FROM {_table_of(EventSequence, using)} "  # noqa: S608
                "WHERE subject_type = %s AND subject_id IN %s ORDER BY subject_id FOR UPDATE",
                [kind, tuple(keys)],
            )
            found.update(((kind, key), last) for key, last in cursor.fetchall())
    return found


def insert_many(events: Sequence[Event], *, using: str) -> None:
    """Insert events that were never saved, in their order. They don't learn their keys."""
    connection = connections[using]
    fields = [field for field in Event._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    into = f"INSERT INTO {_table_of(Event, using)} ({columns})"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            lines = ({str(field.column): field.pre_save(event, add=True) for field in fields} for event in events)
            cursor.execute(f"{into} {recordset(fields, connection)}", [as_json(lines)])
        else:
            rows = [
                [field.get_db_prep_save(field.pre_save(event, add=True), connection) for field in fields]
                for event in events
            ]
            cursor.executemany(f"{into} VALUES ({', '.join(['%s'] * len(fields))})", rows)


def record_first_times(keys: Mapping[str, datetime | None], *, now: datetime, using: str) -> set[str]:
    """Return those keys that were never told, and remember them: `OccurrenceManager.first_time` for many.

    ``keys`` come with the dates that they speak of.
    """
    ordered = sorted(keys.items())
    if not connections[using].features.can_return_rows_from_bulk_insert:
        told = Occurrence.objects.record_first_time
        return {key for key, deadline in ordered if told(key, now=now, deadline=deadline, using=using)}
    new: set[str] = set()
    for start in range(0, len(ordered), KEYS_AT_ONCE):
        new |= _remember(ordered[start : start + KEYS_AT_ONCE], now=now, using=using)
    return new


def _remember(lines: Sequence[tuple[str, datetime | None]], *, now: datetime, using: str) -> set[str]:
    ops = connections[using].ops
    key = ops.quote_name("key")
    insert, suffix = insert_ignoring_conflicts(connections[using])
    begin = f"{insert} {_table_of(Occurrence, using)}"
    values = ", ".join(["(%s, %s, %s)"] * len(lines))
    moment = ops.adapt_datetimefield_value
    params = [param for name, deadline in lines for param in (name, moment(now), moment(deadline))]
    with connections[using].cursor() as cursor:
        cursor.execute(f"{begin} ({key}, recorded_at, deadline) VALUES {values} {suffix} RETURNING {key}", params)
        return {name for (name,) in cursor.fetchall()}


def _table_of(model: type[Model], using: str) -> str:
    return connections[using].ops.quote_name(model._meta.db_table)
