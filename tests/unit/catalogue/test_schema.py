"""The JSON Schema that an event type publishes."""

import json

import pytest
from jsonschema import Draft202012Validator

from tests.unit.catalogue.conftest import each_event_type


@pytest.mark.slow
@each_event_type
def test_every_schema_is_a_schema_and_survives_json(event_type):
    Draft202012Validator.check_schema(event_type.schema())
    assert json.loads(json.dumps(event_type.schema())) == event_type.schema()


def test_a_version_is_in_the_identity_and_in_the_envelope(make_event_type):
    event_type = make_event_type(version=2)
    assert event_type.schema()["$id"] == "urn:tms-webhooks:event:exam.passed:2"
    assert event_type.schema()["properties"]["version"]["const"] == 2
    assert event_type.example()["version"] == 2
    event_type.validate(event_type.example())


def test_data_nests_the_fields_by_their_dots(make_event_type):
    data = make_event_type().schema()["properties"]["data"]
    assert list(data["properties"]) == ["id", "status", "score", "attempts", "passed", "taken_at", "user", "room"]
    assert list(data["properties"]["user"]["properties"]) == ["id", "email"]
    assert data["type"] == "object"
    assert data["title"] == "Exam"
    # Ids alone: each payload has them. The status, which is never null, is in none that is thin.
    assert data["required"] == ["id", "user"]
    assert data["properties"]["user"]["required"] == ["id"]


def test_previous_has_the_same_shapes_and_requires_nothing(make_event_type):
    previous = make_event_type().schema()["properties"]["previous"]
    assert previous["type"] == "object"
    assert "required" not in previous
    assert "required" not in previous["properties"]["user"]
    assert previous["properties"]["id"]["type"] == ["integer", "string", "null"]
    assert previous["properties"]["status"]["type"] == ["object", "null"]
    assert previous["properties"]["status"]["required"] == ["code", "name"]


@each_event_type
def test_no_schema_forbids_the_additions_of_a_later_version(event_type):
    assert "additionalProperties" not in json.dumps(event_type.schema())
    envelope = event_type.example()
    envelope["truncated"] = True
    envelope["data"]["later"] = {"added": 1}
    event_type.validate(envelope)
