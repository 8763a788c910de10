"""An object's row before a save, and after it without a second query: the save's own ``UPDATE`` returns the new values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connections, models
from django.db.models.expressions import RawSQL

from tms_webhooks.db.compiled import CompiledQuery, Parameter

# Whether a table is an ordinary one, without the triggers and rules that may change a row after its UPDATE returned it.
IS_PLAIN_TABLE = {
    "postgresql": (
        "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT EXISTS"
        " (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal)"
        " FROM pg_class WHERE oid = to_regclass({table})"
    ),
    "sqlite": "SELECT COUNT(*) = 1 AND MIN(type) = 'table' FROM sqlite_master WHERE tbl_name = {table} AND type <> 'index'",
}


AS_FIRST_SEEN = "tms_webhooks_as_first_seen"
"""The column of `as_first_seen` in a query."""


class RowQuery:
    """A query of one row by its key, and what an ``UPDATE`` of the row's table needs to return the row's own columns."""

    def __init__(
        self,
        rows: models.QuerySet[Any],
        lookups: Sequence[str],
        extra: Sequence[str],
        *,
        keys: Iterable[str],
        lock: str,
        whole: bool,
    ) -> None:
        """Compile ``rows``, which select the values at ``lookups`` and the annotations ``extra``.

        ``keys`` are the columns by which other rows are found. ``lock`` is the clause that locks the row. ``whole`` says that the query reads all values that a payload needs.
        """
        meta, quote = rows.model._meta, connections[rows.db].ops.quote_name
        self.query = CompiledQuery(rows, lock=lock)
        self.whole = whole
        self.positions = {name: position for position, name in enumerate((*lookups, *extra))}
        self.has_composite_key = len(meta.pk_fields) > 1
        columns = {field.attname: quote(str(field.column)) for field in meta.local_concrete_fields}
        own = {position: columns[name] for name, position in self.positions.items() if name in columns}
        self.own = tuple(own)
        self.update = f"UPDATE {quote(meta.db_table)} SET "  # noqa: S608 (names of ours)
        self.returning = f" RETURNING {', '.join(own.values())}"
        # A change of one of these makes the values behind foreign keys others, or the row another one.
        self.keys = {self.positions[name] for name in keys if name in self.positions}


def key_columns(model: type[models.Model], lookups: Iterable[str]) -> list[str]:
    """Return the names of the columns of a row's own key, and of its foreign keys that ``lookups`` follow."""
    references = {lookup.partition("__")[0] for lookup in lookups if "__" in lookup}
    fields: list[Any] = [*model._meta.pk_fields, *map(model._meta.get_field, sorted(references))]
    return [field.attname for field in fields if field.concrete]


class StoredRow:
    """The row of an object before a save, and after it. Values are converted to Python's when they are first read.

    ``changed`` are the driver's values that the save has changed, by their positions in the query; None unless they are
    known.
    """

    __slots__ = ("_before", "_query", "_values", "_watch", "changed")

    def __init__(self, query: RowQuery, before: Sequence[Any]) -> None:
        self._query = query
        self._before = query.query.as_python(before) if query.has_composite_key else before
        self._values: Sequence[Any] | None = self._before if query.has_composite_key else None
        self._watch: UpdateWatch | None = None
        self.changed: dict[int, Any] | None = None

    def column(self, name: str) -> Any:
        """Return the driver's value of one column; None if the query has no such column."""
        position = self._query.positions.get(name)
        return None if position is None else self._before[position]

    def value(self, name: str) -> Any:
        """Return the value of one column before the save."""
        position = self._query.positions[name]
        if self._values is None:
            return self._query.query.value_at(position, self._before[position])
        return self._values[position]

    def values(self, names: Mapping[str, str], *, after: bool = False) -> dict[str, Any]:
        """Return the columns in the values of ``names``, by its keys, before the save or after it."""
        if self._values is None:
            self._values = self._query.query.as_python(self._before)
        values, positions = self._values, self._query.positions
        found = {name: values[positions[column]] for name, column in names.items()}
        new = {at: self._query.query.value_at(at, value) for at, value in (self.changed or {}).items()} if after else {}
        return found | {name: new[positions[column]] for name, column in names.items() if positions[column] in new}

    def instance(self, model: type[models.Model], using: str, *, after: bool = False) -> models.Model:
        """Return the object as it was, or as it was saved; the query must have all of its columns."""
        attributes = {field.attname: field.attname for field in model._meta.concrete_fields}
        return model.from_db(using, *zip(*self.values(attributes, after=after).items(), strict=True))

    def watch_update(self, connection: Any) -> None:
        """Have the ``UPDATE`` of the save return the row, until `end_watch`; not where the rest has to be read anyway."""
        if self._query.whole and self.column(AS_FIRST_SEEN) is not False:
            self._watch = UpdateWatch(connection, self._query)

    def end_watch(self) -> None:
        """Take what the ``UPDATE`` has returned, if it was the only statement of the save."""
        if self._watch is None:
            return
        returned, self._watch = self._watch.end(), None
        if returned is not None:
            before = self._before
            changed = {at: value for at, value in zip(self._query.own, returned, strict=True) if before[at] != value}
            if self._query.keys.isdisjoint(changed):
                self.changed = changed

    def has_same(self, names: Collection[str]) -> bool:
        """Return whether these columns are known to have the same values after the save."""
        positions, changed = self._query.positions, self.changed
        return changed is not None and not any(positions[name] in changed for name in names)


