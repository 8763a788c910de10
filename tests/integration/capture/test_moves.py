"""An object that moves to another organization: the old one learns that it left, the new one nothing about the old one."""

import json

import pytest
from django.db import transaction

from example_project.training.factories import (
    ClassEnrollmentFactory,
    OrganizationFactory,
    TrainingClassFactory,
    UserFactory,
)
from example_project.training.models import ClassEnrollment, TrainingClass
from tests.factories import WebhookFactory
from tests.outbox import prune_events
from tms_webhooks.models import Event
from tms_webhooks.payloads.formats import skillable


@pytest.fixture
def old():
    return OrganizationFactory(external_id="OLD-ORG", name="Old Corp")


@pytest.fixture
def new():
    return OrganizationFactory(external_id="NEW-ORG", name="New Corp")


@pytest.fixture(autouse=True)
def webhooks(old, new):
    return [WebhookFactory(organization=organization, events=["*"]) for organization in (old, new)]


def test_the_old_owner_gets_ids_alone_and_the_new_one_no_old_values(old, new, recorded):
    training_class = TrainingClassFactory(organization=old, external_id="CLS-1", name="A secret name")
    prune_events()

    training_class.organization = new
    training_class.name = "A new name"
    training_class.save()

    leaving, event = recorded()
    assert leaving == {
        **leaving,
        "type": "class.updated",
        "organization": {"id": old.pk, "external_id": "OLD-ORG"},
        "changed": ["organization.id"],
        "previous": {},
        "left": True,
    }
    assert (leaving["data"]["id"], leaving["data"]["external_id"]) == (training_class.pk, "CLS-1")
    assert "new" not in json.dumps(leaving).lower()
    assert "name" not in leaving["data"]
    assert event["organization"] == {"id": new.pk, "external_id": "NEW-ORG"}
    assert (event["changed"], event["previous"]) == (["name", "organization.id"], {})
    assert "old" not in json.dumps(event).lower()
    assert "secret" not in json.dumps(event)
    assert event["sequence"] == leaving["sequence"] + 1


def test_an_enrollment_that_moves_to_another_owners_class_leaves_the_old_owner(old, new, recorded):
    enrollment = ClassEnrollmentFactory(training_class__organization=old, user__organization=new)
    destination = TrainingClassFactory(organization=new)
    prune_events()

    ClassEnrollment.objects.filter(pk=enrollment.pk).update(training_class=destination, grade=7)

    leaving, *events = recorded()
    assert (leaving["type"], leaving["organization"]["id"], leaving["left"]) == ("enrollment.updated", old.pk, True)
    assert leaving["data"]["class"]["id"] != destination.pk
    assert [event["organization"]["id"] for event in events] == [new.pk]


def test_an_owner_who_is_the_learners_organization_too_leaves_as_the_owner(old, new, recorded):
    enrollment = ClassEnrollmentFactory(training_class__organization=old, user__organization=old, grade=7)
    destination = TrainingClassFactory(organization=new)
    prune_events()

    enrollment.training_class = destination
    enrollment.grade = 8
    enrollment.save()

    leaving, event = recorded()
    assert (leaving["organization"]["id"], leaving["changed"]) == (old.pk, ["organization.id"])
    assert Event.objects.order_by("pk").first().learner_organization_id is None
    assert (event["organization"]["id"], event["previous"]) == (new.pk, {})


def test_a_change_after_the_move_in_the_same_transaction_quotes_no_old_values(old, new, recorded):
    training_class = TrainingClassFactory(organization=old, name="A secret name")
    training_class.instructors.add(UserFactory(organization=old))
    prune_events()

    with transaction.atomic():
        training_class.organization = new
        training_class.save()
        training_class.name = "Another name"
        training_class.save()
        training_class.instructors.clear()

    leaving, event = recorded()
    assert leaving["left"] is True
    assert (event["changed"], event["previous"]) == (["name", "instructor_ids", "organization.id"], {})
    assert event["data"]["name"] == "Another name"


def test_a_move_back_in_the_same_transaction_leaves_both(old, new, recorded):
    training_class = TrainingClassFactory(organization=old)
    prune_events()

    for organization in (new, old):
        training_class.organization = organization
        training_class.save()

    assert [(event["organization"]["id"], event.get("left")) for event in recorded()] == [
        (old.pk, True),
        (new.pk, None),
        (new.pk, True),
        (old.pk, None),
    ]


def test_the_mark_is_in_the_format_of_the_api(old, new, recorded):
    training_class = TrainingClassFactory(organization=old)
    prune_events()
    TrainingClass.objects.filter(pk=training_class.pk).update(organization=new)

    leaving, event = map(skillable.flat, recorded())

    assert (leaving["Id"], leaving["Left"], "Left" in event) == (training_class.pk, True, False)
