"""What is wrong with a request is expected field by field, as problem details, and nothing is half-created."""

import time

import pytest
from django.db import OperationalError
from rest_framework.throttling import BaseThrottle

from tests.factories import WebhookFactory
from tests.integration.api.people import LIST, at, body_of, codes_of, errors_of, problem
from tests.patience import PATIENCE
from tms_webhooks.api.problems import PROBLEM_TYPES
from tms_webhooks.api.views.webhooks import WebhookViewSet
from tms_webhooks.models import IdempotentRequest, Webhook

EMAIL = "Not a valid e-mail address; write it as ops@example.com."
OF_CUSTOM = "Only the format custom has content; omit it, or choose that format."


@pytest.fixture
def refused(create):
    """Try to make a webhook with these fields; return the errors by pointer. Nothing must have been made."""

    def refused(**fields):
        response = create(**fields)
        details = errors_of(response)
        assert not Webhook.objects.exists()
        return {place: (code, details[place]) for place, code in codes_of(response).items()}

    return refused


@pytest.mark.parametrize(
    "field, value, code, detail",
    [
        (
            "timeout_second",
            5,
            "unknown",
            'Unknown field \'timeout_second\'. Did you mean "timeout_seconds" or "rate_limit_per_second"?',
        ),
        ("failures", 0, "read_only", "This field is read-only here; omit it."),
        ("name", 5, "invalid", "Expected a string, got a number."),
        ("name", " ", "blank", "This field may not be blank."),
        ("timeout_seconds", "5", "invalid", "Expected a whole number, got a string."),
        ("timeout_seconds", 5.5, "invalid", "Expected a whole number, got a number with a fraction."),
        ("timeout_seconds", 1.0, "invalid", "Expected a whole number, got 1.0; write it in digits alone."),
        ("delay_seconds", 1e12, "invalid", "Expected a whole number, got 1000000000000.0; write it in digits alone."),
        (
            "secret",
            "whsec_x",
            "unknown",
            "Omit it: the server makes it. POST to rotate-secret/ of the webhook for a new one.",
        ),
        (
            "expires_at",
            "2030-01-01T00:00:00Z",
            "unknown",
            "Omit it: only a hook has an end. POST to hooks/ to make one.",
        ),
        (
            "name",
            "invoice\u202efdp.exe",
            "control_character",
            "The name contains a line break or another control character, U+202E. Remove it.",
        ),
        (
            "max_in_flight",
            33,
            "max_value",
            "Too large; the operator allows at most 32 concurrent requests per webhook. Lower the number, or leave it empty.",
        ),
        ("timeout_seconds", 31, "max_value", "Ensure this value is less than or equal to 30."),
        ("ordered", "yes", "invalid", "Expected true or false, got a string."),
        (
            "verb",
            "TRACE",
            "invalid_choice",
            "'TRACE' is not a valid choice; choose one of POST, PUT, PATCH, GET, DELETE.",
        ),
        ("url", "not a url", "unsafe_url", "URL: its character 4 is a space; remove it, or write it percent-encoded."),
        (
            "url",
            "https://nowhere.example.com/",
            "unsafe_url",
            "URL: the host 'nowhere.example.com' has no address that webhooks may call; check its spelling, use a public "
            "host, or ask the operator to allow it.",
        ),
        ("headers", "X-Key=1", "invalid", "Expected an object of header names and values, got a string."),
        (
            "headers/X-Line",
            "s3cret\nX-Other: 1",
            "header_control_character",
            "The value contains a control character, such as a line break. Type the value again.",
        ),
        ("headers/X-Number", 5, "value", "Expected a string, got a number; leave the header out to remove it."),
        (
            "headers",
            {"Content-Type": "text/plain"},
            "header_content_type",
            "Content-Type can be set only with a custom body. Remove it, or use a custom body.",
        ),
        ("subscriptions", {}, "not_a_list", 'Expected a list of items but got type "dict".'),
        (
            "subscriptions",
            [{"event_type": "*"}] * 201,
            "max_length",
            "Ensure this field has no more than 200 elements.",
        ),
        ("subscriptions/0/filter", {}, "unknown", "Unknown field 'filter'. Did you mean \"filters\"?"),
        ("contacts", "ops@example.com", "not_a_list", 'Expected a list of items but got type "str".'),
        ("contacts/0", "bob", "contact", EMAIL),
        ("content", "{data.name}", "format", OF_CUSTOM),
    ],
)
def test_a_wrong_value_is_rejected_with_the_right_form(refused, field, value, code, detail):
    name, *steps = field.split("/")
    for step in reversed(steps):
        value = [value] if step == "0" else {step: value}
        if step == "filter":
            value["event_type"] = "class.*"

    assert refused(**{name: value}) == {f"#/{field}": (code, detail)}
    assert "s3cret" not in detail


@pytest.mark.parametrize(
    "values, codes",
    [
        # Rules of the model and of the content together.
        (
            {"error_action": "notify", "format": "custom", "content": "{data.nmae}"},
            {"contacts": "no_contacts", "content": "unknown_token"},
        ),
        (
            {"nam": "CRM", "verb": "TRACE", "ordered": 1, "subscriptions": [5, {"event_type": "class.cancled"}]},
            {
                "nam": "unknown",
                "verb": "invalid_choice",
                "ordered": "invalid",
                "subscriptions/0": "invalid",
                "subscriptions/1/event_type": "invalid",
            },
        ),
        (
            {
                "url": "not a url",
                "authentication": {
                    "kind": "oauth2",
                    "token_url": "not a url",
                    "client_id": "crm",
                },
                "subscriptions": [{"event_type": "class.cancled"}],
            },
            {
                "url": "unsafe_url",
                "authentication/token_url": "unsafe_url",
                "authentication/client_secret": "required",
                "subscriptions/0/event_type": "invalid",
            },
        ),
    ],
)
def test_all_errors_are_reported_together(refused, values, codes):
    assert {place: code for place, (code, _detail) in refused(**values).items()} == {
        f"#/{name}": code for name, code in codes.items()
    }


