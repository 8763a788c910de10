"""What is wrong with a request is expected field by field, as problem details, and nothing is half-created."""

from __future__ import annotations

import time

import pytest
from django.db import OperationalError
from rest_framework.throttling import BaseThrottle

from example_project.training.factories import UserFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import client_of
from tests.integration.api.test_webhooks import body_of
from tests.patience import PATIENCE
from tms_webhooks.api.views.webhooks import WebhookViewSet
from tms_webhooks.models import IdempotentRequest, Webhook


@pytest.fixture
def refused(client, acme, problem):
    """Try to make a webhook with these fields; return the errors by pointer. Nothing must have been made."""

    def refused(**fields):
        data = problem(client.post("/api/webhooks/", body_of(acme, **fields)), "invalid-request")
        assert not Webhook.objects.exists()
        return {error["pointer"]: (error["code"], error["detail"]) for error in data["errors"]}

    return refused


def test_an_unknown_field_is_refused_with_the_nearest_name(refused):
    assert refused(timeout_second=5) == {
        "#/timeout_second": (
            "unknown",
            "Unknown field 'timeout_second'. Did you mean 'timeout_seconds' or 'rate_limit_per_second'?",
        )
    }


def test_an_unknown_field_of_a_subscription_is_reported_with_its_pointer(refused):
    errors = refused(subscriptions=[{"event_type": "class.*"}, {"event_type": "class.*", "filter": {}}])

    assert errors == {"#/subscriptions/1/filter": ("unknown", "Unknown field 'filter'. Did you mean 'filters'?")}


def test_a_field_that_the_system_sets_is_refused(refused):
    assert refused(failures=0) == {"#/failures": ("read_only", "This field is read-only here; omit it.")}


@pytest.mark.parametrize(
    ("field", "value", "code", "detail"),
    [
        ("name", 5, "invalid", "Expected a string, got a number."),
        ("name", None, "null", "Expected a string, got null."),
        ("name", " ", "blank", "This field must not be blank; write some text."),
        ("timeout_seconds", "5", "invalid", "Expected a whole number, got a string."),
        ("timeout_seconds", 5.5, "invalid", "Expected a whole number, got a number with a fraction."),
        ("timeout_seconds", True, "invalid", "Expected a whole number, got true."),
        ("timeout_seconds", 31, "max_value", "Too large; use at most 30."),
        ("timeout_seconds", 10**400, "max_value", "Too large; use at most 30."),
        ("ordered", "yes", "invalid", "Expected true or false, got a string."),
        ("ordered", 1, "invalid", "Expected true or false, got a number."),
        ("rate_limit_per_second", [], "invalid", "Expected a number, got a list."),
        ("rate_limit_per_second", 10**400, "too_large", "Too large; use a smaller number."),
        (
            "verb",
            "TRACE",
            "invalid_choice",
            "'TRACE' is not a valid choice; choose one of POST, PUT, PATCH, GET, DELETE.",
        ),
        (
            "preset",
            "discord",
            "invalid_choice",
            "'discord' is not a valid choice; choose one of slack, teams, power_automate, form.",
        ),
        (
            "url",
            "not a url",
            "unsafe_url",
            "URL: its character 4 is a space; remove it, or write it percent-encoded.",
        ),
        ("verb", 5, "invalid_choice", "A number is not a valid choice; choose one of POST, PUT, PATCH, GET, DELETE."),
        ("organization", None, "null", "Expected an organization, got null; use the id of one of yours."),
        (
            "headers",
            None,
            "null",
            "Expected an object of header names and values, got null; omit the field or give an object.",
        ),
        ("schedule", None, "null", "This field must not be null; omit it or give a value."),
        ("subscriptions", None, "null", "Expected a list, got null; omit the field or give a list."),
        ("subscriptions", {}, "not_a_list", "Expected a list, such as []."),
        (
            "subscriptions",
            [{"event_type": "*"}] * 201,
            "max_length",
            "Too many subscriptions; give at most 200, or use a pattern such as class.*.",
        ),
        ("contacts", [5], "invalid", "Expected a string, got a number."),
        ("contacts", ["bob"], "contact", "Not a valid e-mail address; write it as ops@example.com."),
        (
            "contacts",
            ["a@b.example\nc@d.example"],
            "contact",
            "Not a valid e-mail address; write it as ops@example.com.",
        ),
        ("subscriptions", [None], "null", "Expected an object, got null."),
        ("contacts", "ops@example.com", "not_a_list", "Expected a list of strings."),
        ("headers", "X-Key=1", "invalid", "Expected an object of header names and values, got a string."),
        (
            "schedule",
            [5, "soon"],
            "delay",
            "Retry schedule, delay 2: 'soon' is not a number of seconds from 0 to 604800. Correct it or remove it.",
        ),
    ],
)
def test_a_wrong_value_is_rejected_with_the_right_form(refused, field, value, code, detail):
    place = f"{field}/0" if isinstance(value, list) and len(value) == 1 else field
    assert refused(**{field: value}) == {f"#/{place}": (code, detail)}


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"format": "custom"}, "content", "empty"),
        ({"format": "custom", "content": " \n"}, "content", "empty"),
        ({"error_action": "notify"}, "contacts", "no_contacts"),
    ],
)
def test_settings_that_can_have_no_effect_are_rejected(refused, values, field, code):
    assert refused(**values)[f"#/{field}"][0] == code


