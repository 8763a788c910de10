"""The OpenAPI document: valid, whole, and the one that integrators have made their clients of.

It lives as a golden file, with a line for each operation and schema. After a wanted change, write it anew and read the
difference::

    python -m tests.goldens
"""

import json
import os
import re
from pathlib import Path

import pytest
import rest_framework
from django.core.management import call_command
from django.urls import reverse
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.catalogue import temporary_type
from tests.integration.api.test_scope import NO_RESOURCE, routes
from tms_webhooks import __version__, catalogue
from tms_webhooks.api.schema.urls import document
from tms_webhooks.catalogue import EventType, Noun, references

GOLDEN = Path(__file__).parents[2] / "golden" / "openapi.json"
SPREAD = {"paths", "webhooks", "components", "schemas", "responses", "parameters"}
METHODS = {"get", "post", "patch", "delete", "put"}


def spread(name, value, depth=0):
    """Return JSON with a line for each member of what is large."""
    if name not in SPREAD and depth:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    lines = [f"{json.dumps(key)}:{spread(key, inner, depth + 1)}" for key, inner in value.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def operations():
    return {
        operation["operationId"]: operation
        for path in document()["paths"].values()
        for method, operation in path.items()
        if method in METHODS
    }


@pytest.mark.skipif(
    rest_framework.VERSION < "3.18", reason="older releases give read-only choices no enum of their own"
)
def test_it_is_the_golden_file():
    # A release changes the number, and nothing that the document says.
    info = {**document()["info"], "version": "0"}
    text = spread("", {**document(), "info": info}) + "\n"
    if os.environ.get("TMS_WEBHOOKS_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")

    assert GOLDEN.read_text(encoding="utf-8") == text, "write it again with python -m tests.goldens, and read it"


def test_it_is_valid_openapi_3_1():
    assert (document()["openapi"], document()["info"]["version"]) == ("3.1.0", __version__)
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_in_it_and_nothing_else():
    described = [
        (path, method) for path, methods in document()["paths"].items() for method in methods if method in METHODS
    ]

    assert len(described) == len(set(operations())) == len([name for name, _ in routes() if name not in NO_RESOURCE])
    assert all(path.startswith("/api/") for path, _method in described)


@pytest.mark.parametrize(
    "unwanted",
    [
        pytest.param(r'"nullable"', id="a keyword of OpenAPI 3.0"),
        pytest.param(r'"title":"(?!Webhooks")[^"]*","(?:type|description|readOnly)"', id="titles"),
        # Generated clients compare it with the text "true", and refuse it.
        pytest.param(r'"(?:const":true|const":false|enum":\[(?:true|false))', id="a boolean that is a constant"),
        pytest.param(r'"(?:maximum|minimum)":-?\d{9,}', id="a limit of one database"),
    ],
)
def test_generators_find_nothing_that_misleads_them(unwanted):
    assert re.findall(unwanted, json.dumps(document(), separators=(",", ":"))) == []


def test_every_operation_has_one_type_of_success():
    # A generated client knows one, and loses the others.
    for name, operation in operations().items():
        found = [response for code, response in operation["responses"].items() if code.startswith("2")]
        assert all(response.get("content") == found[0].get("content") for response in found), name


def test_each_tag_of_an_operation_is_described_once():
    described = [tag["name"] for tag in document()["tags"] if tag["description"]]

    used = {tag for operation in operations().values() for tag in operation["tags"]}
    assert sorted(described) == sorted({*used, "Received webhooks"})


def test_the_served_document_names_its_server(client):
    answer = client.get(reverse("tms_webhooks_schema:openapi"))

    assert answer.json()["servers"] == [{"url": "http://testserver", "description": "This server"}]
    assert document()["servers"] == [{"url": "/", "description": "This server"}]


def test_the_requests_to_receivers_are_no_methods_of_clients():
    assert all(operation["post"]["x-internal"] for operation in document()["webhooks"].values())


def test_the_command_prints_it_with_the_webhooks(capsys):
    call_command("spectacular", format="openapi-json", validate=True, fail_on_warn=True)

    printed = json.loads(capsys.readouterr().out)
    assert printed["openapi"] == "3.1.0"
    assert list(printed["webhooks"]) == [one.name for one in catalogue.all_types()]
    assert printed["paths"] == document()["paths"]


def test_the_document_is_served_to_everybody(client):
    client.logout()
    answer = client.get(reverse("tms_webhooks_schema:openapi"))

    assert answer.status_code == 200
    assert answer.json()["openapi"].startswith("3.")


@pytest.mark.slow
def test_the_schema_of_all_events_is_public_and_linked_and_the_samples_obey_it(client):
    client.logout()
    url = reverse("tms_webhooks_schema:json-schema")
    schema = Draft202012Validator(client.get(url).json())

    for event_type in catalogue.all_types():
        schema.validate(event_type.example())
    noun = Noun("exam", "Exam", references.identity("the exam"))
    with temporary_type(EventType("exam.passed", noun, "An exam was passed.", deprecated=True)):
        assert client.get(url).json()["$defs"]["ExamPassedEvent"]["deprecated"] is True
    assert f'href="{url}"' in client.get(reverse("tms_webhooks_schema:documentation")).content.decode()


def test_the_page_loads_nothing_from_elsewhere(client):
    client.logout()
    text = client.get(reverse("tms_webhooks_schema:documentation")).content.decode()

    assert re.findall(r"https?://|//[a-z]", text) == []
    assert 'data-document="/api/openapi.json"' in text
