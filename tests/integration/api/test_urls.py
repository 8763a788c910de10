"""Unknown addresses, wrong methods and wrong content types are answered with a problem that names the right ones."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.factories import WebhookFactory
from tests.integration.api.people import at, body_of
from tms_webhooks.models import Webhook


@pytest.mark.parametrize("method", ["get", "post", "options"])
@pytest.mark.parametrize("address", ["webhooks/abc/", "webhooks/1/explode/", "jobs/9999999999999999999/", "audit/1/2/"])
def test_an_address_that_leads_nowhere_is_a_problem_too(client, problem, method, address):
    problem(getattr(client, method)(f"/api/{address}"), "not-found")


def test_an_unknown_address_allows_no_method(client, problem):
    response = client.get(f"/api/webhooks/whk_{'0' * 32}/explode/")

    assert problem(response, "not-found")["detail"].startswith("No resource has this URL.")
    assert "Allow" not in response.headers


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("webhooks/{}/", "webhook"),
        ("webhooks/{}/stats/", "webhook"),
        ("webhooks/{}/subscriptions/", "webhook"),
        ("events/{}/", "event"),
        ("deliveries/{}/", "delivery"),
        ("deliveries/{}/attempts/", "delivery"),
        ("jobs/{}/", "job"),
        ("audit/{}/", "audit entry"),
    ],
)
@pytest.mark.parametrize("is_mistyped", [True, False])
def test_an_unknown_id_is_named_whether_it_is_mistyped_or_not(client, problem, address, kind, is_mistyped):
    prefix = {"webhook": "whk_", "event": "evt_", "delivery": "dlv_", "job": "job_", "audit entry": "aud_"}[kind]
    unknown = f"{prefix}nope" if is_mistyped else prefix + "0" * (64 if kind == "delivery" else 32)

    response = client.get(f"/api/{address.format(unknown)}")

    assert problem(response, "not-found")["detail"] == f"No {kind} has the id {unknown}."


@pytest.mark.parametrize("unknown", ["sub_nope", f"sub_{'0' * 32}"])
def test_an_unknown_subscription_of_a_webhook_is_named(client, acme, problem, unknown):
    webhook = WebhookFactory(organization=acme)

    response = client.get(f"/api/webhooks/{webhook.public_id}/subscriptions/{unknown}/")

    assert problem(response, "not-found")["detail"] == f"No subscription has the id {unknown}."


def test_a_long_unknown_id_is_shortened(client, problem):
    response = client.get(f"/api/webhooks/{'x' * 500}/")

    assert problem(response, "not-found")["detail"] == f"No webhook has the id {'x' * 80}."


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("put", "webhooks/", ["GET", "POST"]),
        ("get", "deliveries/bulk-replay/", ["POST"]),
        ("post", "openapi.json", ["GET"]),
        ("delete", "asyncapi.json", ["GET"]),
        ("patch", "docs/", ["GET"]),
    ],
)
def test_a_wrong_method_is_a_problem_with_the_right_ones(client, problem, method, address, allowed):
    response = getattr(client, method)(f"/api/{address}")

    data = problem(response, "method-not-allowed")
    assert data["allow"] == allowed
    assert data["detail"].endswith(f"Use {', '.join(allowed)}.")
    assert set(allowed) <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
@pytest.mark.parametrize("append_slash", [True, False])
def test_an_address_without_its_last_slash_is_led_to_the_right_one(method, append_slash, settings):
    settings.APPEND_SLASH = append_slash
    client = APIClient(enforce_csrf_checks=True)

    response = getattr(client, method)("/api/webhooks/5?a=1")

    # 308 and not 301: what is sent is sent again, by the same method.
    assert (response.status_code, response["Location"]) == (308, "/api/webhooks/5/?a=1")


def test_what_is_sent_without_the_last_slash_arrives(client, acme):
    response = client.post("/api/webhooks", body_of(acme), follow=True)

    assert response.status_code == 201
    assert Webhook.objects.get().name == "CRM"


def test_addresses_of_others_are_left_alone(client):
    assert client.get("/api/elsewhere/").headers["Content-Type"].startswith("text/html")


def test_an_unsupported_method_is_rejected_with_the_supported_ones(client, problem):
    response = client.put("/api/webhooks/", {})

    assert problem(response, "method-not-allowed")["detail"] == 'Method "PUT" not allowed. Use GET, POST.'
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_options_returns_the_supported_methods(client):
    response = client.options("/api/webhooks/")

    assert (response.status_code, response["Allow"]) == (204, "GET, POST, HEAD, OPTIONS")


def test_a_body_of_another_kind_is_refused(client, problem):
    response = client.post("/api/webhooks/", "<webhook/>", content_type="text/xml")

    data = problem(response, "unsupported-media-type")
    assert data["detail"].endswith(' "text/xml" in request. Send JSON, with Content-Type: application/json.')


@pytest.mark.parametrize("accepted", ["application/problem+json", "application/problem+json;q=0.9, text/html"])
def test_a_caller_who_accepts_the_type_of_errors_gets_each_answer(client, acme, accepted):
    webhook = WebhookFactory(organization=acme)
    address = at(webhook)

    shown = client.get(address, HTTP_ACCEPT=accepted)

    assert (shown.status_code, shown["Content-Type"]) == (200, "application/json")
    assert client.delete(address, HTTP_ACCEPT=accepted).status_code == 204
    missing = client.get(address, HTTP_ACCEPT=accepted)
    assert (missing.status_code, missing["Content-Type"]) == (404, "application/problem+json")


def test_an_answer_of_another_kind_is_refused(client, problem):
    data = problem(client.get("/api/webhooks/", HTTP_ACCEPT="text/html"), "not-acceptable")

    assert data["detail"].endswith(" Accept application/json.")
