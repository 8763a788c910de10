"""Hosts whose rows do not refer to the organization's table: its subscriptions are read in a query of their own."""

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Workshop
from tms_webhooks.models import Event


class InText(WorkshopSource):
    """The key is stored as text, which databases do not compare with numbers."""

    fields = {"organization.id": "title", "title": "state", "state": None}


class InPython(WorkshopSource):
    """Only Python knows the key."""

    fields = {"organization.id": "owner_key"}


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture(params=[InText, InPython])
def workshop(request, listen, organization, monkeypatch):
    monkeypatch.setattr(Workshop, "owner_key", property(lambda self: self.organization_id), raising=False)
    workshop = Workshop.objects.create(organization=organization, title=str(organization.pk), seats=10)
    listen(request.param, Workshop)
    return workshop


def add_a_seat(workshop):
    workshop.seats += 1
    workshop.save()


def test_its_webhooks_receive_a_change(workshop, organization, recorded):
    WebhookFactory(organization=organization, events=["workshop.*"])

    add_a_seat(workshop)

    (event,) = recorded()
    assert event["previous"] == {"seats": 10}
    assert Event.objects.get().organization == organization


@pytest.mark.parametrize("wanted", ["workshop.*", "class.*"])
def test_no_event_is_stored_if_only_other_subscriptions_match(workshop, wanted):
    WebhookFactory(events=[wanted])

    add_a_seat(workshop)

    assert not Event.objects.exists()


def test_its_webhooks_receive_a_deletion(workshop, organization, recorded):
    WebhookFactory(organization=organization, events=["workshop.deleted"])

    add_a_seat(workshop)
    workshop.delete()

    assert [event["type"] for event in recorded()] == ["workshop.deleted"]