class UpdateWatch:
    """Sees each statement of a connection, and has the first one return the row if that is its ``UPDATE``.

    With a second statement the row may have changed again, so that it has to be read.
    """

    def __init__(self, connection: Any, query: RowQuery) -> None:
        self._query = query
        self._wrappers: list[Any] = connection.execute_wrappers
        self._statements = 0
        self._rows: list[Sequence[Any]] = []
        self._wrappers.append(self)

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 (Django's)
        """Execute a statement, as Django's ``execute_wrapper`` has it."""
        self._statements += 1
        if self._statements > 1 or many or not sql.startswith(self._query.update) or " RETURNING " in sql:
            self._statements += 1
            return execute(sql, params, many, context)
        result = execute(sql + self._query.returning, params, many, context)
        # To the last row: SQLite knows how many rows it has updated when it has returned them all.
        self._rows = context["cursor"].fetchall()
        return result

    def end(self) -> Sequence[Any] | None:
        """Stop seeing statements; return the row as the driver returned it, or None."""
        self._wrappers.remove(self)
        return self._rows[0] if self._statements == 1 and len(self._rows) == 1 else None


@cache
def can_return_rows(model: type[models.Model], using: str) -> bool:
    """Return whether an ``UPDATE`` of the model's table can return the row as it is after the statement."""
    connection, meta = connections[using], model._meta
    if connection.vendor not in IS_PLAIN_TABLE or not connection.features.can_return_columns_from_insert:
        return False
    if meta.parents or len(meta.pk_fields) > 1:
        return False
    table = connection.ops.quote_name(meta.db_table) if connection.vendor == "postgresql" else meta.db_table
    text = "'" + table.replace("'", "''") + "'"
    connection.ensure_connection()
    # On the driver's cursor, so that the host's query counts and logs do not include it.
    with connection.wrap_database_errors:
        cursor = connection.connection.cursor()
        cursor.execute(IS_PLAIN_TABLE[connection.vendor].format(table=text))
        row = cursor.fetchone()
        cursor.close()
    return bool(row and row[0])


def lock_of_row(model: type[models.Model], using: str) -> str:
    """Return the clause that locks the model's row only, as an UPDATE does, in a query that joins other tables."""
    connection = connections[using]
    no_key = connection.features.has_select_for_no_key_update
    return connection.ops.for_update_sql(of=(connection.ops.quote_name(model._meta.db_table),), no_key=no_key)


def as_first_seen(model: type[models.Model], using: str) -> RawSQL:
    """Return an expression: whether PostgreSQL locked the row in the version that it found.

    If it had to wait for another transaction, the row has the changes of that one, but the rows of other tables do not.
    If a foreign key changed, it may have found nothing.
    """
    quote, meta = connections[using].ops.quote_name, model._meta
    table, key = quote(meta.db_table), quote(str(meta.pk.column))
    sql = f"{table}.ctid = (SELECT seen.ctid FROM {table} seen WHERE seen.{key} = %s)"  # noqa: S608 (names of ours)
    return RawSQL(sql, [Parameter(meta.pk)], output_field=models.BooleanField())  # noqa: S611
