"""Authentication over the API: typed values, secrets that go in and never out, and errors that name the value."""

import pytest

from tests.factories import WebhookFactory
from tests.integration.api.people import LIST, URL, at, codes_of
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.credentials import from_text, to_text
from tms_webhooks.models.encryption import Sealed, reveal

ELSEWHERE = "https://other.example.com/hook"
BASIC = {"kind": "basic", "username": "crm", "password": "hunter2"}
BEARER = {"kind": "bearer", "token": "t0ken"}
HEADER = {"kind": "header", "name": "X-Api-Key", "value": "k3y"}
REQUIRED = {
    "kind": "oauth2",
    "token_url": "https://other.example.com/token",
    "client_id": "crm",
    "client_secret": "s3cret",
}
OAUTH = {**REQUIRED, "scope": "events.write", "audience": "", "client_authentication": "body"}
SECRETS = {"hunter2": "password", "t0ken": "token", "k3y": "value", "s3cret": "client_secret"}
KINDS = pytest.mark.parametrize("given", [BASIC, BEARER, HEADER, OAUTH], ids=lambda one: one["kind"])


@pytest.fixture
def webhook_with(acme):
    def webhook_with(kind, **values):
        return WebhookFactory(organization=acme, url=URL, authentication=kind, credentials=to_text(values))

    return lambda given: webhook_with(**given)


def stored(webhook):
    webhook.refresh_from_db()
    return {"kind": webhook.authentication, **from_text(reveal(webhook.credentials))}


def masked(given):
    return {name: "••••" if value in SECRETS else value for name, value in given.items()}


@pytest.mark.parametrize("given", [{"kind": "none"}, BASIC, BEARER, HEADER, OAUTH], ids=lambda one: one["kind"])
def test_each_kind_is_stored_encrypted_and_shown_masked(client, create, given):
    response = create(authentication=given)

    assert response.status_code == 201, response.content
    webhook = Webhook.objects.get()
    assert stored(webhook) == {name: value for name, value in given.items() if value}
    assert webhook.credentials == "" or isinstance(webhook.credentials, Sealed)
    shown = client.get(at(webhook))
    assert response.json()["authentication"] == shown.json()["authentication"] == masked(given)
    texts = (client.get(LIST).content.decode(), shown.content.decode())
    assert not any(secret in text for secret in SECRETS for text in texts)


@pytest.mark.parametrize(
    "given, name, code",
    [
        ("basic", "", "invalid"),
        (None, "", "null"),
        ({"kind": "digest"}, "/kind", "kind"),
        ({"kind": "none", "token": "t0ken"}, "/token", "unknown"),
        ({"kind": "basic", "password": "hunter2"}, "/username", "required"),
        ({"kind": "basic", "username": "crm"}, "/password", "not_given"),
        ({**BASIC, "username": "a:b"}, "/username", "username_colon"),
        ({**BASIC, "password": "hunter2\r\nX: y"}, "/password", "header_control_character"),
        ({**BASIC, "password": "••••"}, "/password", "masked"),
        ({**BASIC, "password": 5}, "/password", "value"),
        ({**HEADER, "name": "Host"}, "/name", "header_forbidden"),
        ({**OAUTH, "token_url": "http://other.example.com/token"}, "/token_url", "unsafe_url"),
        ({**OAUTH, "token_url": "https://unknown.example.com/token"}, "/token_url", "unsafe_url"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_not_repeated(create, given, name, code):
    response = create(authentication=given)

    assert codes_of(response) == {f"#/authentication{name}": code}
    assert not any(secret in response.content.decode() for secret in SECRETS)
    assert not Webhook.objects.exists()


@pytest.mark.parametrize(
    "before, given, after",
    [
        pytest.param(
            OAUTH,
            {**REQUIRED, "client_secret": "••••", "audience": "crm"},
            {**REQUIRED, "audience": "crm"},
            id="the mask keeps a secret, and a value that is left out goes",
        ),
        pytest.param(OAUTH, {"kind": "none"}, {"kind": "none"}, id="removed"),
        pytest.param(BASIC, BEARER, BEARER, id="another kind keeps no value"),
    ],
)
def test_a_change_replaces_what_is_stored(change, webhook_with, before, given, after):
    webhook = webhook_with(before)

    response = change(webhook, authentication=given)

    assert response.status_code == 200, response.content
    assert stored(webhook) == after


@pytest.mark.parametrize(
    "before, given",
    [
        (REQUIRED, None),
        (BASIC, {**BASIC, "password": "••••"}),
    ],
    ids=["as shown", "mask"],
)
def test_credentials_that_stay_as_they_are_are_no_change(client, change, webhook_with, before, given):
    webhook = webhook_with(before)
    shown = client.get(at(webhook))

    response = change(webhook, authentication=given or shown.json()["authentication"])

    assert (response.status_code, response["ETag"]) == (200, shown["ETag"])
    assert stored(webhook) == before
    assert not AuditEntry.objects.exists()


@KINDS
def test_stored_credentials_do_not_go_unasked_to_another_receiver(change, webhook_with, given):
    webhook = webhook_with(given)
    ((secret, name),) = ((secret, name) for secret, name in SECRETS.items() if secret in given.values())

    for fields in ({}, {"authentication": {**given, name: "••••"}}):
        assert codes_of(change(webhook, url=ELSEWHERE, **fields)) == {f"#/authentication/{name}": "new_receiver"}
    assert change(webhook, url=f"{URL}/v2").status_code == 200
    assert change(webhook, url=ELSEWHERE, authentication={**given, name: secret}).status_code == 200
    webhook.refresh_from_db()
    assert webhook.url == ELSEWHERE


def test_a_client_secret_does_not_go_unasked_to_another_token_url(change, webhook_with):
    webhook = webhook_with(OAUTH)
    elsewhere = {**OAUTH, "token_url": "https://receiver.example.com/token", "client_secret": "••••"}

    assert list(codes_of(change(webhook, authentication=elsewhere))) == ["#/authentication/client_secret"]
    same_host = {**elsewhere, "token_url": "https://other.example.com/v2/token"}
    assert change(webhook, authentication=same_host).status_code == 200
    assert change(webhook, authentication={**elsewhere, "client_secret": "s3cret"}).status_code == 200


def test_credentials_that_cant_be_decrypted_show_the_kind_alone(client, change, webhook_with):
    webhook = webhook_with(BASIC)
    Webhook.objects.filter(pk=webhook.pk).update(credentials=Sealed("not a token"))

    assert client.get(at(webhook)).json()["authentication"] == {"kind": "basic"}
    assert change(webhook, name="HR").status_code == 200
    assert change(webhook, authentication=BASIC).status_code == 200
    assert stored(webhook) == BASIC


@pytest.mark.parametrize(
    "header, fields",
    [
        ("webhook-signature", {}),
        ("Authorization", {"authentication": BEARER}),
    ],
)
def test_a_header_for_the_body_signature_that_is_taken_is_refused(create, header, fields):
    assert list(codes_of(create(body_signature_header=header, **fields))) == ["#/body_signature_header"]
