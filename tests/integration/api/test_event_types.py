"""The catalogue over the API: each event type with its schema and a sample that fits it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from tests.catalogue import temporary_older_version, temporary_type
from tms_webhooks.catalogue import registry
from tms_webhooks.catalogue.versions import OlderVersion

LIST = "/api/event-types/"


@pytest.fixture
def second_version():
    """A type that is in its second version, and deprecated."""
    first = registry.get("class.cancelled")
    second = replace(first, name="class.called_off", version=2, deprecated=True)
    older = OlderVersion("class.called_off", version=1, fields=first.fields, convert=lambda event: event)
    with temporary_type(second), temporary_older_version(older):
        yield second


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
        "versions": [1],
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


def test_an_older_version_can_be_asked_for(client, second_version, problem):
    address = f"{LIST}class.called_off/"
    row = client.get(address).json()
    assert (row["version"], row["versions"], row["deprecated"]) == (2, [1, 2], True)

    assert client.get(f"{address}schema/").json()["properties"]["version"] == {
        **client.get(f"{address}schema/?version=1").json()["properties"]["version"],
        "const": 2,
    }
    assert client.get(f"{address}example/?version=1").json()["version"] == 1
    (error,) = problem(client.get(f"{address}schema/?version=3"), "invalid-request")["errors"]
    assert error["detail"] == "Unknown version; choose one of 1, 2."


@pytest.mark.parametrize("rest", ["", "schema/", "example/"])
def test_an_unknown_type_is_rejected_with_similar_names(client, problem, rest):
    data = problem(client.get(f"{LIST}class.canceled/{rest}"), "not-found")

    assert data["detail"].startswith('Unknown event type "class.canceled". Did you mean "class.cancelled"')
