"""Unknown addresses, wrong methods and wrong content types are answered with a problem that names the right ones."""

import pytest
from rest_framework.test import APIClient

from tests.factories import WebhookFactory
from tests.integration.api.people import at


@pytest.mark.parametrize("method", ["get", "post", "options"])
@pytest.mark.parametrize(
    "address",
    [
        "webhooks/1/explode/",
        "jobs/1/2/",
    ],
)
def test_an_address_that_leads_nowhere_is_a_problem_too(client, problem, method, address):
    problem(getattr(client, method)(f"/api/{address}"), "not-found")


@pytest.mark.parametrize(
    "address, kind",
    [
        ("webhooks/{}/", "webhook"),
        ("events/{}/", "event"),
        ("deliveries/{}/", "delivery"),
        ("jobs/{}/", "job"),
    ],
)
@pytest.mark.parametrize("is_mistyped", [True, False])
def test_an_unknown_id_is_named_whether_it_is_mistyped_or_not(client, problem, address, kind, is_mistyped):
    prefix = {"webhook": "whk_", "event": "evt_", "delivery": "dlv_", "job": "job_"}[kind]
    unknown = f"{prefix}nope" if is_mistyped else prefix + "0" * (64 if kind == "delivery" else 32)

    response = client.get(f"/api/{address.format(unknown)}")

    assert problem(response, "not-found")["detail"] == f"No {kind} has the id {unknown}."


@pytest.mark.parametrize(
    "method, address, allowed",
    [
        ("put", "webhooks/", ["GET", "POST"]),
        ("get", "deliveries/bulk-replay/", ["POST"]),
    ],
)
def test_a_wrong_method_is_a_problem_with_the_right_ones(client, problem, method, address, allowed):
    response = getattr(client, method)(f"/api/{address}")

    problem(response, "method-not-allowed")
    assert set(allowed) <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
@pytest.mark.parametrize("append_slash", [True, False])
def test_an_address_without_its_last_slash_is_led_to_the_right_one(method, append_slash, settings):
    settings.APPEND_SLASH = append_slash
    client = APIClient(enforce_csrf_checks=True)

    response = getattr(client, method)("/api/webhooks/5?a=1")

    # 308 and not 301: what is sent is sent again, by the same method.
    assert (response.status_code, response["Location"]) == (308, "/api/webhooks/5/?a=1")


def test_addresses_of_others_are_left_alone(client):
    assert client.get("/api/2.0/elsewhere/").headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("address", ["", "/", "/webhook/", "/elsewhere", "/openapi/"])
def test_a_host_has_problems_for_all_unknown_addresses_below_its_prefix(problem, method, address):
    client = APIClient(enforce_csrf_checks=True)

    problem(getattr(client, method)(f"/api{address}"), "not-found")


@pytest.mark.parametrize("document", ["openapi.json", "events.schema.json", "docs/"])
def test_a_document_that_is_posted_to_is_a_problem_and_no_page_about_cookies(problem, document):
    response = APIClient(enforce_csrf_checks=True).post(f"/api/{document}")

    problem(response, "method-not-allowed")
    assert response.headers["Allow"] == "GET, HEAD"


def test_a_body_of_another_kind_is_refused(client, problem):
    response = client.post("/api/webhooks/", "<webhook/>", content_type="text/xml")

    data = problem(response, "unsupported-media-type")
    assert data["detail"].endswith(' "text/xml" in request. Send JSON, with Content-Type: application/json.')


@pytest.mark.parametrize(
    "accepted",
    ["application/problem+json", "application/problem+json;q=0.9, text/html", "application/json;q=0.05, text/html;q=0"],
)
def test_a_caller_who_accepts_the_type_of_errors_gets_each_answer(client, acme, accepted):
    webhook = WebhookFactory(organization=acme)
    address = at(webhook)

    shown = client.get(address, HTTP_ACCEPT=accepted)

    assert (shown.status_code, shown["Content-Type"]) == (200, "application/json")
    assert client.delete(address, HTTP_ACCEPT=accepted).status_code == 204
    missing = client.get(address, HTTP_ACCEPT=accepted)
    assert (missing.status_code, missing["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "accepted", ["text/html", "application/json;q=0", "*/*, application/json; q=0.0", "*/*;q=0", "APPLICATION/JSON;Q=0"]
)
def test_an_answer_of_another_kind_is_refused(client, problem, accepted):
    data = problem(client.get("/api/webhooks/", HTTP_ACCEPT=accepted), "not-acceptable")

    assert data["detail"].endswith(" Accept application/json.")
