"""Every private or undocumented name of Django that this package uses, each behind a function of its own.

A new version of Django may change these names without notice. Tests of their users fail then: on a new version, run
``tests/integration/db`` and ``tests/integration/capture`` first. All were checked on Django 5.2, 6.0 and 6.1.

The names that database backends implement (``connection.ops``, ``connection.features``, ``in_atomic_block``) count as
public here, and so do ``_meta``, ``_state``, ``_base_manager`` and ``_default_manager``, which are documented.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import FrameType
from typing import Any, TypeVar

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models import sql
from django.db.models.base import ModelState
from django.db.models.constants import OnConflict
from django.db.models.expressions import Col
from django.http import HttpResponse

Instance = TypeVar("Instance", bound=models.Model)
Q = TypeVar("Q", bound=models.QuerySet[Any])
Rows = models.QuerySet[Any]


# Tests


def is_test_environment() -> bool:
    """Return whether ``setup_test_environment()`` was called.

    Uses ``django.test.utils._TestState.saved_data``, and does not import the module. ``mail.outbox`` proves nothing: the
    locmem backend creates it with its first mail, also in production.
    """
    test_utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(test_utils, "_TestState", None), "saved_data")


# Fixtures

_FIXTURE_LOADERS = frozenset({"django.core.management.commands.loaddata", "django.db.backends.base.creation"})


def is_loading_fixture() -> bool:
    """Return whether the caller runs inside ``loaddata``, or a test database is being filled again.

    A ``raw`` save alone proves nothing: every deserialized object is saved so, also by an import or by django-reversion.
    Django has no flag for it, so this looks for the module names of the loaders among the callers.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") in _FIXTURE_LOADERS:
            return True
        frame = frame.f_back
    return False


# Connections


@contextmanager
def locking_transaction_mode(connection: Any) -> Iterator[None]:
    """Have SQLite take its write lock when a transaction begins in the block, unless the host configured a mode.

    Without the lock a transaction that reads first fails at its first write when another one has written since. Uses
    ``connection.transaction_mode`` of the SQLite backend; does nothing on other databases.
    """
    if connection.vendor == "sqlite":
        # The backend sets its mode when it connects.
        connection.ensure_connection()
    if getattr(connection, "transaction_mode", "unknown") is not None:
        yield
        return
    connection.transaction_mode = "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = None


