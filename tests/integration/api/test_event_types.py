"""The catalogue over the API: each event type with its schema and a sample that fits it."""

import json
from dataclasses import replace

import pytest
from django.utils import timezone
from jsonschema import Draft202012Validator

from example_project.training.factories import OrganizationFactory
from tests.catalogue import temporary_type
from tests.integration.delivery.rows import write_event
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import PayloadDetail
from tms_webhooks.digests import digested
from tms_webhooks.outbox import feed

LIST = "/api/event-types/"


def test_all_types_are_listed_with_group_summary_and_version(client):
    data = client.get(LIST).json()

    assert [row["name"] for row in data["results"]] == [event_type.name for event_type in registry.all_types()]
    (row,) = [row for row in data["results"] if row["name"] == "class.cancelled"]
    event_type = registry.get("class.cancelled")
    assert row == {
        "name": "class.cancelled",
        "group": "class",
        "title": event_type.noun.title,
        "summary": event_type.summary,
        "version": 1,
        "deprecated": False,
        "offered": True,
    }
    assert client.get(f"{LIST}class.cancelled/").json() == row


@pytest.mark.parametrize("name", ["class.cancelled", "course_assignment.expiring", "webhook.test"])
def test_the_sample_fits_the_schema(client, name):
    schema = client.get(f"{LIST}{name}/schema/").json()
    example = client.get(f"{LIST}{name}/example/").json()

    assert schema["$id"] == f"urn:tms-webhooks:event:{name}:1"
    assert example["type"] == name
    Draft202012Validator(schema).validate(example)


def test_a_type_in_its_second_version_says_so(client):
    second = replace(registry.get("class.cancelled"), name="class.called_off", version=2, deprecated=True)
    address = f"{LIST}class.called_off/"
    with temporary_type(second):
        row, schema, example = (client.get(f"{address}{rest}").json() for rest in ("", "schema/", "example/"))

    assert (row["version"], row["deprecated"]) == (2, True)
    assert (schema["$id"], schema["properties"]["version"]["const"]) == ("urn:tms-webhooks:event:class.called_off:2", 2)
    assert example["version"] == 2


@pytest.mark.parametrize("rest", ["", "schema/", "example/"])
def test_an_unknown_type_is_rejected_with_similar_names(client, problem, rest):
    data = problem(client.get(f"{LIST}class.canceled/{rest}"), "not-found")

    assert data["detail"].startswith('Unknown event type "class.canceled". Did you mean "class.cancelled"')


def test_samples_are_the_latest_events_of_the_callers_organization(client, acme, restricted):
    address = "/api/event-types/class.cancelled/samples/"
    catalogue = client.get("/api/event-types/class.cancelled/example/").json()
    assert client.get(address).json() == [catalogue]
    events = [write_event(acme) for _ in range(5)]
    write_event(OrganizationFactory())
    write_event(acme, "class.updated")
    feed.keep_up(timezone.now(), seconds=60)

    newest = [json.loads(digested(event.body, PayloadDetail.FULL)) for event in reversed(events[2:])]
    assert client.get(address).json() == newest
    assert restricted("view_payload").get(address).json() == [catalogue]
