"""Two transactions that change one object at once: one waits for the other, and nothing is lost between them."""

import threading

import pytest
from django.db import connection, transaction

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import ClassEnrollment, TrainingClass
from tests.factories import WebhookFactory
from tests.outbox import number_events, prune_events
from tests.patience import PATIENCE
from tests.threads import at_once, during
from tms_webhooks.models import Event

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor == "sqlite",
        reason="SQLite lets one transaction write at a time, and locks before it reads: there is nothing to race for.",
    ),
]


@pytest.fixture
def training_class():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["class.*", "enrollment.*"])
    return training_class


def test_the_second_of_two_begins_where_the_first_one_ended(training_class, recorded):
    other = TrainingClass.objects.get(pk=training_class.pk)

    during(training_class.cancel, other.guarantee)

    assert [(event["type"], event["sequence"], event["previous"]["status"]["name"]) for event in recorded()] == [
        ("class.cancelled", 1, "Scheduled"),
        ("class.guaranteed_to_run", 2, "Cancelled"),
    ]


def test_many_at_once_make_one_chain(training_class, recorded):
    statuses = [1, 2, 4, 5, 6, 7]
    barrier = threading.Barrier(len(statuses))

    def change(status):
        def run():
            mine = TrainingClass.objects.get(pk=training_class.pk)
            mine.confirmation_status_id = status
            barrier.wait(PATIENCE)
            mine.save_fields("confirmation_status_id")

        return run

    assert at_once(*map(change, statuses)) == []

    events = sorted(recorded(), key=lambda event: event["sequence"])
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5, 6]
    codes = [0, *(event["data"]["status"]["code"] for event in events)]
    assert sorted(codes[1:]) == statuses
    assert [event["previous"]["status"]["code"] for event in events] == codes[:-1]


def test_objects_that_begin_to_count_hold_up_nobody_who_goes_on_counting():
    """Each transaction records events of a known object, and of a new one that is the other's neighbor."""
    organization = OrganizationFactory()
    classes = {key: TrainingClassFactory(pk=key, organization=organization) for key in (1500, 2000, 3500, 4000)}
    WebhookFactory(organization=organization, events=["class.*"])
    for key in (2000, 4000):
        classes[key].guarantee()
    prune_events()
    barrier = threading.Barrier(2)

    def change(old, new):
        def run():
            with transaction.atomic():
                classes[old].cancel()
                barrier.wait(PATIENCE)
                classes[new].cancel()

        return run

    assert at_once(change(2000, 3500), change(4000, 1500)) == []

    number_events()
    assert set(Event.objects.values_list("subject_id", "sequence")) == {
        ("1500", 1),
        ("2000", 2),
        ("3500", 1),
        ("4000", 2),
    }


def test_a_change_keeps_nobody_from_referring_to_the_object(training_class):
    """An update leaves new enrollments of a class alone, and so does the reading before it."""
    learner = UserFactory(organization=training_class.organization)
    locked, enrolled = threading.Event(), threading.Event()

    def rename():
        with transaction.atomic():
            mine = TrainingClass.objects.get(pk=training_class.pk)
            mine.name = "Renamed"
            mine.save()
            locked.set()
            if connection.vendor != "mysql":  # InnoDB's update itself holds up those who refer to the row.
                assert enrolled.wait(PATIENCE)

    def enroll():
        assert locked.wait(PATIENCE)
        ClassEnrollment.objects.create(training_class=training_class, user=learner, enrollment_status_id=60)
        enrolled.set()

    assert at_once(rename, enroll) == []

    assert enrolled.is_set()
    assert set(Event.objects.values_list("type", flat=True)) == {"class.updated", "enrollment.enrolled"}


def test_a_change_keeps_nobody_from_changing_a_webhook(training_class):
    webhook = training_class.organization.webhooks.get()
    written, renamed = threading.Event(), threading.Event()

    def cancel():
        with transaction.atomic():
            TrainingClass.objects.get(pk=training_class.pk).cancel()
            written.set()
            assert renamed.wait(PATIENCE)

    def rename():
        assert written.wait(PATIENCE)
        webhook.name = "Renamed"
        webhook.save()
        webhook.subscriptions.update(event_type="class.guaranteed_to_run")
        renamed.set()

    assert at_once(cancel, rename) == []


def test_a_deletion_waits_for_a_change_and_records_it(recorded):
    user = ClassEnrollmentFactory().user
    WebhookFactory(organization=user.organization, events=["user.*"])
    other = type(user).objects.get(pk=user.pk)
    user.first_name = "Renamed"

    during(user.save, other.delete)

    assert [(event["type"], event["data"]["first_name"], event["sequence"]) for event in recorded()] == [
        ("user.updated", "Renamed", 1),
        ("user.deleted", "Renamed", 2),
    ]
