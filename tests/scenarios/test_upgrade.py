"""An upgrade in the order of its page: the schema changes while old code works, then a new worker replaces the old one."""

import pytest
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import AddField
from django.db.models import Index, IntegerField

from example_project.training.factories import ClassroomFactory, CourseFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed
from tests.scenarios.outcome import fill
from tests.scenarios.processes import stop
from tms_webhooks.db.indexes import AddIndexConcurrently
from tms_webhooks.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

APP = "tms_webhooks"


class Later(Migration):
    """A migration of a later release: a new column in the tables of a save and a delivery, and indexes of two of them."""

    atomic = False
    operations = [
        *(
            AddField(model, "later", IntegerField(db_default=0))
            for model in (
                *("webhook", "subscription", "sourcestate", "event", "eventsequence"),
                *("delivery", "deliverybody", "deliveryattempt", "deliverytotal"),
            )
        ),
        AddIndexConcurrently("event", Index(fields=["later", "id"], name="tms_event_later")),
        AddIndexConcurrently("delivery", Index(fields=["later", "id"], name="tms_delivery_later")),
    ]


@pytest.fixture
def upgrade():
    """Migrate a database to the schema of a later release; at the end it is as before."""
    migration, state = Later("9999_later", APP), MigrationLoader(None).project_state()
    changed = []

    def upgrade(database):
        changed.append(database)
        with database.schema_editor(atomic=False) as editor:
            migration.apply(state.clone(), editor)

    yield upgrade
    for database in changed:
        with database.schema_editor(atomic=False) as editor:
            migration.unapply(state.clone(), editor)


def test_old_workers_deliver_on_the_new_schema_until_a_new_one_replaces_them(receiver, processes, tables, upgrade):
    fill(processes, receiver, 2)

    with processes.drain() as old:
        tables.wait_for({"delivered": 4})
        upgrade(tables.connection)
        tables.add_events(3)
        tables.wait_for({"delivered": 10})

        with processes.drain() as new:
            tables.add_events(3)
            tables.wait_for({"delivered": 16})
            of_old = stop(old)
            tables.add_events(2)
            tables.wait_for({"delivered": 20})
            of_new = stop(new)

    assert of_old["delivered"] >= 10
    assert of_old["delivered"] + of_new["delivered"] == len(receiver.received) == 20


@pytest.mark.slow
def test_saves_of_old_code_emit_their_events_on_the_new_schema(upgrade):
    """Also with the statements that the connection prepared before."""
    organization = subscribed().organization
    WebhookFactory(organization=organization, events=["class.*"])
    course = CourseFactory(organization=organization)
    classroom = ClassroomFactory(organization=organization)

    def change():
        before = Event.objects.count()
        training_class = TrainingClassFactory(organization=organization, course=course)
        training_class.classroom = classroom
        training_class.save()
        training_class.delete()
        return list(Event.objects.order_by("pk").values_list("type", flat=True))[before:]

    before = [change() for _ in range(30)]
    assert len(before[-1]) >= 2

    upgrade(connection)

    assert [change(), change()] == [before[-1]] * 2
