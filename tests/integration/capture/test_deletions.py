"""Deletions that take more with them than the one object."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import OrganizationFactory
from example_project.training.models import Organization
from tests.factories import WebhookFactory
from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Plaque, Workshop
from tms_webhooks.capture import receivers
from tms_webhooks.models import Event, Webhook

# Committed, so that the database's own deferred constraints have their say.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("model", [Workshop, Plaque])
@pytest.mark.parametrize("by", ["object", "queryset"])
def test_the_end_of_an_organization_is_recorded_to_nobody_and_leaves_nothing(listen, organization, model, by):
    listen(WorkshopSource, model)
    model.objects.create(organization=organization, title="Pair programming")
    assert Event.objects.count() == 1

    with CaptureQueriesContext(connection) as captured:
        if by == "object":
            organization.delete()
        else:
            Organization.objects.filter(pk=organization.pk).delete()

    assert not any(query["sql"].startswith("INSERT") for query in captured)
    assert not model.objects.exists()
    assert not Event.objects.exists()
    assert not Webhook.objects.exists()


def test_an_organization_that_goes_with_something_else_takes_its_newest_events_along(listen, organization, monkeypatch):
    # As if the deletion had begun with a model above the organization.
    listen(WorkshopSource, Workshop)
    monkeypatch.setattr(receivers, "organization_models", set())
    Workshop.objects.create(organization=organization, title="Pair programming")

    organization.delete()

    assert not Event.objects.exists()


def test_other_organizations_keep_their_events(listen, organization):
    other = OrganizationFactory()
    WebhookFactory(organization=other, events=["*"])
    listen(WorkshopSource, Workshop)
    kept = Workshop.objects.create(organization=other, title="Mob programming")
    Workshop.objects.create(organization=organization, title="Pair programming")

    organization.delete()

    assert [(event.organization, event.subject_id) for event in Event.objects.all()] == [(other, str(kept.pk))]
