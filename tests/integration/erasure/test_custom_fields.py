"""The fields of the host's own are forgotten with a person, their own and those that name the person elsewhere."""

import pytest
from django.utils import timezone

from example_project.training.factories import DepartmentFactory, OrganizationFactory, TrainingClassFactory, UserFactory
from tests.factories import WebhookFactory
from tms_webhooks.models import Event
from tms_webhooks.outbox.erasure import erase


@pytest.fixture
def organization():
    organization = OrganizationFactory()
    WebhookFactory(organization=organization, events=["user.*", "class.*"])
    return organization


def test_the_persons_own_fields_are_blanked(organization):
    department = DepartmentFactory(organization=organization, name="Obscurity")
    person = UserFactory(organization=organization, department=department, cost_center="CC-90210")
    assert "CC-90210" in Event.objects.get().body

    erase(person, now=timezone.now())

    assert Event.objects.get().body == ""


def test_an_event_that_names_the_person_in_a_field_of_the_hosts_own_is_blanked(organization):
    person, another = (UserFactory(organization=organization) for _ in range(2))
    Event.objects.all().delete()
    TrainingClassFactory(organization=organization, requested_by=person)
    kept = TrainingClassFactory(organization=organization, requested_by=another)
    named = TrainingClassFactory(organization=organization, name=person.email)
    assert Event.objects.filter(body__contains=person.email).count() == 2

    erase(person, now=timezone.now())

    bodies = {event.subject_id: event.body for event in Event.objects.all()}
    assert sorted(subject for subject, body in bodies.items() if body) == sorted([str(kept.pk), str(named.pk)])


def test_an_old_value_that_names_the_person_is_blanked(organization):
    person = UserFactory(organization=organization)
    training_class = TrainingClassFactory(organization=organization, requested_by=person)
    Event.objects.all().delete()
    training_class.requested_by = None
    training_class.save()

    erase(person.pk, names=[person.email], now=timezone.now())

    assert Event.objects.get().body == ""
