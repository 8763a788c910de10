"""The queries that capture adds to a request of the host's API, where the owner is behind a many-to-many field."""

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from rest_framework import serializers, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.test import APIRequestFactory

from tests.hosts.models import Member, Tenant
from tests.hosts.shared.models import SharedClass, SharedCourse, SharedPlace
from tests.registration import disconnect
from tms_webhooks.capture import receivers
from tms_webhooks.models import Event, Webhook
from tms_webhooks.sources.registry import sources_of

DATABASES = ["training", "default"]

MOST_QUERIES = 4
"""That capture may add to such a request."""


class PlaceSerializer(serializers.ModelSerializer):
    class Meta:
        model = SharedPlace
        fields = ["id", "shared_class", "member", "state"]


class PlaceViewSet(viewsets.ModelViewSet):
    queryset = SharedPlace.objects.all()
    serializer_class = PlaceSerializer
    permission_classes = [AllowAny]
    authentication_classes: list = []


@pytest.fixture
def place():
    owners = [Tenant.objects.create(name=name) for name in ("Acme", "Globex")]
    course = SharedCourse.objects.create(name="Azure")
    course.tenants.set(owners)
    shared_class = SharedClass.objects.create(course=course, title="December")
    member = Member.objects.create(email="alice@acme.example", given_name="Alice", tenant=owners[0])
    webhook = Webhook.objects.create(
        organization=Tenant.objects.create(name="Initech"), name="All", url="https://receiver.example/"
    )
    webhook.subscriptions.create(event_type="*")
    return SharedPlace.objects.create(shared_class=shared_class, member=member)


def queries_of_a_put(place, state):
    """Return how many queries a PUT of a new state takes."""
    request = APIRequestFactory().put(
        "/", {"shared_class": place.shared_class_id, "member": place.member_id, "state": state}
    )
    with CaptureQueriesContext(connections["training"]) as captured:
        response = PlaceViewSet.as_view({"put": "update"})(request, pk=place.pk)
    assert response.status_code == 200, response.data
    return len(captured)


@pytest.mark.django_db(databases=DATABASES, transaction=True)
def test_a_put_costs_at_most_four_queries_more_if_another_organization_has_a_webhook(place):
    queries_of_a_put(place, "waitlisted")
    captured = queries_of_a_put(place, "approved")
    sources = [source for model in (SharedPlace, SharedClass) for source in sources_of(model)]
    for source in sources:
        disconnect(source)
    try:
        alone = queries_of_a_put(place, "enrolled")
    finally:
        for source in sources:
            receivers.connect(source)

    assert captured - alone <= MOST_QUERIES
    assert not Event.objects.exists()
