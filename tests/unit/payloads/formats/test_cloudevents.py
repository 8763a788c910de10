"""The official library of CloudEvents reads every event in both modes."""

from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from tests.unit.catalogue.conftest import each_event_type
from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.payloads.formats import RequestFormat, binary_headers, render

http = pytest.importorskip("cloudevents.core.bindings.http", reason="pip install --group dev installs cloudevents")


def read(event, format_=PayloadFormat.CLOUDEVENTS):
    content_type, body = render(RequestFormat(format=format_), event, limit=1_000_000)
    headers = binary_headers(body) if format_ == PayloadFormat.CLOUDEVENTS_BINARY else {}
    return http.from_http_event(http.HTTPMessage({**headers, "content-type": content_type}, body.encode()))


@pytest.mark.parametrize("format_", [PayloadFormat.CLOUDEVENTS, PayloadFormat.CLOUDEVENTS_BINARY])
@each_event_type
def test_the_library_reads_every_event(event_type, format_):
    example = event_type.example()

    event = read(example, format_)

    assert (event.get_id(), event.get_type()) == (example["id"], event_type.name)
    assert event.get_time() == datetime(2026, 11, 24, 15, 4, 5, 123_000, tzinfo=UTC)
    assert event.get_data() == example
    assert event.get_dataschema() == event_type.schema()["$id"]
    Draft202012Validator(event_type.schema()).validate(event.get_data())


def test_source_and_subject_name_the_organization_and_the_object():
    event = read(catalogue.get("enrollment.enrolled").example())

    assert event.get_specversion() == "1.0"
    assert event.get_source() == "urn:tms-webhooks:organization:12"
    assert event.get_subject() == "enrollment/70031"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("sequence") == "3"


def test_a_source_is_a_uri_whatever_the_key_of_the_organization():
    example = catalogue.get("enrollment.enrolled").example()
    example["organization"]["id"] = "Zoë & Co"

    assert read(example).get_source() == "urn:tms-webhooks:organization:Zo%C3%AB%20%26%20Co"


def test_both_modes_have_the_same_attributes_whatever_characters_are_in_them():
    example = {**catalogue.get("enrollment.enrolled").example(), "correlation_id": 'a "b" 5 % Zoë'}
    example["organization"]["id"] = "Zoë & Co"

    binary = read(example, PayloadFormat.CLOUDEVENTS_BINARY)

    assert binary.get_attributes() == read(example).get_attributes()
    assert binary.get_extension("correlationid") == 'a "b" 5 % Zoë'


@pytest.mark.parametrize("body", ["text", "[1]", '"text"', '{"EventId": "evt_1", "EventType": "class.cancelled"}'])
def test_a_body_that_was_made_in_another_format_has_no_attributes(body):
    assert binary_headers(body) == {}
