"""The catalogue over the API: each event type with its schema and a sample that fits it."""

from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from tests.catalogue import temporary_type
from tms_webhooks.catalogue import registry

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
