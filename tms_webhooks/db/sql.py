"""Run handwritten statements, and short write transactions. The ORM takes longer to build a statement of every batch than it runs.

In a statement ``{delivery}``, ``{event}`` and so on stand for the tables of those models. Other names in braces are
arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cache, lru_cache
from logging import Logger
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.apps import apps
from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Field, IntegerField, Manager, Model, Q, QuerySet
from django.db.models.lookups import Lookup

from tms_webhooks.db.django_private import column_of
from tms_webhooks.db.prepared import Converters, converters_by_index, prepared

M = TypeVar("M", bound=Model)

# By connection, because converters depend on it.
_cached_converters: WeakKeyDictionary[BaseDatabaseWrapper, dict[tuple[Any, ...], Converters]] = WeakKeyDictionary()
LABEL = "tms_webhooks"
"""The app whose models are looked up in the registry, by their names."""


def database() -> BaseDatabaseWrapper:
    """Return the connection to the database of deliveries."""
    return connections[router.db_for_write(_models()["delivery"])]


def filled(sql: str, **parts: str) -> str:
    """Return a statement with the names of tables and the given parts filled in.

    ``{binary}`` before a text column compares it exactly: MariaDB ignores case and trailing spaces otherwise.
    ``{condition}`` is the column of that name, a reserved word in MariaDB.
    """
    return sql.format(**_tables(database().alias), **parts)


def read(
    sql: str, params: Sequence[Any] | Mapping[str, Any] = (), *, repeated: bool = False, **parts: str
) -> list[tuple[Any, ...]]:
    """Run a query and return its rows as the database's driver returns them: times and booleans are not converted.

    One that is ``repeated`` is a prepared statement where possible. Its text must always be the same.
    """
    with _cursor(repeated=repeated) as cursor:
        cursor.execute(filled(sql, **parts), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def write(sql: str, params: Sequence[Any] | Mapping[str, Any] = (), *, repeated: bool = False, **parts: str) -> int:
    """Run a statement that changes rows, and return their number; ``repeated`` is that of `read`."""
    with _cursor(repeated=repeated) as cursor:
        cursor.execute(filled(sql, **parts), params)
        return int(cursor.rowcount)


def _cursor(*, repeated: bool) -> AbstractContextManager[Any]:
    return prepared(database()) if repeated else database().cursor()


def moment(value: datetime) -> Any:
    """Return a time as a parameter for this database."""
    return database().ops.adapt_datetimefield_value(value)


def as_datetime(value: Any, zone: Any = None) -> Any:
    """Return a time that `read` has returned, with its zone, which SQLite and MariaDB leave out: that of the connection."""
    if isinstance(value, str):
        # PostgreSQL fills a text up to its length.
        value = datetime.fromisoformat(value.rstrip())
    return value and value.replace(tzinfo=value.tzinfo or zone or database().timezone)


def numbers(keys: Iterable[int]) -> str:
    """Return keys for ``IN (…)`` and ``NOT IN (…)``; without keys a 0, which no row has."""
    return ", ".join(map(str, map(int, keys))) or "0"


def among(keys: Iterable[int]) -> tuple[str, dict[str, str]]:
    """Return the condition that a key is one of these, and its parameters.

    On PostgreSQL its text is the same for any keys, so that the statement can be prepared: planning takes longer than running it.
    """
    if database().vendor == "postgresql":
        return "= ANY(%(among)s::bigint[])", {"among": array(keys)}
    return f"IN ({numbers(keys)})", {}


def array(values: Iterable[Any]) -> str:
    """Return keys or times as one parameter for PostgreSQL: the text of an array, whatever the type of its items."""
    return "{" + ",".join("NULL" if value is None else f'"{value}"' for value in values) + "}"


def for_update(*, skip_locked: bool = False) -> str:
    """Return the ``FOR UPDATE`` clause; an empty text where the whole database has one writer."""
    connection = database()
    return connection.ops.for_update_sql(skip_locked=skip_locked) if connection.features.has_select_for_update else ""


# By vendor: the query for rows that are passed as one parameter, and one of its columns.
RECORDSETS = {
    "postgresql": ("SELECT * FROM json_to_recordset(%s) AS line ({})", '"{}" {}'),
    "sqlite": ("SELECT {} FROM json_each(%s)", "json_extract(value, '$.{0}') AS {0}"),
    "mysql": ("SELECT * FROM JSON_TABLE(%s, '$[*]' COLUMNS ({})) line", "`{0}` {1} PATH '$.{0}'"),
}


def recordset(fields: Iterable[Field[Any, Any]], connection: BaseDatabaseWrapper) -> str:
    """Return the query for rows that are passed as one parameter, from `as_json`, with these fields' columns.

    With thousands of parameters psycopg takes five times as long, and SQLite takes no more than some.
    """
    rows, column = RECORDSETS[connection.vendor]
    columns = ", ".join(column.format(field.column, field.db_type(connection)) for field in fields)
    # MariaDB's JSON_TABLE has no such type.
    return rows.format(columns).replace("` uuid ", "` char(36) ")


def as_json(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows, each a mapping by column name, as the parameter of `recordset`."""
    return json.dumps(list(rows), default=str)


@lru_cache
def _models() -> Mapping[str, type[Model]]:
    return {str(model._meta.model_name): model for model in apps.get_app_config(LABEL).get_models()}


