"""Each owner of a class has events of its own, and an organization that becomes or ceases to be one hears of that."""

import pytest

from tests.hosts.models import Tenant
from tests.hosts.routes import CHANGES, CREATIONS, DELETIONS
from tests.hosts.shared.models import SharedClass, SharedCourse
from tests.outbox import prune_events
from tms_webhooks.models import Webhook


@pytest.fixture
def partner():
    """A second organization that hears of everything."""
    partner = Tenant.objects.create(name="Globex")
    webhook = Webhook.objects.create(organization=partner, name="All", url="https://receiver.example/")
    webhook.subscriptions.create(event_type="*")
    return partner


@pytest.fixture
def shared_course(tenant, partner):
    course = SharedCourse.objects.create(name="Azure")
    course.tenants.set([tenant, partner])
    return course


@pytest.fixture
def shared_class(shared_course):
    shared_class = SharedClass.objects.create(course=shared_course, title="Azure, mornings")
    prune_events()
    return shared_class


@pytest.fixture
def owners_and_types(recorded):
    """Return the events as pairs of the organization's name and the type, sorted."""
    names = {str(tenant.pk): tenant.name for tenant in Tenant.objects.all()}
    return lambda: sorted((names[event["organization"]["id"]], event["type"]) for event in recorded())


BOTH = ["Acme", "Globex"]


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS)
def test_a_new_class_is_one_event_for_each_owner(create, shared_course, owners_and_types, recorded):
    create(SharedClass, course=shared_course, title="Azure")

    assert owners_and_types() == [(name, "class.scheduled") for name in BOTH]
    assert [event["sequence"] for event in recorded()] == [1, 1]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_one_event_for_each_owner(change, shared_class, owners_and_types, recorded):
    change(shared_class, state="cancelled")

    assert owners_and_types() == [(name, "class.cancelled") for name in BOTH]
    assert {event["previous"]["status"]["code"] for event in recorded()} == {0}
    assert {event["sequence"] for event in recorded()} == {2}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_is_one_event_for_each_owner(delete, shared_class, owners_and_types):
    delete(shared_class)

    assert owners_and_types() == [(name, "class.deleted") for name in BOTH]
