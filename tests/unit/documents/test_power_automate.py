"""The document for a connector of Power Automate is valid Swagger 2.0, and its trigger has the fields of the chosen events."""

import json

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator

from tms_webhooks import catalogue
from tms_webhooks.documents import power_automate_document

LARGEST = 1_000_000
"""Bytes of a definition that Power Automate imports."""


def content_of(document):
    return document["paths"]["/hooks/"]["x-ms-notification-content"]["schema"]


def types_in(schema, path=()):
    """Yield each field that has a type, with its path."""
    if "type" in schema:
        yield ".".join(path), schema["type"]
    for name, field in schema.get("properties", {}).items():
        yield from types_in(field, (*path, name))
    if "items" in schema:
        yield from types_in(schema["items"], (*path, "[]"))


@pytest.mark.parametrize("pattern", ["*", *(f"{noun}.*" for noun in catalogue.grouped()), "class.cancelled"])
def test_it_is_valid_swagger_and_small_enough_to_be_imported(pattern):
    document = power_automate_document(catalogue.expand(pattern))

    OpenAPIV2SpecValidator(document).validate()
    assert len(json.dumps(document)) < LARGEST


def test_the_validator_refuses_what_is_no_swagger():
    document = power_automate_document(catalogue.expand("class.cancelled"))
    document["paths"]["/hooks/"]["post"]["parameters"][0]["in"] = "nowhere"

    assert list(OpenAPIV2SpecValidator(document).iter_errors())


def test_its_trigger_offers_the_events_to_which_a_webhook_can_subscribe():
    document = power_automate_document(catalogue.all_types())
    (parameter,) = document["paths"]["/hooks/"]["post"]["parameters"]

    assert parameter["schema"]["properties"]["event"]["enum"] == [
        one.name for one in catalogue.all_types() if one.offered
    ]


def test_a_field_has_its_type_and_one_of_several_types_has_none():
    content = content_of(power_automate_document(catalogue.expand("class.cancelled")))
    found = dict(types_in(content))

    assert found["data.name"] == found["previous.name"] == "string"
    assert found["sequence"] == "integer"
    assert found["data.status.code"] == "integer"
    assert found["changed"] == "array"
    assert found["changed.[]"] == "string"
    assert content["properties"]["data"]["properties"]["id"] == {"x-ms-summary": "Event data id"}


def test_the_trigger_of_several_events_has_the_fields_of_each():
    names = ["class.cancelled", "enrollment.requested"]
    one, other = (
        set(content_of(power_automate_document(catalogue.expand(name)))["properties"]["data"]["properties"])
        for name in names
    )
    both = content_of(power_automate_document([catalogue.get(name) for name in names]))

    assert set(both["properties"]["data"]["properties"]) == one | other
    assert one - other
    assert other - one


@pytest.mark.parametrize(
    "url, expected",
    [
        ("https://tms.acme.com/api/webhooks/", ("https", "tms.acme.com", "/api/webhooks")),
        ("http://127.0.0.1:8000", ("http", "127.0.0.1:8000", "/")),
        ("", ("https", "tms.example.com", "/api")),
    ],
)
def test_it_has_the_url_of_the_api(settings_of_app, url, expected):
    settings_of_app(API_URL=url)
    document = power_automate_document(catalogue.expand("class.cancelled"))

    assert (*document["schemes"], document["host"], document["basePath"]) == expected
