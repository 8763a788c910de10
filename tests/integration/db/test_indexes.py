"""Indexes of large tables: made and removed while rows are saved, and by a migration that can be run again."""

from contextlib import contextmanager, suppress

import pytest
from django.db import OperationalError, connection, transaction
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.models import Index, Q

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import write_event
from tests.threads import Beside, wait_until_blocking
from tms_webhooks.db.indexes import AddIndexConcurrently, RemoveIndexConcurrently
from tms_webhooks.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

APP = "tms_webhooks"
INDEX = Index(fields=["actor_kind", "id"], condition=Q(actor_kind="user"), name="tms_event_test")
EXISTING = "tms_event_by_age"

postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="CONCURRENTLY is PostgreSQL's")


@pytest.fixture(scope="module")
def state():
    return MigrationLoader(None).project_state()


@pytest.fixture(autouse=True)
def _no_index_is_left():
    yield
    with connection.schema_editor() as editor:
        if INDEX.name in indexes():
            editor.remove_index(Event, INDEX)
        if EXISTING not in indexes():
            (existing,) = (index for index in Event._meta.indexes if index.name == EXISTING)
            editor.add_index(Event, existing)


class Later(Migration):
    """A migration of a later release."""

    atomic = False

    def __init__(self, *operations):
        super().__init__("0002_later", APP)
        self.operations = list(operations)


def add():
    return AddIndexConcurrently("event", INDEX)


def apply(migration, state, *, collect_sql=False):
    with connection.schema_editor(collect_sql=collect_sql, atomic=migration.atomic) as editor:
        migration.apply(state.clone(), editor, collect_sql=collect_sql)
    return "\n".join(editor.collected_sql) if collect_sql else ""


def unapply(migration, state):
    with connection.schema_editor(atomic=migration.atomic) as editor:
        migration.unapply(state.clone(), editor)


def indexes():
    with connection.cursor() as cursor:
        return dict(connection.introspection.get_constraints(cursor, Event._meta.db_table))


def rows(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def set_limit(milliseconds, name="lock_timeout"):
    rows("SELECT set_config(%s, %s, false)", name, str(milliseconds))


@contextmanager
def open_transaction():
    """Write an event, and commit it at the end of the block."""
    organization = OrganizationFactory()
    with transaction.atomic():
        write_event(organization)
        yield


# On every database


def test_an_index_is_added_and_removed_again(state):
    migration = Later(add())

    apply(migration, state)
    assert indexes()["tms_event_test"]["columns"] == ["actor_kind", "id"]

    unapply(migration, state)
    assert "tms_event_test" not in indexes()


def test_an_index_is_removed_and_comes_back(state):
    migration = Later(RemoveIndexConcurrently("event", EXISTING))
    before = indexes()[EXISTING]

    apply(migration, state)
    assert EXISTING not in indexes()

    unapply(migration, state)
    assert indexes()[EXISTING] == before


def test_a_migration_that_was_interrupted_after_its_statement_can_be_run_again(state):
    for migration in (Later(add()), Later(RemoveIndexConcurrently("event", EXISTING))):
        apply(migration, state)
        apply(migration, state)

    assert "tms_event_test" in indexes()
    assert EXISTING not in indexes()


def test_sqlmigrate_prints_every_statement_and_runs_none(state):
    printed = apply(Later(add(), RemoveIndexConcurrently("event", EXISTING)), state, collect_sql=True)

    concurrently = " CONCURRENTLY" if connection.vendor == "postgresql" else ""
    assert f"CREATE INDEX{concurrently} " in printed
    assert f"DROP INDEX{concurrently} " in printed
    assert ("tms_event_test" in indexes(), EXISTING in indexes()) == (False, True)


# On PostgreSQL


def save_elsewhere():
    """Write one event on a connection of its own, or raise the database's error after a short wait for a lock."""

    def save():
        set_limit(100)
        return write_event(OrganizationFactory()).pk

    return Beside(save).finish()


@postgresql
def test_rows_are_saved_while_an_index_is_added(state):
    with open_transaction():
        adding = Beside(lambda: apply(Later(add()), state))
        wait_until_blocking()
        running = rows("SELECT phase FROM pg_stat_progress_create_index WHERE datname = current_database()")
        assert running == [("waiting for writers before build",)]

        saved = save_elsewhere()
        assert adding.is_alive()

    adding.finish()
    assert Event.objects.filter(pk=saved).exists()
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'tms_event_test'::regclass") == [(True,)]


def interrupt(state):
    """Leave the index as an interrupted statement does."""
    with open_transaction():

        def create():
            set_limit(1)
            with connection.schema_editor(atomic=False) as editor:
                editor.add_index(Event, INDEX, concurrently=True)

        with suppress(OperationalError):
            Beside(create).finish()
    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'tms_event_test'::regclass") == [(False,)]


@postgresql
def test_an_invalid_index_of_an_interrupted_run_is_replaced(state):
    interrupt(state)

    apply(Later(add()), state)

    assert rows("SELECT indisvalid FROM pg_index WHERE indexrelid = 'tms_event_test'::regclass") == [(True,)]


@postgresql
def test_the_time_limits_of_the_session_do_not_interrupt_it(state):
    def limited():
        set_limit(1)
        set_limit(500, "statement_timeout")
        apply(Later(add()), state)

    with open_transaction():
        adding = Beside(limited)
        wait_until_blocking()
        # Twice as long as the longer limit.
        rows("SELECT pg_sleep(1.0)")

    adding.finish()
    assert "tms_event_test" in indexes()
