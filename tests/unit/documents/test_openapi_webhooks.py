"""Every event of the catalogue is a webhook of the OpenAPI document, with what a receiver has to know of it."""

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tms_webhooks import catalogue
from tms_webhooks.delivery import signing
from tms_webhooks.documents import with_webhooks
from tms_webhooks.documents.schemas import schema_name


@pytest.fixture
def document():
    return with_webhooks({"openapi": "3.1.0", "info": {"title": "Ours", "version": "1"}, "paths": {}})


def resolved(document, node):
    """Return a part of the document with its references replaced by what they refer to."""
    if isinstance(node, list):
        return [resolved(document, one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return resolved(document, target)
    return {key: resolved(document, value) for key, value in node.items()}


def test_every_event_is_there_with_its_own_schema_and_sample(document):
    assert list(document["webhooks"]) == [one.name for one in catalogue.all_types()]
    for event_type in catalogue.all_types():
        operation = document["webhooks"][event_type.name]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        schema = event_type.schema()
        whole = {key: value for key, value in schema.items() if not key.startswith("$") and key != "title"}
        for part in ("data", "previous"):
            whole["properties"][part].pop("title", None)
        assert resolved(document, content["schema"]) == whole
        assert content["example"] == event_type.example()
        assert operation["description"] == event_type.summary


def test_every_sample_is_valid_against_the_schemas_as_they_stand_in_the_document(document):
    registry = Registry().with_resource("urn:document", Resource.from_contents(document, DRAFT202012))
    for event_type in catalogue.all_types():
        reference = {"$ref": f"urn:document#/components/schemas/{schema_name(event_type)}"}
        Draft202012Validator(reference, registry=registry).validate(event_type.example())


def test_the_headers_of_a_signed_request_are_as_promised(document):
    headers = signing.signature_headers(
        secrets=["whsec_" + "A" * 32, "whsec_" + "B" * 32],
        message_id="evt_" + "0" * 32,
        timestamp=1_764_000_000,
        body=b"{}",
    )
    for operation in document["webhooks"].values():
        promised = {one["name"]: one for one in resolved(document, operation["post"]["parameters"])}
        assert list(promised) == [*headers, "tms-delivery-id", "tms-attempt", "tms-test"]
        assert all(one["in"] == "header" for one in promised.values())
        assert [name for name, one in promised.items() if not one["required"]] == ["tms-test"]
    for name, value in headers.items():
        Draft202012Validator(promised[name]["schema"]).validate(value)


def test_no_class_of_a_client_is_named_by_a_title_that_several_events_have(document):
    assert [name for name, schema in document["components"]["schemas"].items() if "title" in schema] == []
