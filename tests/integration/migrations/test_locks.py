"""A migration after the first one does not stop saves while it works through a large table; the first one locks one table.

Measured with 1,000,000 rows, an index takes seconds. Without ``CONCURRENTLY`` no row is saved for so long.
"""

import re

import pytest
from django.db import OperationalError, connection, models
from django.db.migrations import Migration
from django.db.migrations.operations import (
    AddField,
    AddIndex,
    AlterField,
    AlterModelManagers,
    AlterModelOptions,
    CreateModel,
    DeleteModel,
    RemoveConstraint,
    RemoveField,
    RemoveIndex,
    RenameIndex,
    RunSQL,
    SeparateDatabaseAndState,
)

from example_project.training.models import Organization
from tests.integration.migrations.conftest import APP, FIRST
from tms_webhooks.db.indexes import AddIndexConcurrently, RemoveIndexConcurrently
from tms_webhooks.models import Delivery

LARGE = frozenset(
    {
        # A row for each event, delivery, attempt or message, until it is pruned.
        "event",
        "delivery",
        "deliveryattempt",
        "deliverybody",
        "keptpayload",
        "notification",
        # A row for each object of a source, or for each event that is emitted once.
        "eventsequence",
        "sourcestate",
        "ownerlessobject",
        "occurrence",
        "firstoccurrence",
        # A row for each action or request of a user, or for each hour of a webhook.
        "auditentry",
        "idempotentrequest",
        "job",
        "deliverytotal",
    }
)
"""The large tables: they grow with the traffic of a project, and its users wait for saves to some of them."""

SMALL = frozenset(
    {
        # A few rows for each organization or webhook.
        "webhook",
        "webhooksecret",
        "webhookstate",
        "subscription",
        # A row for each worker, source or periodic job.
        "drainslot",
        "reconciliation",
        "feedends",
        "scancursor",
        "periodicrun",
        "prunecursor",
        # A row for each event whose fan-out failed.
        "fanoutfailure",
    }
)
QUICK = (AlterModelManagers, AlterModelOptions, CreateModel, DeleteModel, RemoveConstraint, RemoveField, RenameIndex)
"""The operations that read no rows. What they may remove is another rule's."""

INDEX_STATEMENT = re.compile(r"\b(?:CREATE\s+(?:UNIQUE\s+)?|DROP\s+)INDEX\b(?!\s+CONCURRENTLY\b)", re.IGNORECASE)

INDEX = models.Index(fields=["type", "id"], name="tms_event_new")
NAME_IT = "Use AddIndexConcurrently and RemoveIndexConcurrently of tms_webhooks.db.indexes."
NOT_ATOMIC = "Set atomic = False in the migration."
NEW_COLUMN = "Use db_index=False, unique=False and db_constraint=False, and AddIndexConcurrently."
READS_ROWS = "It reads all rows. Add a column or a table instead."


def locking(migration, state):
    """Return a sentence for each operation that stops saves to a large table while it reads its rows.

    ``state`` is the one before the migration.
    """
    return list(_locking(migration.operations, state.clone(), atomic=migration.atomic))


def _locking(operations, state, *, atomic):
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _locking(operation.database_operations, state.clone(), atomic=atomic)
        elif remedy := _remedy(operation, state, atomic=atomic):
            yield f"{operation.describe()}: {remedy}"
        operation.state_forwards(APP, state)


def _remedy(operation, state, *, atomic):
    """Return how to write an operation instead; empty for one that may stay."""
    if isinstance(operation, RunSQL):
        return NAME_IT if INDEX_STATEMENT.search(str(operation.sql)) else ""
    table = getattr(operation, "model_name_lower", None) or getattr(operation, "name_lower", None)
    if table not in LARGE or isinstance(operation, QUICK):
        return ""
    if isinstance(operation, (AddIndexConcurrently, RemoveIndexConcurrently)):
        return NOT_ATOMIC if atomic else ""
    if isinstance(operation, (AddIndex, RemoveIndex)):
        return NAME_IT
    if isinstance(operation, AddField):
        return NEW_COLUMN if _is_indexed(operation.field) else ""
    if isinstance(operation, AlterField):
        return _remedy_for_column(state.models[APP, table].fields[operation.name], operation.field)
    return READS_ROWS


