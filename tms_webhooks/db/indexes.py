"""Migration operations that add and remove an index of a large table while rows are saved.

Django has operations of these names for PostgreSQL alone. They import psycopg, and do not run on other databases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.migrations.operations import AddIndex, RemoveIndex
from django.db.migrations.operations.base import Operation
from django.db.models import Index, Model

# ``CONCURRENTLY`` waits for older transactions, and delays no save by that. A limit would leave an invalid index.
NO_LIMITS = "SET lock_timeout = 0; SET statement_timeout = 0"
LIMITS = "RESET lock_timeout; RESET statement_timeout"


class _Concurrently(Operation):
    """Runs the operation that it is mixed into with an `_Editor`."""

    atomic = False

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        super().database_forwards(app_label, _Editor(schema_editor), from_state, to_state)  # type: ignore[arg-type]

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        super().database_backwards(app_label, _Editor(schema_editor), from_state, to_state)  # type: ignore[arg-type]


class AddIndexConcurrently(_Concurrently, AddIndex):
    """Add an index; ``CONCURRENTLY`` on PostgreSQL. The migration needs ``atomic = False``, and can be run again."""


class RemoveIndexConcurrently(_Concurrently, RemoveIndex):
    """Remove an index; ``CONCURRENTLY`` on PostgreSQL. The migration needs ``atomic = False``, and can be run again."""


class _Editor:
    """The methods of a schema editor that both operations use."""

    def __init__(self, editor: Any) -> None:
        self.connection = editor.connection
        self._editor = editor

    def add_index(self, model: type[Model], index: Index) -> None:
        if self._exists(model, index):
            # An interrupted run has left it. It may be invalid: then writes update it, and no query uses it.
            self._run(self._editor.remove_index, model, index)
        self._run(self._editor.add_index, model, index)

    def remove_index(self, model: type[Model], index: Index) -> None:
        if self._editor.collect_sql or self._exists(model, index):
            self._run(self._editor.remove_index, model, index)

    def _exists(self, model: type[Model], index: Index) -> bool:
        with self.connection.cursor() as cursor:
            return index.name in self.connection.introspection.get_constraints(cursor, model._meta.db_table)

    def _run(self, change: Callable[..., None], model: type[Model], index: Index) -> None:
        if self.connection.vendor != "postgresql":
            change(model, index)
            return
        self._editor.execute(NO_LIMITS)
        try:
            change(model, index, concurrently=True)
        finally:
            self._editor.execute(LIMITS)