def test_all_errors_are_reported_together(refused):
    errors = refused(nam="CRM", verb="TRACE", ordered=1, subscriptions=[5, {"event_type": "class.cancled"}])

    assert sorted(errors) == [
        "#/nam",
        "#/ordered",
        "#/subscriptions/0",
        "#/subscriptions/1/event_type",
        "#/verb",
    ]


def test_an_unreachable_url_and_an_unknown_version_are_reported_with_the_other_errors(client, refused, acme, problem):
    fields = {
        "url": "https://nowhere.example.com/",
        "payload_version": 9,
        "authentication": {"kind": "oauth2", "token_url": "https://nowhere.example.com/token", "client_id": "crm"},
    }

    errors = refused(**fields, subscriptions=[{"event_type": "class.cancled"}])

    assert sorted(errors) == [
        "#/authentication/client_secret",
        "#/authentication/token_url",
        "#/payload_version",
        "#/subscriptions/0/event_type",
        "#/url",
    ]
    assert errors["#/payload_version"][1].startswith("No event has the version 9; choose 1 to ")
    webhook = WebhookFactory(organization=acme)
    change = {"url": "https://nowhere.example.com/", "verb": "TRACE"}
    response = client.patch(f"/api/webhooks/{webhook.public_id}/", change)
    assert {error["pointer"] for error in problem(response, "invalid-request")["errors"]} == {"#/url", "#/verb"}


def test_rules_of_the_model_and_of_the_content_are_reported_together(refused):
    errors = refused(error_action="notify", format="custom", content="{data.nmae}")

    assert sorted(errors) == ["#/contacts", "#/content"]


def test_what_is_missing_is_named(client, problem):
    data = problem(client.post("/api/webhooks/", {}), "invalid-request")

    assert [error["pointer"] for error in data["errors"]] == ["#/organization", "#/name", "#/url"]
    assert {error["code"] for error in data["errors"]} == {"required"}


def test_an_unknown_event_is_rejected_with_similar_names(refused):
    code, detail = refused(subscriptions=[{"event_type": "class.cancled"}])["#/subscriptions/0/event_type"]

    assert code == "invalid"
    assert detail.startswith('Unknown event: class.cancled. Did you mean "class.cancelled"')


def test_an_invalid_header_is_named_without_its_value(refused):
    errors = refused(headers={"Host": "s3cret", "X Key": "s3cret", "X-Line": "s3cret\nX-Other: 1", "X-Number": 5})

    assert errors == {
        "#/headers/Host": ("header_forbidden", "The system sets this header; remove it here."),
        "#/headers/X Key": ("header_name", "Not a valid header name; use letters, digits and hyphens only."),
        "#/headers/X-Line": ("header_control_character", "The value contains a control character; remove it."),
        "#/headers/X-Number": ("value", "Expected a string, or null to remove the header; got a number."),
    }


def test_a_content_type_is_refused_by_its_header_where_the_format_has_its_own(client, refused, acme, problem):
    expected = "Only the format custom allows a content type; set the header to null, or choose that format."
    errors = {"#/headers/Content-Type": ("header_content_type", expected)}
    assert refused(headers={"X-Key": "1", "Content-Type": "text/plain"}) == errors

    webhook = WebhookFactory(organization=acme, format="custom", content="x", headers="Content-Type=text/plain")
    response = client.patch(f"/api/webhooks/{webhook.public_id}/", {"format": "standard"})
    (error,) = problem(response, "invalid-request")["errors"]
    assert {error["pointer"]: (error["code"], error["detail"])} == errors


@pytest.mark.parametrize("key", [lambda pk: pk + 0.5, lambda pk: float(pk), lambda pk: "", str, lambda pk: [pk], bool])
def test_an_organization_is_named_by_its_key_and_by_nothing_like_it(client, acme, problem, key):
    response = client.post("/api/webhooks/", body_of(acme) | {"organization": key(acme.pk)})

    (error,) = problem(response, "invalid-request")["errors"]
    assert (error["pointer"], error["code"]) == ("#/organization", "type")
    assert error["detail"].startswith("Expected a whole number, got ")
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    "url", ["ftp://receiver.example.com/", "https://u:p@receiver.example.com/", "https://10.0.0.1/"]
)
def test_a_url_that_no_webhook_may_have_is_refused(refused, url):
    (code, detail) = refused(url=url)["#/url"]

    assert code == "unsafe_url"
    assert "u:p" not in detail


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254"])
def test_a_url_that_leads_inside_is_refused_without_telling_where(refused, names, address):
    names["receiver.example.com"] = address

    (code, detail) = refused()["#/url"]

    assert code == "unsafe_url"
    assert detail.startswith("URL: the host 'receiver.example.com' has no address that webhooks may call; check its")
    assert address not in detail