def _remedy_for_column(before, after):
    if _is_indexed(after) and not _is_indexed(before):
        return NEW_COLUMN
    retyped = before.db_type(connection) != after.db_type(connection)
    return READS_ROWS if retyped or (before.null and not after.null) else ""


def _is_indexed(field):
    """Return whether the column gets an index or a foreign key of the database."""
    return not field.many_to_many and (field.unique or field.db_index or getattr(field, "db_constraint", False))


@pytest.fixture(scope="module")
def state(loader):
    return loader.project_state((APP, FIRST))


def problems(state, *operations, atomic=False):
    migration = Migration("0002_later", APP)
    migration.operations, migration.atomic = list(operations), atomic
    return locking(migration, state)


# The rule


def test_each_table_is_large_or_small(state):
    assert {name for app, name in state.models if app == APP} == LARGE | SMALL
    assert frozenset() == LARGE & SMALL


def test_no_later_migration_stops_saves_to_a_large_table(loader):
    later = [key for key in sorted(loader.disk_migrations) if key[0] == APP and key[1] != FIRST]

    for key in later:
        assert locking(loader.disk_migrations[key], loader.project_state(key, at_end=False)) == []


HIDDEN = SeparateDatabaseAndState(
    database_operations=[AddIndex("event", INDEX)], state_operations=[AddIndexConcurrently("event", INDEX)]
)


@pytest.mark.parametrize(
    "operation, remedy",
    [
        (AddIndexConcurrently("event", INDEX), ""),
        (AddIndex("webhook", INDEX), ""),
        (HIDDEN, NAME_IT),
        (AddField("delivery", "later", models.CharField(null=True, max_length=10, unique=True)), NEW_COLUMN),
        (AddField("delivery", "note", models.TextField(db_default="")), ""),
        (AlterField("event", "actor_kind", models.IntegerField(default=0)), READS_ROWS),
        (AlterField("delivery", "due_at", models.DateTimeField()), READS_ROWS),
        (RunSQL(["SELECT 1", ("create unique INDEX\n  x ON tms_webhooks_event (type)", None)]), NAME_IT),
    ],
)
def test_an_operation_that_stops_saves_to_a_large_table_has_a_remedy(state, operation, remedy):
    found = problems(state, operation)

    assert [problem.partition(": ")[2] for problem in found] == ([remedy] if remedy else [])


def test_an_index_is_made_concurrently_outside_of_a_transaction(state):
    add = AddIndexConcurrently("event", INDEX)

    assert problems(state, add, atomic=True) == [f"{add.describe()}: {NOT_ATOMIC}"]


# The databases


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL lists its locks")
def test_the_first_migration_keeps_others_from_writing_to_the_organization_table_only(migrate):
    migrate(None)
    before = connection.introspection.table_names()
    modes = set()

    def note(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if context["connection"].in_atomic_block:
            with connection.connection.cursor() as cursor:
                cursor.execute(
                    "SELECT relname, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
                    " WHERE pid = pg_backend_pid() AND relname = ANY (%s)",
                    [before],
                )
                modes.update(cursor.fetchall())
        return result

    with connection.execute_wrapper(note):
        migrate(FIRST)

    # The others are those of queries and of written rows.
    ordinary = {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}
    table = Organization._meta.db_table
    # Reads go on, writes wait.
    assert {(name, mode) for name, mode in modes if mode not in ordinary} == {(table, "ShareRowExclusiveLock")}


@pytest.mark.skipif(connection.vendor != "mysql", reason="MariaDB refuses a clause that it can't follow")
@pytest.mark.django_db(transaction=True)
def test_mariadb_adds_indexes_and_columns_to_a_large_table_without_a_lock_on_its_rows():
    table = Delivery._meta.db_table

    def alter(change):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} {change}")

    alter("ADD INDEX tms_test (job, id), ALGORITHM=INPLACE, LOCK=NONE")
    alter("DROP INDEX tms_test, ALGORITHM=INPLACE, LOCK=NONE")
    alter("ADD COLUMN note longtext NULL, ALGORITHM=INSTANT")
    alter("ADD COLUMN kind integer DEFAULT 0 NOT NULL, ALGORITHM=INSTANT")
    with pytest.raises(OperationalError, match="ALGORITHM=INPLACE is not supported"):
        alter("ADD CONSTRAINT tms_test CHECK (attempts >= 0), ALGORITHM=INPLACE")
    alter("DROP COLUMN note, DROP COLUMN kind")
