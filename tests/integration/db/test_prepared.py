"""What takes PostgreSQL longer to plan than to run is planned once; where somebody stands in between it is not."""

import pytest
from django.db import OperationalError, ProgrammingError, connection

from example_project.training.factories import TrainingClassFactory
from example_project.training.models import TrainingClass
from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.wire import Wire
from tests.integration.delivery.worker import Worker
from tms_webhooks.db import prepared
from tms_webhooks.db.prepared import SHORT_LIVED
from tms_webhooks.db.sql import brief_write, read
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox.fanout import fan_out

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="the others plan in no time"),
]

SQL = "SELECT COUNT(*) FROM {delivery} WHERE id = %(id)s"


def prepared_ones():
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_prepared_statements")
        return cursor.fetchone()[0]


@pytest.fixture(autouse=True)
def fresh_connection():
    connection.close()
    yield
    connection.close()


def test_a_statement_is_planned_once_for_a_connection():
    for number in range(3):
        assert read(SQL, {"id": number}, repeated=True) == [(0,)]

    assert prepared_ones() == 1


def test_the_connection_is_left_as_it_was():
    connection.ensure_connection()
    raw = connection.connection
    before = raw.cursor_factory, raw.prepare_threshold

    read(SQL, {"id": 1}, repeated=True)
    with pytest.raises(ProgrammingError):
        read("SELECT nothing", {}, repeated=True)

    assert (raw.cursor_factory, raw.prepare_threshold) == before
    assert Delivery.objects.count() == 0
    assert prepared_ones() == 0


def test_behind_a_pooler_nothing_is_prepared(monkeypatch):
    monkeypatch.setattr(prepared, "_is_direct", lambda connection: False)

    assert read(SQL, {"id": 1}, repeated=True) == [(0,)]

    assert prepared_ones() == 0


def test_what_the_server_forgot_behind_our_back_is_prepared_again():
    read(SQL, {"id": 1}, repeated=True)
    connection.connection.pgconn.exec_(b"DEALLOCATE ALL")

    with pytest.raises((OperationalError, ProgrammingError)):
        read(SQL, {"id": 1}, repeated=True)

    assert read(SQL, {"id": 1}, repeated=True) == [(0,)]


def test_what_a_drain_does_all_the_time_is_prepared(clock):
    webhook = subscribed(max_in_flight=2)
    write_events(webhook.organization, 6)
    fan_out(clock.now)
    alice = Worker("alice", clock=clock, wire=Wire())

    while alice.work():
        pass

    assert webhook.deliveries.filter(status="delivered").count() == 6
    # New events, what to reckon with, their numbers and deliveries, what came due last, what is due, its webhooks, and the
    # successes.
    assert prepared_ones() == 8


def test_the_queries_of_a_save_are_prepared_once_a_connection_has_lived_for_a_while():
    webhook = subscribed()
    training_class = TrainingClassFactory.create(organization=webhook.organization)
    connection.close()

    training_class.save()
    assert prepared_ones() == 0
    save_often(training_class)

    # The row before the save, and the event.
    assert prepared_ones() == 2
    assert Event.objects.filter(type="class.updated").count() == SHORT_LIVED + 1


def test_a_migration_of_the_hosts_while_its_saves_are_prepared_breaks_none():
    webhook = subscribed()
    training_class = TrainingClassFactory.create(organization=webhook.organization)
    save_often(training_class)
    table, between = TrainingClass._meta.db_table, TrainingClass.instructors.through._meta.db_table
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN max_students TYPE bigint")
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN name TYPE varchar(300)")
            cursor.execute(f"ALTER TABLE {table} ADD COLUMN added integer")
            cursor.execute(f"ALTER TABLE {between} ALTER COLUMN user_id TYPE integer")

        save_often(training_class, times=3)

        assert Event.objects.filter(type="class.updated").count() == SHORT_LIVED + 4
    finally:
        with other.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {between} ALTER COLUMN user_id TYPE bigint")
            cursor.execute(f"ALTER TABLE {table} DROP COLUMN added")
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN name TYPE varchar(150)")
            cursor.execute(f"ALTER TABLE {table} ALTER COLUMN max_students TYPE integer")
        other.close()


def save_often(training_class, times=SHORT_LIVED + 1):
    for _ in range(times):
        training_class.max_students += 1
        training_class.save()


def test_what_is_simply_done_again_does_not_wait_for_the_disk_and_all_else_does():
    def commits():
        with connection.cursor() as cursor:
            cursor.execute("SHOW synchronous_commit")
            return cursor.fetchone()[0]

    usual = commits()
    with brief_write(durable=False):
        assert commits() == "off"
    assert commits() == usual
    with brief_write():
        assert commits() == usual