def test_a_url_whose_host_has_no_address_is_refused(refused):
    assert refused(url="https://nowhere.example.com/")["#/url"] == (
        "unsafe_url",
        "URL: the host 'nowhere.example.com' has no address that webhooks may call; check its spelling, use a public host, "
        "or ask the operator to allow it.",
    )


def test_a_content_is_checked_against_the_events(refused):
    errors = refused(format="custom", content="{data.user.nickname}", subscriptions=[{"event_type": "class.cancelled"}])

    assert list(errors) == ["#/content"]


@pytest.mark.parametrize("fields", [{"content": "{data.name}"}, {"contents": {"class.cancelled": "{data.name}"}}])
@pytest.mark.parametrize("payload_format", [{}, {"format": "skillable"}])
def test_content_that_another_format_would_ignore_is_refused(refused, fields, payload_format):
    detail = "Only the format custom has content; omit it, or choose that format."

    assert refused(**fields, **payload_format) == {f"#/{name}": ("format", detail) for name in fields}


def test_content_that_is_stored_may_be_sent_back_and_other_content_may_not(client, acme, problem):
    webhook = WebhookFactory(organization=acme, format="standard", content="{data.name}")
    address = f"/api/webhooks/{webhook.public_id}/"

    assert client.patch(address, {"content": "{data.name}", "contents": {}}).status_code == 200
    assert client.patch(address, {"format": "custom", "content": "{type}"}).status_code == 200
    assert client.patch(address, {"format": "standard", "content": "{type}"}).status_code == 200
    response = client.patch(address, {"content": "{data.id}"})
    assert [error["pointer"] for error in problem(response, "invalid-request")["errors"]] == ["#/content"]
    webhook.refresh_from_db()
    assert webhook.content == "{type}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": ', "The body is not valid JSON: Expecting value at line 1, column 10."),
        (b"\xff\xfe{}", "The body is not valid JSON: it is not UTF-8."),
        (b'{"name": NaN}', "The body is not valid JSON: NaN is not a JSON number."),
        (b"[" * 100_000, "The body is not valid JSON: it is nested too deep."),
        (
            b'{"filters": ' + b"[" * 400 + b"]" * 400 + b"}",
            "The body is nested deeper than 32 levels.",
        ),
        (b'{"name": ' + b"1" * 5000 + b"}", "The body is not valid JSON: a number has too many digits."),
        (b"[]", "The body is not a JSON object; send an object, such as {}."),
        (b'{"name": "A", "name": "B"}', "An object in the body has the name 'name' twice; keep one."),
        (
            b'{"name": "\\u0000"}',
            "The body contains a character that can't be stored: NUL, or half of a surrogate pair.",
        ),
        (
            b'{"name": "\\ud800"}',
            "The body contains a character that can't be stored: NUL, or half of a surrogate pair.",
        ),
        (b'{"name": 1e999}', "The body contains a number that is too large."),
    ],
)
def test_a_malformed_body_is_refused(client, problem, body, reason):
    response = client.post("/api/webhooks/", body, content_type="application/json")

    assert problem(response, "malformed-body")["detail"] == reason
    assert not Webhook.objects.exists()


def test_null_in_place_of_an_optional_body_is_an_empty_body(client, acme):
    address = f"/api/webhooks/{WebhookFactory(organization=acme).public_id}/disable/"

    response = client.post(address, b"null", content_type="application/json")

    assert (response.status_code, response.json()["enabled"]) == (200, False)


def test_a_character_that_can_not_be_stored_is_reported_with_its_pointer(client, problem):
    body = b'{"subscriptions": [{"filters": {"a/b": "\\u0000"}}]}'

    data = problem(client.post("/api/webhooks/", body, content_type="application/json"), "malformed-body")

    assert data["errors"][0]["pointer"] == "#/subscriptions/0/filters/a~1b"


def test_a_huge_body_is_refused(client, problem, monkeypatch):
    monkeypatch.setattr("tms_webhooks.api.json_format.BODY_LIMIT", 2048)
    body = b'{"name": "' + b"x" * 2048 + b'"}'

    data = problem(client.post("/api/webhooks/", body, content_type="application/json"), "body-too-large")

    assert data["detail"] == "The body is larger than 2048 bytes; send a smaller one."


