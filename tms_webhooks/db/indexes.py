"""Migration operations that add and remove an index of a large table while rows are saved.

Django has operations of these names for PostgreSQL alone. They import psycopg, do not run on other databases, and do not
repair an interrupted run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import NotSupportedError
from django.db.migrations.operations import AddIndex, RemoveIndex
from django.db.migrations.operations.base import Operation
from django.db.models import Index, Model

INVALID = (
    "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE indrelid = to_regclass(%s) AND relname = %s AND NOT indisvalid"
)
"""Returns a row if an interrupted ``CONCURRENTLY`` left this index of this table: writes update it, no query uses it."""

TIME_LIMITS = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')"
SET_TIME_LIMITS = "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)"


class _Concurrently(Operation):
    """Runs the operation that it is mixed into with an `_Editor`."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        super().database_forwards(app_label, _Editor(schema_editor), from_state, to_state)  # type: ignore[arg-type]

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        super().database_backwards(app_label, _Editor(schema_editor), from_state, to_state)  # type: ignore[arg-type]


class AddIndexConcurrently(_Concurrently, AddIndex):
    """Add an index; ``CONCURRENTLY`` on PostgreSQL. The migration needs ``atomic = False``.

    An interrupted migration can be run again: it keeps a complete index and replaces an invalid one.
    """


class RemoveIndexConcurrently(_Concurrently, RemoveIndex):
    """Remove an index; ``CONCURRENTLY`` on PostgreSQL. The migration needs ``atomic = False``, and can be run again."""


class _Editor:
    """The methods of a schema editor that both operations use."""

    def __init__(self, editor: Any) -> None:
        self.connection = editor.connection
        self._editor = editor
        self._options = {"concurrently": True} if self.connection.vendor == "postgresql" else {}

    def add_index(self, model: type[Model], index: Index) -> None:
        with self._unlimited_time():
            if self._options:
                with self.connection.cursor() as cursor:
                    cursor.execute(INVALID, [self._editor.quote_name(model._meta.db_table), index.name])
                    is_invalid = cursor.fetchone() is not None
                if is_invalid:
                    self._editor.remove_index(model, index, **self._options)
            if self._editor.collect_sql or not self._exists(model, index):
                self._editor.add_index(model, index, **self._options)

    def remove_index(self, model: type[Model], index: Index) -> None:
        with self._unlimited_time():
            if self._editor.collect_sql or self._exists(model, index):
                self._editor.remove_index(model, index, **self._options)

    def _exists(self, model: type[Model], index: Index) -> bool:
        with self.connection.cursor() as cursor:
            return index.name in self.connection.introspection.get_constraints(cursor, model._meta.db_table)

    @contextmanager
    def _unlimited_time(self) -> Iterator[None]:
        """On PostgreSQL, turn the time limits off in the block. Raise `NotSupportedError` inside a transaction.

        ``CONCURRENTLY`` waits for older transactions, and delays no save by that. A limit would leave an invalid index.
        """
        if not self._options:
            yield
            return
        if self.connection.in_atomic_block:
            raise NotSupportedError(
                "PostgreSQL adds and removes an index CONCURRENTLY outside of a transaction only. "
                "Set atomic = False in the migration."
            )
        with self.connection.cursor() as cursor:
            cursor.execute(TIME_LIMITS)
            limits = cursor.fetchone()
            cursor.execute(SET_TIME_LIMITS, ["0", "0"])
            try:
                yield
            finally:
                cursor.execute(SET_TIME_LIMITS, limits)