@pytest.mark.parametrize("key", [lambda pk: pk + 0.5, lambda pk: "", str, bool])
def test_an_organization_is_named_by_its_key_and_by_nothing_like_it(refused, acme, key):
    ((place, (code, detail)),) = refused(organization=key(acme.pk)).items()

    assert (place, code) == ("#/organization", "type")
    assert detail.startswith("Expected a whole number, got ")


@pytest.mark.parametrize(
    "url, leads_to",
    [
        ("https://u:p@receiver.example.com/", None),
        ("https://10.0.0.1/", None),
        ("https://receiver.example.com/", "169.254.169.254"),
    ],
)
def test_a_url_that_no_webhook_may_have_is_refused_without_telling_where_it_leads(refused, names, url, leads_to):
    names["receiver.example.com"] = leads_to or names["receiver.example.com"]

    (code, detail) = refused(url=url)["#/url"]

    assert code == "unsafe_url"
    assert "u:p" not in detail
    if leads_to:
        assert detail.startswith(
            "URL: the host 'receiver.example.com' has no address that webhooks may call; check its"
        )
        assert leads_to not in detail


@pytest.mark.parametrize(
    "body, reason",
    [
        (b'{"name": ', "The body is not valid JSON: Expecting value at line 1, column 10."),
        (b'{"name": NaN}', "The body is not valid JSON: NaN is not a JSON number."),
        (b"[" * 100_000, "The body is not valid JSON: it is nested too deep."),
        (b"[]", "The body is not a JSON object; send an object, such as {}."),
        (b'{"name": "A", "name": "B"}', "The body has the name 'name' twice in an object; keep one."),
        (
            b'{"name": "\\u0000"}',
            "The body contains a character that can't be stored: NUL, or half of a surrogate pair.",
        ),
        (f'{{"name": 1{"0" * 400}}}'.encode(), "The body contains a number that is too large."),
        (b'{"name": 1e999}', "The body contains a number that is too large."),
    ],
)
def test_a_malformed_body_is_refused(client, body, reason):
    response = client.post(LIST, body, content_type="application/json")

    assert problem(response, "malformed-body")["detail"] == reason
    assert not Webhook.objects.exists()


def test_null_is_an_empty_body_as_the_description_of_malformed_bodies_says(client, acme):
    address = at(WebhookFactory(organization=acme))

    answers = [client.patch(address, body, content_type="application/json") for body in (b"null", b"{}", b"[]")]

    assert [one.status_code for one in answers] == [200, 200, 400]
    assert answers[0].content == answers[1].content
    assert "`null`, which counts as `{}`" in PROBLEM_TYPES["malformed-body"].meaning


def test_a_huge_body_is_refused(client, monkeypatch):
    monkeypatch.setattr("tms_webhooks.api.json_format.BODY_LIMIT", 2048)
    body = b'{"name": "' + b"x" * 2048 + b'"}'

    data = problem(client.post(LIST, body, content_type="application/json"), "body-too-large")

    assert data["detail"] == "The body is larger than 2048 bytes; send a smaller one."


def test_an_anonymous_caller_is_asked_to_authenticate(client):
    client.logout()

    response = client.get(LIST)

    scheme = response["WWW-Authenticate"].partition(" ")[0]
    assert problem(response, "not-authenticated")["detail"] == (
        f"Authentication credentials were not provided. Send the header Authorization with the scheme {scheme}."
    )
    assert scheme


def test_a_database_that_is_too_busy_asks_for_another_try(client, acme, monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("database is locked: UPDATE secret")

    monkeypatch.setattr("tms_webhooks.api.views.webhooks.webhooks.delete", refuse)
    webhook = WebhookFactory(organization=acme)

    response = client.delete(at(webhook))

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


def test_the_hosts_rate_limit_sets_retry_after(client, monkeypatch):
    monkeypatch.setattr(WebhookViewSet, "throttle_classes", [Never])

    response = client.get(LIST)

    problem(response, "too-many-requests")
    assert response["Retry-After"] == "18"


def test_the_hosts_other_settings_of_rest_framework_change_nothing(client, acme, settings):
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
    assert client.get(at(webhook)).content == before
    assert len(client.get("/api/webhooks/?enabled=true").json()["results"]) == 1
    assert list(codes_of(client.post(LIST, body_of(acme, subscriptions=[5])))) == ["#/subscriptions/0"]


def test_of_thousands_of_unknown_fields_twenty_are_reported(client):
    body = {f"field{number}": 1 for number in range(10_000)}

    started_at = time.monotonic()
    data = problem(client.post(LIST, body), "invalid-request")

    assert time.monotonic() - started_at < PATIENCE
    assert len([error for error in data["errors"] if error["code"] == "unknown"]) == 20


def test_a_host_that_is_looked_up_is_one_that_the_caller_may_set(restricted, acme, names):
    names.clear()

    problem(restricted("manage").post(LIST, body_of(acme)), "forbidden")