def test_the_summary_names_the_field_once(client, acme, problem):
    data = problem(client.post("/api/webhooks/", body_of(acme, url="not a url")), "invalid-request")

    assert data["detail"] == "#/url: its character 4 is a space; remove it, or write it percent-encoded."


def test_a_list_of_changed_fields_suggests_a_similar_name(refused):
    subscription = {"event_type": "enrollment.updated", "condition": {"changed": "grad"}}

    ((_code, detail),) = refused(subscriptions=[subscription]).values()

    assert detail.endswith('Did you mean "grade"?')


def test_an_empty_list_is_refused_in_correct_english(client, acme, problem):
    webhook = WebhookFactory(organization=acme, events=["class.*"])

    response = client.post(f"/api/webhooks/{webhook.public_id}/snapshot/", {"nouns": []})

    (error,) = problem(response, "invalid-request")["errors"]
    assert error["detail"] == "The list is too short; the smallest number of items is 1."


def test_an_anonymous_caller_is_asked_to_authenticate(client, problem):
    client.logout()

    response = client.get("/api/webhooks/")

    scheme = response["WWW-Authenticate"].partition(" ")[0]
    assert problem(response, "not-authenticated")["detail"] == (
        f"Authentication credentials were not provided. Send the header Authorization with the scheme {scheme}."
    )
    assert scheme


def test_who_has_no_organization_is_refused(problem):
    data = problem(client_of(UserFactory(organization=None)).get("/api/webhooks/"), "forbidden")

    assert data["detail"] == "Your account or key has access to no organization's webhooks."


def test_what_is_not_there_is_a_problem_too(client, problem):
    problem(client.get("/api/webhooks/999999999999999999/"), "not-found")


def test_a_database_that_is_too_busy_asks_for_another_try(client, acme, problem, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("database is locked: UPDATE secret")

    monkeypatch.setattr("tms_webhooks.api.views.webhooks.webhooks.delete", refuse)
    webhook = WebhookFactory(organization=acme)

    response = client.delete(f"/api/webhooks/{webhook.public_id}/")

    assert (
        problem(response, "unavailable")["detail"] == "The database is overloaded or unreachable; nothing was changed."
    )
    assert response["Retry-After"] == "5"
    webhook.refresh_from_db()
    assert webhook.deleted_at is None
    assert not IdempotentRequest.objects.exists()


class Never(BaseThrottle):
    """The host's limit, reached."""

    def allow_request(self, request, view):
        return False

    def wait(self):
        return 17.5


def test_the_hosts_rate_limit_sets_retry_after(client, problem, monkeypatch):
    monkeypatch.setattr(WebhookViewSet, "throttle_classes", [Never])

    response = client.get("/api/webhooks/")

    problem(response, "too-many-requests")
    assert response["Retry-After"] == "18"


def test_the_hosts_other_settings_of_rest_framework_change_nothing(client, acme, problem, settings):
    before = client.get(f"/api/webhooks/{WebhookFactory(organization=acme).public_id}/").content
    settings.REST_FRAMEWORK = {
        "EXCEPTION_HANDLER": "nowhere.handler",
        "NON_FIELD_ERRORS_KEY": "whole",
        "DATETIME_FORMAT": "%d.%m.%Y",
        "DEFAULT_PAGINATION_CLASS": None,
        "PAGE_SIZE": 1,
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
        "DEFAULT_FILTER_BACKENDS": [],
        "COERCE_DECIMAL_TO_STRING": False,
        "URL_FORMAT_OVERRIDE": "enabled",
        "COMPACT_JSON": False,
    }

    webhook = Webhook.objects.get()
    assert client.get(f"/api/webhooks/{webhook.public_id}/").content == before
    assert len(client.get("/api/webhooks/?enabled=true").json()["results"]) == 1
    data = problem(client.post("/api/webhooks/", body_of(acme, subscriptions=[5])), "invalid-request")
    assert [error["pointer"] for error in data["errors"]] == ["#/subscriptions/0"]


def test_of_thousands_of_unknown_fields_twenty_are_reported(client, problem):
    body = {f"field{number}": 1 for number in range(10_000)}

    started_at = time.monotonic()
    data = problem(client.post("/api/webhooks/", body), "invalid-request")

    assert time.monotonic() - started_at < PATIENCE
    assert len([error for error in data["errors"] if error["code"] == "unknown"]) == 20


def test_a_host_that_is_looked_up_is_one_that_the_caller_may_set(restricted, acme, problem, names):
    names.clear()

    problem(restricted("manage").post("/api/webhooks/", body_of(acme)), "forbidden")


def test_a_url_that_stays_as_it_is_is_not_looked_up(client, acme, names):
    webhook = WebhookFactory(organization=acme)
    names.clear()

    response = client.patch(f"/api/webhooks/{webhook.public_id}/", {"url": webhook.url, "name": "HR"})

    assert response.status_code == 200