@lru_cache
def _tables(alias: str) -> Mapping[str, str]:
    connection = connections[alias]
    quote = connection.ops.quote_name
    tables = {name: quote(model._meta.db_table) for name, model in _models().items()}
    return {**tables, "condition": quote("condition"), "binary": "BINARY" if connection.vendor == "mysql" else ""}


# Short write transactions, above all for databases with one writer, such as SQLite: there all other writers wait


# For PostgreSQL: the commit of the current transaction does not wait for the disk.
ASYNCHRONOUS_COMMIT = "SELECT set_config('synchronous_commit', 'off', true)"

LATELY = 1.0
"""For this many seconds after a write of another connection, further ones are expected."""

# Deadlock, serialization failure and lock timeout of PostgreSQL; the same, and a row that has changed, of MariaDB.
_CONFLICTS = {"40P01", "40001", "55P03", 1213, 1205, 1020}

# By connection: the database version that it saw last, and until when writes of others are expected.
_versions: WeakKeyDictionary[BaseDatabaseWrapper, tuple[int, float]] = WeakKeyDictionary()


@contextmanager
def brief_write(*, durable: bool = True) -> Iterator[None]:
    """Run the block in a transaction. Compute before the transaction; keep few statements inside it.

    If it need not be ``durable``, its commit may be lost when the database's machine fails within the next second. That
    is for work that is repeated then.
    """
    connection = database()
    with transaction.atomic(using=connection.alias):
        if not durable and connection.vendor == "postgresql":
            read(ASYNCHRONOUS_COMMIT)
        yield


def is_conflict(error: Exception) -> bool:
    """Return whether another transaction was in the way, as happens now and then: the same statements succeed later."""
    code = getattr(error.__cause__, "sqlstate", None) or next(iter(error.args), None)
    return code in _CONFLICTS


def log_refusal(logger: Logger, error: Exception, text: str, *args: object) -> None:
    """Log an error that a repetition can help: with its traceback, or quietly if it is a conflict."""
    if is_conflict(error):
        logger.debug("%s Another transaction was in the way.", text % args)
    else:
        logger.error(text, *args, exc_info=error)


def has_one_writer() -> bool:
    """Return whether the database has one writer, so that all others wait for it."""
    return not database().features.has_select_for_update


def others_write() -> bool:
    """Return whether other connections have written recently, and so may be waiting for the one writer.

    SQLite changes the data version of a connection whenever another connection commits.
    """
    if not has_one_writer():
        return False
    connection = database()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        # On the driver's connection, so that the host's query counts and logs do not include it.
        version: int = connection.connection.execute("PRAGMA data_version").fetchone()[0]
    before, until = _versions.get(connection, (version, 0.0))
    if version != before:
        until = monotonic() + LATELY
    _versions[connection] = version, until
    return monotonic() < until


# Filters for many rows by their keys, cheaper than Django's ``pk__in``, which makes a parameter of each key.


class KeyIn(Lookup):
    """``IN`` with the numbers in the statement itself.

    A lookup, because Django writes any other condition as ``(…) = True`` for MySQL, which then reads the whole table.
    """

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        """Return ``column IN (…)``."""
        column, params = self.process_lhs(compiler, connection)
        return f"{column} IN ({self.rhs})", tuple(params)


def key_in(ids: Iterable[int]) -> KeyIn:
    """Return a filter for the rows of a table of this app with these keys, which are whole numbers.

    A parameter for each key costs Django some ten microseconds: for a batch of deliveries more than the query itself.
    """
    return KeyIn(F("pk"), numbers(ids))


def keys_in(model: type[Model], keys: Sequence[Any]) -> KeyIn | Q:
    """Return a filter for the rows of the host's ``model`` with these keys, of any type."""
    is_whole = isinstance(model._meta.pk, IntegerField) and all(isinstance(key, int) for key in keys)
    return key_in(keys) if keys and is_whole else Q(pk__in=keys)


class PrimaryManager(Manager[M]):
    """Reads rows where they are written: workers decide by them, and a replica may lag behind."""

    def get_queryset(self) -> QuerySet[M]:
        """Return the rows in the database to write to."""
        return super().get_queryset().using(self._db or router.db_for_write(self.model))


def insert_or_update(rows: Any, objects: Sequence[Model], *, unique: Sequence[str], fields: Sequence[str]) -> None:
    """Insert objects in one statement; where one exists already with the same ``unique`` fields, update these fields."""
    # MariaDB and MySQL check every unique key, and take no names of fields.
    takes_names = connections[rows.db].features.supports_update_conflicts_with_target
    rows.bulk_create(
        objects, update_conflicts=True, unique_fields=unique if takes_names else None, update_fields=fields
    )


# Model instances from rows: `QuerySet.raw` matches columns to fields at each run, which takes as long as the query.


@cache
def columns_of(fields: tuple[Any, ...], table: str) -> str:
    """Return the columns that a statement selects for `instance`."""
    quote = database().ops.quote_name
    return ", ".join(f"{table}.{quote(field.column)}" for field in fields)


def instance(fields: tuple[Any, ...], row: Sequence[Any]) -> Any:
    """Return an instance of the fields' model, from a row that begins with their columns, as the driver returned it."""
    connection, model = database(), fields[0].model
    cached = _cached_converters.setdefault(connection, {})
    if fields not in cached:
        cached[fields] = converters_by_index([column_of(field, model) for field in fields], connection)
    values = list(row[: len(fields)])
    for index, (column, converters) in cached[fields].items():
        for convert in converters:
            values[index] = convert(values[index], column, connection)
    return model.from_db(connection.alias, [field.attname for field in fields], values)
