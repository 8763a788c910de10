"""An object's row before a save, and after it without a second query: the save's own ``UPDATE`` returns the new values.

The row before the save is locked, and read with the subscriptions of its organizations.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.models.expressions import RawSQL

from tms_webhooks.db.prepared import CompiledQuery, Parameter
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.models.audience import parent_column
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.interest import interest_in, organization_paths, types_of_any_webhook
from tms_webhooks.sources.paths import Model, RelatedList, field_at
from tms_webhooks.sources.rows import (
    OWNER_NAMES,
    at_key,
    columns_of,
    compared_properties,
    follow_paths,
    followed_fields,
    locked,
)
from tms_webhooks.sources.states import own_names

# Whether a table is an ordinary one, without the triggers and rules that may change a row after its UPDATE returned it.
IS_PLAIN_TABLE = {
    "postgresql": (
        "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT EXISTS"
        " (SELECT FROM pg_trigger WHERE tgrelid = pg_class.oid AND NOT tgisinternal)"
        " FROM pg_class WHERE oid = to_regclass(%s)"
    ),
    "sqlite": "SELECT COUNT(*) = 1 AND MIN(type) = 'table' FROM sqlite_master WHERE tbl_name = ? AND type <> 'index'",
}


AS_FIRST_SEEN = "tms_webhooks_as_first_seen"
"""The column of a query that says whether PostgreSQL locked the row in the version that it found.

