"""Whatever a request is, in form and out of it, it is answered as the OpenAPI document says, and never by a crash.

Schemathesis makes the requests from the document: always the same ones, so that a failure comes again.
"""

import itertools
import json

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings

from example_project.training.models import ApiKey
from tests.integration.api.test_contract import GOLDEN, METHODS
from tests.integration.api.test_scope import world
from tms_webhooks.api.schema.urls import document

__all__ = ["world"]

REQUESTS = 4
"""For each operation, right ones and as many wrong ones."""

# The golden file is the document: to make that takes a second of each process that collects the tests.
WRITTEN = json.loads(GOLDEN.read_text(encoding="utf-8"))
LABELS = {
    f"{method.upper()} {path}": operation
    for path, methods in WRITTEN["paths"].items()
    for method, operation in methods.items()
    if method in METHODS
}
ANY_TEXT = (None, "^[^/]+$")
"""The patterns of an id in a URL and of a header that may be any text."""


def can_be_malformed(operation):
    """Return whether a request can break the document. To search for one that can't exist takes seconds."""
    parameters = [
        WRITTEN["components"]["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        for one in operation.get("parameters", ())
    ]
    return "requestBody" in operation or any(
        one["in"] == "query" or one["schema"].get("pattern") not in ANY_TEXT for one in parameters
    )


CASES = [(label, "positive") for label in LABELS] + [
    (label, "negative") for label, operation in LABELS.items() if can_be_malformed(operation)
]


@pytest.fixture(scope="module")
def operations():
    """The operations of the document, by label."""
    import schemathesis

    api = schemathesis.openapi.from_dict(document())
    api.app = get_wsgi_application()
    return {operation.ok().label: operation.ok() for operation in api.get_all_operations()}


def test_each_operation_is_tried(operations):
    assert sorted(operations) == sorted(LABELS)


@pytest.fixture(autouse=True)
def one_connection():
    """Keep the connection, with the test's transaction, from one request to the next, as Django's own client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def key(world):
    _key, clear = ApiKey.objects.create_key(name="Fuzz", organization=world.webhook.organization)
    return clear


@pytest.fixture
def keys_of(world):
    """Return, every other time, what is there in place of what was made up for the address."""
    turns = itertools.count()
    there = {
        "webhooks": world.webhook.public_id,
        "subscriptions": world.subscription.public_id,
        "secrets": world.old_secret.public_id,
        "deliveries": world.delivery.public_id,
        "jobs": world.job.public_id,
        "events": world.delivery.event.public_id,
    }

    def keys_of(path):
        if next(turns) % 2:
            return {}
        found = {"webhook_id": world.webhook.public_id, "name": "class.cancelled"}
        nouns = [noun for noun in path.split("/") if noun in there]
        return {**found, "id": str(there[nouns[-1]])} if nouns else found

    return keys_of


@pytest.mark.slow
@pytest.mark.parametrize("label, mode", CASES)
def test_a_request_is_answered_as_the_document_says(operations, label, mode, key, keys_of):
    from schemathesis import GenerationMode, checks

    mode = GenerationMode(mode)
    conform = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    @settings(
        max_examples=REQUESTS,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operations[label].as_strategy(generation_mode=mode))
    def ask(case):
        known = keys_of(case.path)
        case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}

        answer = case.call_and_validate(headers={"Authorization": f"Api-Key {key}"}, checks=conform)

        assert known or mode.is_positive or answer.status_code >= 400

    ask()