def renew_pools_after_forks() -> None:
    """Have each process that is forked from now on open its own psycopg pools, instead of sharing the parent's sockets.

    Uses ``DatabaseWrapper._connection_pools`` of the PostgreSQL backend. Does nothing on platforms without ``fork``.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_pools)


# Kept, because the destructor of a pool waits for threads, and they are not in the child.
_of_parents: list[Any] = []


def _forget_pools() -> None:
    backend: Any = sys.modules.get("django.db.backends.postgresql.base")
    pools = backend.DatabaseWrapper._connection_pools if backend else {}
    for wrapper in connections.all(initialized_only=True):
        if wrapper.alias in pools:
            _of_parents.append(wrapper.connection)
            wrapper.connection = None
    _of_parents.append(dict(pools))
    pools.clear()


def atomic_blocks(connection: Any) -> list[Any]:
    """Return the ``atomic()`` blocks that a connection is in, the outermost first; uses ``connection.atomic_blocks``."""
    blocks: list[Any] = connection.atomic_blocks
    return blocks


def transaction_block(connection: Any) -> tuple[Any, str | None] | None:
    """Return the outermost ``atomic()`` block that is not a test case's, and its savepoint; None without one.

    The savepoint differs each time a block is entered that has one: a block that decorates a function is entered many
    times. Uses ``connection.savepoint_ids``, which ends with those of the inner blocks, and ``Atomic._from_testcase``, by
    which Django itself recognizes the blocks that its ``TestCase`` opens.
    """
    blocks, savepoints = connection.atomic_blocks, connection.savepoint_ids
    for depth, block in enumerate(blocks):
        if not block._from_testcase:
            position = depth - len(blocks)
            return block, savepoints[position] if -position <= len(savepoints) else None
    return None


def on_commit_functions(connection: Any) -> Iterator[Any]:
    """Yield the functions to be called on commit, in the order in which they were given to ``on_commit()``.

    Those that a rollback has removed are not among them. Uses ``connection.run_on_commit``.
    """
    return (one[1] for one in connection.run_on_commit)


@contextmanager
def server_side_binding(connection: Any, *, after: int = 0) -> Iterator[None]:
    """Have PostgreSQL bind the parameters of cursors that are opened in the block, and prepare each statement that ran ``after`` times.

    Uses ``ServerBindingCursor`` of the PostgreSQL backend. The connection must be open and of psycopg 3.
    """
    from django.db.backends.postgresql.base import ServerBindingCursor

    raw: Any = connection.connection
    before = raw.cursor_factory, raw.prepare_threshold
    raw.cursor_factory, raw.prepare_threshold = ServerBindingCursor, after
    try:
        yield
    finally:
        raw.cursor_factory, raw.prepare_threshold = before


def insert_ignoring_conflicts(connection: Any) -> tuple[str, str]:
    """Return how an ``INSERT`` that skips rows which violate a unique constraint begins and ends.

    Uses ``ops.insert_statement()`` and ``ops.on_conflict_suffix_sql()`` with `OnConflict`.
    """
    ops = connection.ops
    return ops.insert_statement(on_conflict=OnConflict.IGNORE), ops.on_conflict_suffix_sql(
        [], OnConflict.IGNORE, [], []
    )


# Compiled queries and their columns


def compile_select(rows: Rows) -> tuple[str, tuple[Any, ...], list[Any]]:
    """Return the SQL of a queryset, its parameters and its columns.

    Uses ``query.get_compiler()``, ``compiler.as_sql()`` and ``compiler.select``.
    """
    compiler: Any = rows.query.get_compiler(using=rows.db)
    statement, params = compiler.as_sql()
    return statement, tuple(params), [expression for expression, _sql, _alias in compiler.select]


def column_type(column: Any, connection: Any) -> str | None:
    """Return the database type of a column of a table, a ``Col``; None for other expressions."""
    kind: str | None = column.output_field.db_type(connection) if isinstance(column, Col) else None
    return kind


def column_of(field: models.Field[Any, Any], model: type[models.Model]) -> Any:
    """Return a field of ``model`` as a selected column; uses ``field.get_col()``."""
    return field.get_col(model._meta.db_table)


def converters_of(column: Any, connection: Any) -> list[Any]:
    """Return the functions that turn the driver's value of a column into Python's, to be called one after the other.

    Each takes the value, the column and the connection. Uses ``get_db_converters()`` of the backend and of the column.
    """
    return [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]


# Migrations


def migration_classes(app_label: str) -> dict[str, Any]:
    """Return the migration classes of an app by name, in the order of names; none if it has no migrations.

    Uses ``MigrationLoader.migrations_module``. A loader can't be created for this while another one imports migrations.
    """
    from django.db.migrations.loader import MigrationLoader

    if app_label not in apps.app_configs:
        return {}
    package_name, _explicit = MigrationLoader.migrations_module(app_label)
    if package_name is None or find_spec(package_name) is None:
        return {}
    package = import_module(package_name)
    names = sorted(found.name for found in iter_modules(getattr(package, "__path__", ())) if found.name[0] not in "_~")
    classes = {name: getattr(import_module(f"{package_name}.{name}"), "Migration", None) for name in names}
    return {name: one for name, one in classes.items() if one}


# Querysets


def use_write_database(rows: Rows) -> None:
    """Have a queryset without an explicit database use the one to write to; sets ``_for_write``."""
    rows._for_write = True  # type: ignore[attr-defined]


def forget_results(rows: Rows) -> None:
    """Have a queryset run its query again; sets ``_result_cache``."""
    rows._result_cache = None


def returns_values(rows: Rows) -> bool:
    """Return whether ``values()`` or ``values_list()`` was called on a queryset; uses ``_fields``."""
    return getattr(rows, "_fields", None) is not None


def copy_of(rows: Q) -> Q:
    """Return a copy of a queryset with all that was called on it; uses ``_chain()``."""
    copied: Q = rows._chain()  # type: ignore[attr-defined]
    return copied


def without_conditions(rows: Rows) -> Rows:
    """Return a copy of a queryset with its annotations and without its filters; uses ``query.clear_where()``."""
    copied = copy_of(rows)
    copied.query.clear_where()
    return copied


def delete_without_signals(rows: Rows) -> int:
    """Delete rows in one statement, without signals and cascades, and return their number; uses ``_raw_delete()``."""
    deleted: int = rows._raw_delete(rows.db)
    return deleted


def wrap_methods(owner: type, wrappers: Mapping[str, Callable[..., Any]]) -> None:
    """Replace methods of a class of Django's, which every model or queryset inherits.

    A wrapper is called with the replaced method, the instance and the arguments.
    """
    for name, wrapper in wrappers.items():
        setattr(owner, name, _wrapped(vars(owner)[name], wrapper))


def _wrapped(method: Callable[..., Any], wrapper: Callable[..., Any]) -> Callable[..., Any]:
    # Django reads attributes of the methods, such as `alters_data`: they are copied.
    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(method, self, *args, **kwargs)

    return wrapped


def updates_existing(options: Mapping[str, Any]) -> bool:
    """Return whether these options of ``QuerySet._insert()`` update rows that agree with a new one in unique fields."""
    return options.get("on_conflict") is OnConflict.UPDATE


def insert_returning_keys(
    insert: Callable[..., list[Any]],
    rows: Rows,
    objs: Sequence[Any],
    fields: Any,
    returning_fields: Any = None,
    **options: Any,
) -> tuple[list[Any], list[Any]]:
    """Insert one batch of ``bulk_create``. Return the keys of the rows that were inserted or updated, and what Django returns.

    ``insert`` is Django's own ``_insert()``, whose arguments are the others.
    """
    if options.get("on_conflict") is OnConflict.IGNORE:
        return _insert_ignoring(rows.model, objs, fields, **options), []
    names = [*(returning_fields or ()), rows.model._meta.pk]
    returned = insert(rows, objs, fields, returning_fields=names, **options)
    return [row[-1] for row in returned], [row[:-1] for row in returned] if returning_fields else []


def _insert_ignoring(
    model: type[models.Model], objs: Sequence[Any], fields: Any, *, using: str, **options: Any
) -> list[Any]:
    """Insert with conflicts ignored and return the keys of the inserted rows, which Django does not ask for.

    Uses ``InsertQuery`` and its compiler: ``returning_fields``, ``get_converters()`` and ``apply_converters()``.
    """
    query = sql.InsertQuery(model, **options)
    query.insert_values(fields, list(objs), raw=False)
    compiler: Any = query.get_compiler(using=using)
    compiler.returning_fields = [model._meta.pk]
    with compiler.connection.cursor() as cursor:
        for statement, params in compiler.as_sql():
            cursor.execute(statement, params)
        found = list(cursor.fetchall())
    columns = [column_of(field, model) for field in compiler.returning_fields]
    return [key for (key,) in compiler.apply_converters(found, compiler.get_converters(columns))]


# Instances


def new_instance(model: type[Instance], values: Mapping[str, Any]) -> Instance:
    """Return an unsaved instance with these values of all its columns, by their attribute names.

    Ten times as fast as the model's constructor, without the signals about it. Uses ``ModelState``, the ``_state``.
    """
    instance = model.__new__(model)
    vars(instance).update(values, _state=ModelState())
    return instance


# Responses


def keep_out_of_log(response: HttpResponse) -> HttpResponse:
    """Return a response whose status ``django.request`` does not log. Uses ``_has_been_logged``."""
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


# Saves


@contextmanager
def savepoint_at_statement(using: str) -> Iterator[None]:
    """Run the block in a savepoint, or in a transaction of its own outside one, which begins with the first statement.

    It is for code of the host that seldom queries the database. Uses ``connection.execute_wrappers``.
    """
    wrappers: list[Any] = connections[using].execute_wrappers
    with ExitStack() as stack:

        def begin(execute: Callable[..., Any], *args: Any) -> Any:
            wrappers.remove(begin)
            stack.enter_context(transaction.atomic(using=using))
            return execute(*args)

        wrappers.append(begin)
        try:
            yield
        finally:
            if begin in wrappers:
                wrappers.remove(begin)
