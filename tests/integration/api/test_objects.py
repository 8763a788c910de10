"""Deliveries and events are found by the object that they are about, and by its id in the customer's system."""

import pytest
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.api.people import errors_of
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.models import Event


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, events=["*"])


@pytest.fixture
def about(webhook):
    """Write a delivery of an event of this object."""

    def about(noun, key, external_id="", *, to=None):
        delivery = write_delivery(to or webhook, now=timezone.now())
        Event.objects.filter(pk=delivery.event_id).update(
            subject_type=noun,
            subject_id=key,
            external_id=external_id,
            type=f"{noun}.updated",
            sequence=delivery.pk,
        )
        delivery.event.refresh_from_db()
        return delivery

    return about


@pytest.fixture(params=["deliveries/", "events/", "webhooks/{}/events/"])
def address(request, webhook):
    return f"/api/{request.param}".format(webhook.public_id)


def found(client, address, **query):
    response = client.get(address, query)
    assert response.status_code == 200, response.content
    return sorted(row["id"] for row in response.json()["results"])


def expected(address, *deliveries):
    return sorted((one if "deliveries" in address else one.event).public_id for one in deliveries)


def test_they_are_found_by_the_object_and_by_its_external_id(client, address, about):
    first, second = about("class", "8840", "ACME-1"), about("class", "8840", "ACME-1")
    other = about("class", "8841", "ACME-2")
    about("user", "8840")

    assert found(client, address, subject="class:8840") == expected(address, first, second)
    assert found(client, address, external_id="ACME-2") == expected(address, other)
    assert found(client, address, subject="class:8840", external_id="ACME-2") == []
    assert found(client, address, subject="class:1") == []


def test_the_objects_of_others_are_not_found(client, about):
    about("class", "8840", "ACME-1", to=WebhookFactory(events=["*"]))

    for address in ("/api/deliveries/", "/api/events/"):
        assert found(client, address, subject="class:8840") == []
        assert found(client, address, external_id="ACME-1") == []


@pytest.mark.parametrize(
    "query, detail",
    [
        (
            "subject=class",
            '"class" has no id. Write a noun, a colon and the id of the object: class:8840.',
        ),
        ("subject=", "Empty; set a value or omit the parameter."),
        ("external_id=", "Empty; set a value or omit the parameter."),
        ("subject=class:1%00", "Contains a NUL character; remove it."),
    ],
)
def test_an_object_that_is_none_is_refused_with_the_right_form(client, address, problem, query, detail):
    assert errors_of(client.get(f"{address}?{query}")) == {query.partition("=")[0]: detail}
