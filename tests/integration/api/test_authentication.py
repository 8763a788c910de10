"""Authentication over the API: typed values, secrets that go in and never out, and errors that name the value."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.credentials import from_text, to_text
from tms_webhooks.models.encryption import Sealed, reveal

pytestmark = pytest.mark.django_db

URL = "https://receiver.example.com/hook"
ELSEWHERE = "https://other.example.com/hook"
BASIC = {"kind": "basic", "username": "crm", "password": "hunter2"}
BEARER = {"kind": "bearer", "token": "t0ken"}
HEADER = {"kind": "header", "name": "X-Api-Key", "value": "k3y"}
OAUTH = {
    "kind": "oauth2",
    "token_url": "https://other.example.com/token",
    "client_id": "crm",
    "client_secret": "s3cret",
    "scope": "events.write",
    "audience": "",
    "client_authentication": "body",
}
SECRETS = ("hunter2", "t0ken", "k3y", "s3cret")


def body_of(organization, **fields):
    return {"organization": organization.pk, "name": "CRM", "url": URL, **fields}


def webhook_with(organization, authentication) -> Webhook:
    values = {name: value for name, value in authentication.items() if name != "kind"}
    return WebhookFactory(
        organization=organization, url=URL, authentication=authentication["kind"], credentials=to_text(values)
    )


def stored(webhook: Webhook) -> dict[str, str]:
    webhook.refresh_from_db()
    return {"kind": webhook.authentication, **from_text(reveal(webhook.credentials))}


def masked(authentication: dict[str, str]) -> dict[str, str]:
    return {name: "••••" if value in SECRETS else value for name, value in authentication.items()}


@pytest.mark.parametrize(
    "authentication", [{"kind": "none"}, BASIC, BEARER, HEADER, OAUTH], ids=lambda one: one["kind"]
)
def test_each_kind_is_stored_encrypted_and_shown_masked(client, acme, authentication):
    response = client.post("/api/webhooks/", body_of(acme, authentication=authentication), format="json")

    assert response.status_code == 201, response.content
    webhook = Webhook.objects.get()
    assert stored(webhook) == {name: value for name, value in authentication.items() if value}
    assert webhook.credentials == "" or isinstance(webhook.credentials, Sealed)
    shown = client.get(f"/api/webhooks/{webhook.public_id}/")
    assert response.json()["authentication"] == shown.json()["authentication"] == masked(authentication)
    listed = client.get("/api/webhooks/").content.decode()
    assert not any(secret in text for secret in SECRETS for text in (listed, shown.content.decode()))


def test_an_optional_value_has_its_default(client, acme):
    given = {name: OAUTH[name] for name in ("kind", "token_url", "client_id", "client_secret")}
    data = client.post("/api/webhooks/", body_of(acme, authentication=given), format="json").json()

    assert data["authentication"] == {**masked(given), "scope": "", "audience": "", "client_authentication": "basic"}


@pytest.mark.parametrize(
    ("authentication", "pointer", "code"),
    [
        ("basic", "#/authentication", "invalid"),
        (None, "#/authentication", "null"),
        ({}, "#/authentication/kind", "kind"),
        ({"kind": "digest"}, "#/authentication/kind", "kind"),
        ({"kind": ["basic"]}, "#/authentication/kind", "kind"),
        ({"kind": "none", "token": "t0ken"}, "#/authentication/token", "unknown"),
        ({"kind": "basic", "password": "hunter2"}, "#/authentication/username", "required"),
        ({"kind": "basic", "username": "crm"}, "#/authentication/password", "not_given"),
        ({**BASIC, "password": None}, "#/authentication/password", "not_given"),
        ({**BASIC, "username": "a:b"}, "#/authentication/username", "username_colon"),
        ({**BASIC, "username": "a\nb"}, "#/authentication/username", "header_control_character"),
        ({**BASIC, "password": "hunter2\r\nX: y"}, "#/authentication/password", "header_control_character"),
        ({**BASIC, "password": "hunter2Ω"}, "#/authentication/password", "header_not_latin1"),
        ({**BASIC, "password": "••••"}, "#/authentication/password", "masked"),
        ({**BASIC, "password": 5}, "#/authentication/password", "value"),
        ({"kind": "bearer", "token": ""}, "#/authentication/token", "required"),
        ({"kind": "bearer", "token": "Bearer t0ken"}, "#/authentication/token", "token_blank"),
        ({"kind": "bearer", "token": "t0ken" * 1000}, "#/authentication/token", "max_length"),
        ({**HEADER, "name": "X Key"}, "#/authentication/name", "header_name"),
        ({**HEADER, "name": "Host"}, "#/authentication/name", "header_forbidden"),
        ({**HEADER, "name": "webhook_signature"}, "#/authentication/name", "header_forbidden"),
        ({**HEADER, "name": "Content-Type"}, "#/authentication/name", "header_forbidden"),
        ({**HEADER, "value": "k3y\x01"}, "#/authentication/value", "header_control_character"),
        ({**OAUTH, "token_url": "http://other.example.com/token"}, "#/authentication/token_url", "unsafe_url"),
        ({**OAUTH, "token_url": "https://10.0.0.1/token"}, "#/authentication/token_url", "unsafe_url"),
        ({**OAUTH, "token_url": "https://unknown.example.com/token"}, "#/authentication/token_url", "unsafe_url"),
        ({**OAUTH, "token_url": "https://other.example.com/{id}"}, "#/authentication/token_url", "token_url_braces"),
        ({**OAUTH, "client_secret": "s3cretΩ"}, "#/authentication/client_secret", "not_visible_ascii"),
        ({**OAUTH, "scope": "a  b"}, "#/authentication/scope", "scope"),
        ({**OAUTH, "audience": "a\nb"}, "#/authentication/audience", "header_control_character"),
        ({**OAUTH, "client_authentication": "jwt"}, "#/authentication/client_authentication", "invalid_choice"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_not_repeated(client, acme, problem, authentication, pointer, code):
    data = problem(
        client.post("/api/webhooks/", body_of(acme, authentication=authentication), format="json"), "invalid-request"
    )

    assert [(error["pointer"], error["code"]) for error in data["errors"]] == [(pointer, code)]
    assert not any(secret in str(data) for secret in SECRETS)
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("authentication", [BASIC, BEARER, OAUTH, {**HEADER, "name": "authorization"}])
def test_a_header_that_the_authentication_sets_is_refused(client, acme, problem, authentication):
    body = body_of(acme, authentication=authentication, headers={"Authorization": "Basic hunter2"})
    data = problem(client.post("/api/webhooks/", body, format="json"), "invalid-request")

    assert [(error["pointer"], error["code"]) for error in data["errors"]] == [
        ("#/headers", "header_of_authentication")
    ]
    assert "hunter2" not in str(data)


def test_a_change_merges_into_the_values_of_the_same_kind(client, acme):
    webhook = webhook_with(acme, OAUTH)
    address = f"/api/webhooks/{webhook.public_id}/"

    change = {"kind": "oauth2", "client_secret": "••••", "scope": None, "audience": "crm"}
    response = client.patch(address, {"authentication": change}, format="json")

    assert response.status_code == 200, response.content
    assert stored(webhook) == {
        **{name: value for name, value in OAUTH.items() if name != "scope"},
        "audience": "crm",
    }
    assert client.patch(address, {"authentication": {"kind": "none"}}, format="json").status_code == 200
    assert stored(webhook) == {"kind": "none"}


def test_another_kind_keeps_no_value(client, acme, problem):
    webhook = webhook_with(acme, BASIC)
    address = f"/api/webhooks/{webhook.public_id}/"

    data = problem(client.patch(address, {"authentication": {"kind": "bearer"}}, format="json"), "invalid-request")
    assert [error["pointer"] for error in data["errors"]] == ["#/authentication/token"]
    assert client.patch(address, {"authentication": BEARER}, format="json").status_code == 200
    assert stored(webhook) == BEARER


@pytest.mark.parametrize("authentication", [BASIC, BEARER, HEADER, OAUTH], ids=lambda one: one["kind"])
def test_a_change_without_a_kind_keeps_the_stored_one(client, acme, authentication):
    webhook = webhook_with(acme, authentication)
    name = next(name for name in authentication if name not in ("kind", "token_url"))

    response = client.patch(f"/api/webhooks/{webhook.public_id}/", {"authentication": {name: "another"}}, format="json")

    assert response.status_code == 200, response.content
    assert stored(webhook) == {**{key: value for key, value in authentication.items() if value}, name: "another"}


def test_a_missing_kind_is_named_where_none_is_stored(client, acme, problem):
    expected = "kind is missing; write one of none, basic, bearer, header, oauth2."
    webhook = WebhookFactory(organization=acme)
    authentication = {"username": "crm", "password": "hunter2"}

    for response in (
        client.post("/api/webhooks/", body_of(acme, authentication=authentication), format="json"),
        client.patch(f"/api/webhooks/{webhook.public_id}/", {"authentication": authentication}, format="json"),
    ):
        (error,) = problem(response, "invalid-request")["errors"]
        assert (error["pointer"], error["code"], error["detail"]) == ("#/authentication/kind", "kind", expected)


def test_an_empty_password_is_given_explicitly_and_is_kept_by_later_changes(client, acme, problem):
    body = body_of(acme, authentication={"kind": "basic", "username": "crm", "password": ""})
    assert client.post("/api/webhooks/", body, format="json").status_code == 201
    webhook = Webhook.objects.get()
    assert stored(webhook) == {"kind": "basic", "username": "crm"}

    address = f"/api/webhooks/{webhook.public_id}/"
    change = {"authentication": {"kind": "basic", "username": "tms"}}
    assert client.patch(address, change, format="json").status_code == 200
    assert stored(webhook) == {"kind": "basic", "username": "tms"}
    removed = {"authentication": {"password": None}}
    (error,) = problem(client.patch(address, removed, format="json"), "invalid-request")["errors"]
    assert error["detail"] == 'This value is missing; give it, or "" for an empty one.'


def test_credentials_of_a_response_that_are_sent_back_are_no_change(client, acme):
    required = {name: OAUTH[name] for name in ("kind", "token_url", "client_id", "client_secret")}
    webhook = webhook_with(acme, required)
    before = client.get(f"/api/webhooks/{webhook.public_id}/")
    shown = before.json()["authentication"]

    response = client.patch(f"/api/webhooks/{webhook.public_id}/", {"authentication": shown}, format="json")

    assert (response.status_code, response["ETag"]) == (200, before["ETag"])
    assert stored(webhook) == required
    assert not AuditEntry.objects.exists()


def test_a_token_url_is_looked_up_only_if_it_changes(client, acme, names, problem):
    webhook = webhook_with(acme, OAUTH)
    address = f"/api/webhooks/{webhook.public_id}/"
    names.clear()

    same = {"authentication": {**OAUTH, "scope": "events.read"}}
    assert client.patch(address, same, format="json").status_code == 200
    other = {"authentication": {**OAUTH, "token_url": "https://other.example.com/v2/token"}}
    (error,) = problem(client.patch(address, other, format="json"), "invalid-request")["errors"]
    assert error["pointer"] == "#/authentication/token_url"


@pytest.mark.parametrize("change", [{"kind": "basic"}, {"kind": "basic", "password": "••••"}, BASIC])
def test_credentials_that_stay_as_they_are_are_no_change(client, acme, change):
    webhook = webhook_with(acme, BASIC)
    before = client.get(f"/api/webhooks/{webhook.public_id}/")["ETag"]

    response = client.patch(f"/api/webhooks/{webhook.public_id}/", {"authentication": change}, format="json")

    assert (response.status_code, response["ETag"]) == (200, before)
    assert not AuditEntry.objects.exists()


def test_the_audit_log_has_the_kind_and_no_value(client, acme):
    webhook = webhook_with(acme, BASIC)
    address = f"/api/webhooks/{webhook.public_id}/"

    client.patch(address, {"authentication": {"kind": "basic", "password": "another"}}, format="json")
    client.patch(address, {"authentication": BEARER}, format="json")

    first, second = AuditEntry.objects.order_by("pk")
    assert first.changes == {"credentials": {"from": "••••", "to": "••••"}}
    assert second.changes == {
        "authentication": {"from": "basic", "to": "bearer"},
        "credentials": {"from": "••••", "to": "••••"},
    }


@pytest.mark.parametrize(
    ("authentication", "secret"), [(BASIC, "password"), (BEARER, "token"), (HEADER, "value"), (OAUTH, "client_secret")]
)
def test_stored_credentials_do_not_go_unasked_to_another_receiver(client, acme, problem, authentication, secret):
    webhook = webhook_with(acme, authentication)
    address = f"/api/webhooks/{webhook.public_id}/"
    kind = authentication["kind"]

    for change in ({}, {"authentication": {"kind": kind}}, {"authentication": {"kind": kind, secret: "••••"}}):
        data = problem(client.patch(address, {"url": ELSEWHERE, **change}, format="json"), "invalid-request")
        assert [(error["pointer"], error["code"]) for error in data["errors"]] == [
            (f"#/authentication/{secret}", "new_receiver")
        ]
    assert client.patch(address, {"url": f"{URL}/v2"}, format="json").status_code == 200
    again = {"url": ELSEWHERE, "authentication": {"kind": kind, secret: authentication[secret]}}
    assert client.patch(address, again, format="json").status_code == 200
    webhook.refresh_from_db()
    assert webhook.url == ELSEWHERE


def test_a_client_secret_does_not_go_unasked_to_another_token_url(client, acme, problem):
    webhook = webhook_with(acme, OAUTH)
    address = f"/api/webhooks/{webhook.public_id}/"
    change = {"kind": "oauth2", "token_url": "https://receiver.example.com/token"}

    data = problem(client.patch(address, {"authentication": change}, format="json"), "invalid-request")
    assert [error["pointer"] for error in data["errors"]] == ["#/authentication/client_secret"]
    same_host = {"kind": "oauth2", "token_url": "https://other.example.com/v2/token"}
    assert client.patch(address, {"authentication": same_host}, format="json").status_code == 200
    given = {**change, "client_secret": "s3cret"}
    assert client.patch(address, {"authentication": given}, format="json").status_code == 200


def test_credentials_that_cant_be_decrypted_show_the_kind_alone(client, acme):
    webhook = webhook_with(acme, BASIC)
    Webhook.objects.filter(pk=webhook.pk).update(credentials=Sealed("not a token"))
    address = f"/api/webhooks/{webhook.public_id}/"

    assert client.get(address).json()["authentication"] == {"kind": "basic"}
    assert client.patch(address, {"name": "HR"}, format="json").status_code == 200
    assert client.patch(address, {"authentication": BASIC}, format="json").status_code == 200
    assert stored(webhook) == BASIC


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"body_signature_header": "webhook-signature"}, "#/body_signature_header"),
        ({"body_signature_header": "X Hub"}, "#/body_signature_header"),
        ({"body_signature_header": "Content-Type"}, "#/body_signature_header"),
        ({"body_signature_header": "x_key", "headers": {"X-Key": "1"}}, "#/body_signature_header"),
        ({"body_signature_header": "Authorization", "authentication": BEARER}, "#/body_signature_header"),
        ({"body_signature_header": "x-api-key", "authentication": HEADER}, "#/body_signature_header"),
    ],
)
def test_a_header_for_the_body_signature_that_is_taken_is_refused(client, acme, problem, fields, pointer):
    data = problem(client.post("/api/webhooks/", body_of(acme, **fields), format="json"), "invalid-request")

    assert [error["pointer"] for error in data["errors"]] == [pointer]


def test_the_body_signature_is_set_and_shown(client, acme):
    fields = {"body_signature_header": "X-Hub-Signature-256", "body_signature_prefix": False}
    response = client.post("/api/webhooks/", body_of(acme, **fields), format="json")

    assert {name: response.json()[name] for name in fields} == fields
