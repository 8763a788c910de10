"""What capture costs a save, in queries. These numbers are promised in the documentation.

Without a subscription: one, for the old values and the subscriptions of the object's organization. With one: on MariaDB
and MySQL a second one for the new values, which SQLite and PostgreSQL return from the host's own UPDATE; and one that
writes all events. A new object is read in every database, and costs one more: its organization is known only when its
row exists.
"""

from contextlib import ExitStack

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from example_project.training.factories import CourseAssignmentFactory, OrganizationFactory, UserFactory
from tests.catalogue import temporary_type
from tests.factories import WebhookFactory
from tests.integration.capture.talks import EVENT_TYPES, TalkSource
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Speech, Talk, Workshop
from tms_webhooks import sources
from tms_webhooks.models import Event
from tms_webhooks.sources.registry import sources_of

OWN = 1
NEW_VALUES = 1 if connection.vendor == "mysql" else 0
READING = 1 + NEW_VALUES
WRITING = 1


@pytest.fixture
def workshop(listen):
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    listen(WorkshopSource, Workshop)
    return workshop


def queries_of(action):
    with CaptureQueriesContext(connection) as captured:
        action()
    return len(captured)


def rename(workshop):
    workshop.title += "!"
    workshop.save()


def test_a_change_that_nobody_wants_costs_one_query(workshop):
    assert queries_of(lambda: rename(workshop)) == OWN + 1


def test_a_new_object_that_nobody_wants_costs_one_query(workshop):
    organization = workshop.organization

    assert queries_of(lambda: Workshop.objects.create(organization=organization, title="Mob")) == OWN + 1


def test_a_deletion_that_nobody_wants_costs_one_query(workshop):
    with CaptureQueriesContext(connection) as captured:
        workshop.delete()

    assert sum("tms_webhooks_" in query["sql"] for query in captured) == 1


def test_a_save_of_fields_that_are_in_no_event_costs_nothing_more(organization, listen, recorded):
    listen(WorkshopSource, Workshop)
    workshop = Workshop.objects.create(organization=organization, title="Pair programming")
    workshop.title = "Mob programming"

    assert queries_of(lambda: workshop.save(update_fields=["updated_at"])) == OWN
    assert [event["type"] for event in recorded()] == ["workshop.created"]
    workshop.save(update_fields=["updated_at", "title"])
    assert recorded()[-1]["changed"] == ["title"]


def test_two_sources_of_a_model_ask_together():
    assignment = CourseAssignmentFactory()
    now = timezone.now()

    assert len(sources_of(type(assignment))) == 2
    assert queries_of(lambda: assignment.complete(at=now)) == OWN + 1


class Filled(WorkshopSource):
    """A workshop whose deletion is no event."""

    rules = (sources.Filled("title", "workshop.changed"),)


def test_a_deletion_that_can_mean_nothing_costs_nothing(listen):
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    listen(Filled, Workshop)

    with CaptureQueriesContext(connection) as captured:
        workshop.delete()

    assert not any("tms_webhooks_" in query["sql"] for query in captured)


def test_a_change_that_is_recorded_costs_its_reading_and_its_writing(workshop):
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])

    assert queries_of(lambda: rename(workshop)) == OWN + READING + WRITING
    assert Event.objects.count() == 1


def test_ten_webhooks_cost_no_more_than_one(workshop):
    for _number in range(10):
        WebhookFactory(organization=workshop.organization, events=["workshop.*", "*"])

    assert queries_of(lambda: rename(workshop)) == OWN + READING + WRITING


def test_a_new_object_that_is_recorded_costs_one_query_more(workshop):
    WebhookFactory(organization=workshop.organization, events=["workshop.*"])

    def create():
        Workshop.objects.create(organization=workshop.organization, title="Mob")

    assert queries_of(create) == OWN + 3 + WRITING
    assert Event.objects.get().type == "workshop.created"


class WithHeadline(WorkshopSource):
    """Has a value that only Python can read."""

    fields = {"headline": "headline"}


@pytest.fixture
def workshop_with_headline(listen):
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    listen(WithHeadline, Workshop)
    return workshop


def test_a_property_without_a_query_costs_nothing_but_the_loaded_object(workshop_with_headline):
    assert queries_of(lambda: rename(workshop_with_headline)) == OWN + 1
    WebhookFactory(organization=workshop_with_headline.organization, events=["workshop.*"])

    loaded = NEW_VALUES
    assert queries_of(lambda: rename(workshop_with_headline)) == OWN + READING + loaded + WRITING


def test_a_property_with_a_query_costs_a_savepoint(workshop_with_headline, monkeypatch):
    WebhookFactory(organization=workshop_with_headline.organization, events=["workshop.*"])
    monkeypatch.setattr(Workshop, "headline", property(lambda self: f"one of {Workshop.objects.count()}"))

    loaded, savepoint, counting = NEW_VALUES, 2, 1
    queries = queries_of(lambda: rename(workshop_with_headline))

    assert queries == OWN + READING + loaded + savepoint + counting + WRITING
    assert '"headline":"one of 1"' in Event.objects.get().body


class OwnedByProperty(WorkshopSource):
    """Only Python knows the owner."""

    fields = {"organization.id": "owner_key"}


def test_with_the_owner_behind_a_property_other_subscriptions_cost_one_question(listen, monkeypatch):
    monkeypatch.setattr(Workshop, "owner_key", property(lambda self: self.organization_id), raising=False)
    workshop = Workshop.objects.create(organization=OrganizationFactory(), title="Pair programming")
    listen(OwnedByProperty, Workshop)
    without = queries_of(lambda: rename(workshop))
    WebhookFactory(events=["workshop.*"])

    question = 1
    # The values and the object, which MariaDB does not return from the UPDATE.
    reading = 2 * NEW_VALUES
    assert queries_of(lambda: rename(workshop)) == without + question + reading
    assert queries_of(workshop.save) == without + reading


@pytest.fixture
def talk_types():
    """Know the event types of talks until the test is over."""
    with ExitStack() as stack:
        for event_type in EVENT_TYPES:
            stack.enter_context(temporary_type(event_type))
        yield


class OwnedBySpeaker(TalkSource):
    """The owner is the organization of the first of many speakers."""

    owner = "first_speaker.organization"


@pytest.mark.usefixtures("talk_types")
def test_with_the_owner_behind_a_many_to_many_other_subscriptions_cost_finding_it_and_the_question(listen, monkeypatch):
    first_speaker = property(lambda talk: talk.speakers.select_related("organization").first())
    monkeypatch.setattr(Talk, "first_speaker", first_speaker, raising=False)
    talk = Talk.objects.create(organization=OrganizationFactory(), title="Pairs")
    Speech.objects.create(talk=talk, speaker=UserFactory(organization=OrganizationFactory()))
    listen(OwnedBySpeaker, Talk)
    without = queries_of(lambda: rename(talk))
    WebhookFactory(events=["*"])

    # All of the organization's values are read: its name and its external id, too.
    reading, finding, savepoint, question = 2 * NEW_VALUES, 3, 2, 1
    finding_the_old_one = 1 + savepoint
    queries = queries_of(lambda: rename(talk))
    assert queries == without + reading + finding + savepoint + question + finding_the_old_one
    # The time of the save alone is no change.
    assert NEW_VALUES or queries_of(talk.save) == without
