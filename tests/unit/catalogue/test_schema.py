"""The JSON Schema that an event type publishes."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from tests.unit.catalogue.conftest import MakeEventType
from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType, Field, FieldKind
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.choices import FieldPrivacy

each_event_type = pytest.mark.parametrize("event_type", BUILT_IN, ids=lambda event_type: event_type.name)


@each_event_type
def test_every_schema_is_a_schema_and_survives_json(event_type: EventType) -> None:
    Draft202012Validator.check_schema(event_type.schema())
    assert json.loads(json.dumps(event_type.schema())) == event_type.schema()


@each_event_type
def test_every_schema_has_an_identity_without_a_host(event_type: EventType) -> None:
    schema = event_type.schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:tms-webhooks:event:{event_type.name}:1"
    assert schema["title"] == event_type.name
    assert schema["description"] == event_type.summary


def test_no_two_schemas_share_an_identity() -> None:
    assert len({event_type.schema()["$id"] for event_type in BUILT_IN}) == len(BUILT_IN)


def test_a_version_is_in_the_identity_and_in_the_envelope(make_event_type: MakeEventType) -> None:
    event_type = make_event_type(version=2)
    assert event_type.schema()["$id"] == "urn:tms-webhooks:event:exam.passed:2"
    assert event_type.schema()["properties"]["version"]["const"] == 2
    assert event_type.example()["version"] == 2
    event_type.validate(event_type.example())


def test_a_schema_is_built_once() -> None:
    assert catalogue.get("class.scheduled").schema() is catalogue.get("class.scheduled").schema()


def test_two_types_have_each_their_own_schema(make_event_type: MakeEventType) -> None:
    assert make_event_type("exam.passed").schema()["title"] == "exam.passed"
    assert make_event_type("exam.failed").schema()["title"] == "exam.failed"


def test_data_nests_the_fields_by_their_dots(make_event_type: MakeEventType) -> None:
    data = make_event_type().schema()["properties"]["data"]
    assert list(data["properties"]) == ["id", "status", "score", "attempts", "passed", "taken_at", "user", "room"]
    assert list(data["properties"]["user"]["properties"]) == ["id", "email"]
    assert data["type"] == "object"
    assert data["title"] == "Exam"
    # Ids alone: each payload has them. The status, which is never null, is in none that is thin.
    assert data["required"] == ["id", "user"]
    assert data["properties"]["user"]["required"] == ["id"]


def test_each_kind_of_field_has_its_shape(make_event_type: MakeEventType) -> None:
    properties = make_event_type().schema()["properties"]["data"]["properties"]
    assert properties["id"] == {"type": ["integer", "string"], "description": "Id of the exam."}
    assert properties["score"] == {"type": ["number", "null"], "description": "Score."}
    assert properties["attempts"] == {"type": ["integer", "null"], "description": "How often."}
    assert properties["passed"] == {"type": ["boolean", "null"], "description": "Whether it was passed."}
    assert properties["taken_at"]["type"] == ["string", "null"]
    assert properties["taken_at"]["format"] == "date-time"
    assert properties["status"]["type"] == "object"
    assert properties["status"]["required"] == ["code", "name"]
    assert properties["user"]["type"] == "object"
    assert properties["user"]["properties"]["email"]["type"] == ["string", "null"]
    assert properties["room"]["type"] == ["object", "null"]


def test_a_field_without_a_doc_has_no_description(make_event_type: MakeEventType) -> None:
    seat = Field("seat", FieldKind.INTEGER, FieldPrivacy.BASIC)
    properties = make_event_type(extra=(seat,)).schema()["properties"]["data"]["properties"]
    assert properties["seat"] == {"type": ["integer", "null"]}


def test_previous_has_the_same_shapes_and_requires_nothing(make_event_type: MakeEventType) -> None:
    previous = make_event_type().schema()["properties"]["previous"]
    assert previous["type"] == "object"
    assert "required" not in previous
    assert "required" not in previous["properties"]["user"]
    assert previous["properties"]["id"]["type"] == ["integer", "string", "null"]
    assert previous["properties"]["status"]["type"] == ["object", "null"]
    assert previous["properties"]["status"]["required"] == ["code", "name"]


def test_a_needed_field_may_be_null_in_the_old_values_alone(make_event_type: MakeEventType) -> None:
    properties = make_event_type(needs=("score",)).schema()["properties"]
    assert properties["data"]["properties"]["score"]["type"] == "number"
    assert properties["previous"]["properties"]["score"]["type"] == ["number", "null"]


@each_event_type
def test_no_schema_forbids_the_additions_of_a_later_version(event_type: EventType) -> None:
    assert "additionalProperties" not in json.dumps(event_type.schema())
    envelope = event_type.example()
    envelope["truncated"] = True
    envelope["data"]["later"] = {"added": 1}
    event_type.validate(envelope)
