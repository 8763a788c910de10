"""What capture costs a save, in queries. These numbers are promised in the documentation.

With nobody subscribed: one, for the old values and what the object's organization subscribes to. With somebody: the new
ones with all that they refer to (2), and then for each event its number in the sequence and its row, which PostgreSQL
takes in one query. An event of a new object costs one more: to which organization it belongs is known only when it is
there. On MariaDB and MySQL an object begins to count with one query more.
"""

from __future__ import annotations

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory, OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Ticket, Workshop
from tms_webhooks.models import Event
from tms_webhooks.sources.registry import sources_of

pytestmark = pytest.mark.django_db

OWN = 1
READING = 2
PER_EVENT = 1 if connection.vendor == "postgresql" else 2
FIRST = 1 if connection.vendor == "mysql" else 0


@pytest.fixture
def workshop(listen):
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    listen(WorkshopSource, Workshop)
    return workshop


def queries_of(action) -> int:
    with CaptureQueriesContext(connection) as captured:
        action()
    return len(captured)


def rename(workshop) -> None:
    workshop.title += "!"
    workshop.save()


def test_a_change_that_nobody_wants_costs_one_query(workshop):
    assert queries_of(lambda: rename(workshop)) == OWN + 1


def test_a_new_object_that_nobody_wants_costs_one_query(workshop):
    organization = workshop.organization

    assert queries_of(lambda: Workshop.objects.create(organization=organization, title="Mob")) == OWN + 1


def test_a_new_object_that_brings_its_key_costs_one_query(listen):
    organization = OrganizationFactory()
    listen(WorkshopSource, Ticket)

    assert queries_of(lambda: Ticket(uuid.uuid4(), organization.pk, "One seat").save()) == OWN + 1


def test_a_deletion_that_nobody_wants_costs_one_query(workshop):
    with CaptureQueriesContext(connection) as captured:
        workshop.delete()

    assert sum("tms_webhooks_" in query["sql"] for query in captured) == 1


def test_two_sources_of_a_model_ask_together():
    assignment = CourseAssignmentFactory()
    now = timezone.now()

    assert len(sources_of(type(assignment))) == 2
    assert queries_of(lambda: assignment.complete(at=now)) == OWN + 1


def test_a_deletion_that_can_mean_nothing_costs_nothing():
    assignment = CourseAssignmentFactory()

    with CaptureQueriesContext(connection) as captured:
        assignment.delete()

    assert not any("tms_webhooks_" in query["sql"] for query in captured)


def test_deleted_webhooks_cost_nothing_more(workshop):
    webhook = WebhookFactory(organization=workshop.organization, events=["*"])
    webhook.deleted_at = webhook.created_at
    webhook.save()

    assert queries_of(lambda: rename(workshop)) == OWN + 1


def test_a_change_that_is_recorded_costs_its_reading_and_its_writing(workshop):
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])

    assert queries_of(lambda: rename(workshop)) == OWN + READING + FIRST + PER_EVENT
    assert Event.objects.count() == 1


def test_a_second_event_of_a_change_costs_its_writing_alone(workshop):
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])
    workshop.state = "called off"

    assert queries_of(workshop.save) == OWN + READING + FIRST + 2 * PER_EVENT
    assert Event.objects.count() == 2


def test_ten_webhooks_cost_no_more_than_one(workshop):
    for _number in range(10):
        WebhookFactory(organization=workshop.organization, events=["workshop.*", "*"])

    assert queries_of(lambda: rename(workshop)) == OWN + READING + FIRST + PER_EVENT


def test_a_save_without_a_change_costs_the_two_readings(workshop):
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])

    assert queries_of(workshop.save) == OWN + READING


def test_a_change_that_only_others_want_costs_one_query(workshop):
    WebhookFactory(events=["workshop.*"])

    assert queries_of(lambda: rename(workshop)) == OWN + 1
    assert not Event.objects.exists()


def test_a_new_object_that_is_recorded_costs_one_query_more(workshop):
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])

    def create():
        Workshop.objects.create(organization=workshop.organization, title="Mob")

    assert queries_of(create) == OWN + READING + 1 + FIRST + PER_EVENT
    assert Event.objects.get().type == "workshop.created"


def test_what_only_python_can_read_costs_a_query_in_a_savepoint(listen):
    class WithHeadline(WorkshopSource):
        fields = {"headline": "headline"}

    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    listen(WithHeadline, Workshop)
    assert queries_of(lambda: rename(workshop)) == OWN + 1
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])

    savepoint = 2
    assert queries_of(lambda: rename(workshop)) == OWN + READING + 1 + savepoint + FIRST + PER_EVENT