If it had to wait for another transaction, the row has the changes of that one, but the rows of other tables do not. If a
foreign key changed, it may have found nothing.
"""


class RowQuery(NamedTuple):
    """A query of one row by its key, and what an ``UPDATE`` of the row's table needs to return the row's own columns.

    - ``positions``: the positions of the columns in the query, by their names
    - ``own``: the positions of the row's own columns, which ``returning`` names
    - ``references``: the positions of its key and its foreign keys. A change of one of these makes the values behind it
      others, or the row another one
    - ``whole``: whether the query reads all values that a payload needs
    """

    query: CompiledQuery
    positions: dict[str, int]
    own: Sequence[int]
    returning: str
    references: set[int]
    update: str
    whole: bool


class StoredRow:
    """The row of an object before a save, and after it. Values are converted to Python's when they are first read.

    ``changed`` are the driver's values that the save has changed, by their positions in the query; None unless they are
    known.
    """

    __slots__ = ("_before", "_values", "changed", "query")

    def __init__(self, query: RowQuery, before: Sequence[Any]) -> None:
        self.query = query
        self._before = before
        self._values: Sequence[Any] | None = None
        self.changed: dict[int, Any] | None = None

    def column(self, name: str) -> Any:
        """Return the driver's value of one column; None if the query has no such column."""
        position = self.query.positions.get(name)
        return None if position is None else self._before[position]

    def value(self, name: str) -> Any:
        """Return the value of one column before the save."""
        position = self.query.positions[name]
        return self.query.query.value_at(position, self._before[position])

    def values(self, names: Mapping[str, str], *, after: bool = False) -> dict[str, Any]:
        """Return the columns in the values of ``names``, by its keys, before the save or after it."""
        if self._values is None:
            self._values = self.query.query.as_python(self._before)
        values = list(self._values)
        if after and self.changed:
            for position, value in self.changed.items():
                values[position] = self.query.query.value_at(position, value)
        return {name: values[self.query.positions[column]] for name, column in names.items()}

    def instance(self, model: Model, using: str, *, after: bool = False) -> models.Model:
        """Return the object as it was, or as it was saved; the query must have all of its columns."""
        attributes = {field.attname: field.attname for field in model._meta.concrete_fields}
        return model.from_db(using, *zip(*self.values(attributes, after=after).items(), strict=True))

    @contextmanager
    def returned_by_update(self, using: str) -> Iterator[None]:
        """Have the ``UPDATE`` of a save in the block return the row; not where the rest has to be read anyway.

        It does if it is the first statement of the connection. After a second one the row may have changed again, so
        that it has to be read.
        """
        returned: list[Sequence[Any]] = []

        def execute(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 (Django's)
            is_first = not returned
            returned.append(())
            if not is_first or many or not sql.startswith(self.query.update) or " RETURNING " in sql:
                return execute(sql, params, many, context)
            result = execute(sql + self.query.returning, params, many, context)
            # To the last row: SQLite knows how many rows it has updated when it has returned them all.
            returned[0] = context["cursor"].fetchall()
            return result

        if not self.query.whole or self.column(AS_FIRST_SEEN) is False:
            yield
            return
        wrappers = connections[using].execute_wrappers
        wrappers.append(execute)
        try:
            yield
        finally:
            wrappers.remove(execute)
        if len(returned) == 1 and len(returned[0]) == 1:
            columns = zip(self.query.own, returned[0][0], strict=True)
            changed = {at: value for at, value in columns if self._before[at] != value}
            if self.query.references.isdisjoint(changed):
                self.changed = changed


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """An object's row before a change, and the event types to which its organizations subscribe.

    - ``row``: the row, or None if it doesn't exist; sources of one model share it
    - ``event_types``: the types of the source to which the row's organizations subscribe, if ``exact`` is true.
      Otherwise the types to which any webhook subscribes that may receive events of this row
    - ``exact``: whether ``event_types`` are those of the row's organizations
    - ``shared``: whether a webhook of another organization that may see the object subscribes to one of its event types
    - ``properties``: the values of `compared_properties`, once they are read
    """

    source: Source
    row: StoredRow | None
    event_types: Collection[str]
    exact: bool = False
    shared: bool = False
    properties: dict[str, Any] = field(default_factory=dict)

    def raw(self, *, using: str) -> dict[str, Any] | None:
        """Return the values of `compared_names`; None if the row doesn't exist."""
        if self.row is None:
            return None
        properties = compared_properties(self.source)
        if properties and not self.properties:
            try:
                values = follow_paths(properties, [self.row.instance(self.source.model, using)], using=using)
            except PayloadError as error:
                # The save may have mended it.
                values = [dict.fromkeys(properties, error)]
            self.properties.update(*values)
        return {**self.row.values(_own_columns(self.source)), **self.properties}

    def changes_organization(self, instance: models.Model) -> bool:
        """Return whether ``instance`` may have been saved with another organization than the row had."""
        if self.row is None:
            return False
        saved = vars(instance)
        columns = (path.column for path in organization_paths(self.source))
        return any(column in saved and saved[column] != self.row.value(column) for column in columns)

    def is_unchanged(self) -> bool:
        """Return whether the save is known to have changed no value of the row itself."""
        if self.row is None or (changed := self.row.changed) is None:
            return False
        positions = self.row.query.positions
        return not any(positions[name] in changed for name in _compared_columns(self.source))

    def after(self, *, using: str) -> dict[str, Any] | None:
        """Return what `read_whole` does after a save, if its ``UPDATE`` returned the row; None if it has to be read."""
        if self.row is None or self.row.changed is None:
            return None
        raw = self.row.values(_columns(self.source), after=True)
        if followed := followed_fields(self.source):
            raw.update(*follow_paths(followed, [self.row.instance(self.source.model, using, after=True)], using=using))
        return raw


@cache
def _columns(source: Source) -> dict[str, str]:
    """Return the names of the query's columns by the canonical names that SQL can read."""
    return {name: source.mapped[name].column for name in columns_of(source)}


@cache
def _own_columns(source: Source) -> dict[str, str]:
    """Return the names of the row's own columns by their canonical names."""
    return {name: mapped.column for name, mapped in source.own.items()}


@cache
def _compared_columns(source: Source) -> list[str]:
    """Return the names of the columns whose change may be an event: all, if only Python can read whose the object is."""
    if not followed_fields(source).keys().isdisjoint(OWNER_NAMES):
        return [field.attname for field in source.model._meta.concrete_fields]
    return [source.own[name].column for name in own_names(source)]


def read_before(
    sources: Mapping[Source, tuple[str, ...]], key: Any, *, using: str, new: bool = False
) -> dict[Source, RowSnapshot]:
    """Lock and read an object's own values, and the subscriptions of its organizations in the same query.

    ``sources`` are sources of one model, each with the event types that it may emit. The lock prevents a concurrent
    change between this read and the write that follows. ``new`` says that the row probably doesn't exist.
    """
    of_new = _before_creation(sources, using=using) if key is None or new else {}
    is_awaited = any(before.event_types or source.reconcile for source, before in of_new.items())
    if of_new and (key is None or not is_awaited):
        return of_new
    model, parent = next(iter(sources)).model, parent_column()
    # A new row is inserted, so that no UPDATE returns it.
    whole = not new and can_return_rows(model, using)
    query = _query_before(tuple(sources.items()), using, parent, whole=whole)
    rows = query.query.run_raw(key)
    if not rows and whole and connections[using].vendor == "postgresql":
        # Its row may be there: see `AS_FIRST_SEEN`.
        query = _query_before(tuple(sources.items()), using, parent, whole=False)
        rows = query.query.run_raw(key)
    if not rows:
        return of_new or _before_creation(sources, using=using)
    row = StoredRow(query, rows[0])
    interests = {source: interest_in(source, types, using, parent) for source, types in sources.items()}
    return {source: RowSnapshot(source, row, *one.types_for(row.column)) for source, one in interests.items()}


@cache
def _query_before(
    sources: tuple[tuple[Source, tuple[str, ...]], ...], using: str, parent: str | None, *, whole: bool
) -> RowQuery:
    """Return the query of `read_before`; a ``whole`` one also reads the values behind foreign keys."""
    model = sources[0][0].model
    connection, quote = connections[using], connections[using].ops.quote_name
    fields = {field.attname: field for field in model._meta.local_concrete_fields}
    references = [name for name, field in fields.items() if field.primary_key or field.is_relation]
    lookups: dict[str, None] = dict.fromkeys(references if whole else ())
    extra: dict[str, Any] = {}
    for source, event_types in sources:
        for mapped in (source.mapped if whole else source.own).values():
            if isinstance(mapped.lookup, RelatedList):
                extra[mapped.column] = mapped.lookup
            elif mapped.lookup is not None:
                lookups[mapped.lookup] = None
        lookups.update(dict.fromkeys(path.column for path in organization_paths(source)))
        if followed_fields(source) if whole else compared_properties(source):
            # Python follows the paths from an instance.
            lookups.update(dict.fromkeys(field.attname for field in model._meta.concrete_fields))
        extra.update(interest_in(source, event_types, using, parent).columns)
    rows, lock, table = at_key(sources[0][0], using), "", quote(model._meta.db_table)
    if not whole:
        rows = locked(rows)
    elif connection.features.has_select_for_update:
        # The lock of the model's row only, as an UPDATE takes it: the query joins other tables.
        lock = connection.ops.for_update_sql(of=(table,), no_key=connection.features.has_select_for_no_key_update)
        key = model._meta.pk
        seen = f"{table}.ctid = (SELECT seen.ctid FROM {table} seen WHERE seen.{quote(str(key.column))} = %s)"  # noqa: S608 (names of ours)
        extra[AS_FIRST_SEEN] = RawSQL(seen, [Parameter(key)], output_field=models.BooleanField())  # noqa: S611
    positions = {name: position for position, name in enumerate((*lookups, *extra))}
    own = [field for name, field in fields.items() if name in positions]
    return RowQuery(
        CompiledQuery(rows.annotate(**extra).values_list(*lookups, *extra), lock=lock),
        positions,
        own=[positions[field.attname] for field in own],
        returning=f" RETURNING {', '.join(quote(str(field.column)) for field in own)}",
        references={positions[name] for name in references if name in positions},
        update=f"UPDATE {table} SET ",  # noqa: S608 (names of ours)
        whole=whole,
    )


def _before_creation(sources: Mapping[Source, tuple[str, ...]], *, using: str) -> dict[Source, RowSnapshot]:
    """Return, for an object without a row, the event types of each source to which any webhook subscribes; one query."""
    subscribed = types_of_any_webhook(tuple(chain.from_iterable(sources.values())), using=using)
    return {source: RowSnapshot(source, None, subscribed.intersection(types)) for source, types in sources.items()}


@cache
def watched_fields(source: Source) -> set[str]:
    """Return the names of the fields of a row whose change may be an event."""
    columns = [*_compared_columns(source), *(path.column for path in organization_paths(source))]
    fields: list[Any] = [field_at(source.model, column) for column in columns]
    return {name for field in fields for name in (field.name, field.attname)}


def key_of(source: Source, instance: models.Model) -> Any:
    """Return the key of ``instance`` in the source's own table, or None if it has none yet.

    This is not always the instance's primary key: its model may extend the source's model and others.
    """
    meta = source.model._meta
    # An instance of a model that the source's model extends has the same key.
    key = getattr(instance, meta.pk.attname) if isinstance(instance, source.model) else instance.pk
    if key is None:
        # A child row for an existing parent row has only the link to the parent.
        link = instance._meta.get_ancestor_link(source.model)
        key = getattr(instance, link.attname) if link is not None else None
    return None if key is None or hasattr(key, "resolve_expression") else as_key(source.model, key)


def as_key(model: Model, key: Any) -> Any:
    """Return a key of ``model`` as its Python type, also if it is given as text, such as from a request."""
    try:
        return model._meta.pk.to_python(key)
    except (ValidationError, ValueError):
        # An invalid key: leave the error message to Django.
        return key


@cache
def can_return_rows(model: Model, using: str) -> bool:
    """Return whether an ``UPDATE`` of the model's table can return the row as it is after the statement."""
    connection, meta = connections[using], model._meta
    if connection.vendor not in IS_PLAIN_TABLE or meta.parents:
        return False
    table = connection.ops.quote_name(meta.db_table) if connection.vendor == "postgresql" else meta.db_table
    connection.ensure_connection()
    # On the driver's cursor, so that the host's query counts and logs do not include it.
    with connection.wrap_database_errors:
        cursor = connection.connection.cursor()
        cursor.execute(IS_PLAIN_TABLE[connection.vendor], [table])
        row = cursor.fetchone()
        cursor.close()
    return bool(row and row[0])
