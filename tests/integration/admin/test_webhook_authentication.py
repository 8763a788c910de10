"""The authentication in the form: fields for each kind, dots for stored secrets, and errors at the wrong field."""

import re

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import CREDENTIALS, SECRET_VALUES
from tests.integration.admin.pages import errors_at, form_of, shown_at, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import from_text, to_text
from tms_webhooks.models.encryption import Sealed, reveal

DOTS = "••••"
AGAIN = "Enter the value again: a page with errors shows no secrets."
OTHER_RECEIVER = "The URL is that of another receiver. Enter the value again."


def with_kind(kind):
    return subscribed(authentication=kind, credentials=to_text(CREDENTIALS[kind]))


def fields_of(kind, **values):
    """Return the posted fields of a kind."""
    return {
        "authentication": kind,
        **{f"auth_{name}": value for name, value in {**CREDENTIALS[kind], **values}.items()},
    }


def stored():
    return from_text(reveal(Webhook.objects.get().credentials))


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_each_kind_is_saved_and_shown_with_dots(operator, kind):
    organization = OrganizationFactory()
    operator.post(url(Webhook, "add"), form_of(organization=organization.pk, **fields_of(kind)))

    webhook = Webhook.objects.get()
    assert webhook.authentication == kind
    assert isinstance(webhook.credentials, Sealed)
    assert stored() == CREDENTIALS[kind]
    page = operator.get(url(Webhook, "change", webhook.public_id))
    assert "hunter2" not in page.content.decode()
    (secret,) = re.findall(f'<input [^>]*name="auth_{SECRET_VALUES[kind]}"[^>]*>', page.content.decode())
    assert {'type="password"', f'value="{DOTS}"', 'autocomplete="new-password"'} <= set(secret.split())
    assert page.context["adminform"].form[f"auth_{SECRET_VALUES[kind]}"].value() == DOTS


def test_another_kind_replaces_the_values(operator):
    webhook = with_kind("oauth2")
    address = url(Webhook, "change", webhook.public_id)

    left_over = fields_of("oauth2", client_secret=DOTS)
    operator.post(address, form_of(webhook, **{**left_over, **fields_of("bearer", token="another")}))
    assert (Webhook.objects.get().authentication, stored()) == ("bearer", {"token": "another"})
    operator.post(address, form_of(webhook))
    assert (Webhook.objects.get().authentication, stored()) == ("none", {})


@pytest.mark.parametrize(
    "fields, errors",
    [
        (fields_of("basic", username="a:b"), {"auth_username": ["A user name can't contain a colon: receivers end it there. Use a name without one."]}),
        (fields_of("basic", password=DOTS), {}),
        (fields_of("bearer", token=DOTS), {"auth_token": ["This value is missing. Enter it, or choose another authentication."]}),
        (fields_of("bearer", token=f"{DOTS}2"), {"auth_token": ["Leave the dots as they are, or replace them all."]}),
        (fields_of("header", name="Host"), {"auth_name": ["The system sets the header Host. Choose another name."]}),
        (
            fields_of("oauth2", token_url="https://login.example.com/{id}"),
            {"auth_token_url": ["The token URL is the same for each event. Write it without {tokens}."]},
        ),
        (
            {**fields_of("basic"), "headers": "Authorization=x"},
            {"headers": ["The authentication sets the header Authorization. Remove it from the headers, or choose no authentication."]},
        ),
        (
            {"body_signature_header": "tms-signature"},
            {"body_signature_header": ["The system sets the header tms-signature. Choose another name."]},
        ),
    ],
)  # fmt: skip
def test_a_value_that_makes_no_sense_has_its_error_at_its_field(operator, fields, errors):
    form = form_of(organization=OrganizationFactory().pk, **fields)
    response = operator.post(url(Webhook, "add"), form)

    if errors:
        secret = f"auth_{SECRET_VALUES.get(fields.get('authentication'))}"
        is_typed = DOTS not in fields.get(secret, DOTS)
        assert errors_at(response) == ({secret: [AGAIN]} if is_typed else {}) | errors
    assert Webhook.objects.exists() == (not errors)


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_a_stored_secret_does_not_go_to_another_receiver(operator, kind):
    webhook = with_kind(kind)
    address = url(Webhook, "change", webhook.public_id)
    elsewhere = {"url": "https://other.example.com/hook"}

    response = operator.post(address, form_of(webhook, **fields_of(kind, **{SECRET_VALUES[kind]: DOTS}), **elsewhere))
    assert errors_at(response) == {f"auth_{SECRET_VALUES[kind]}": [OTHER_RECEIVER]}
    operator.post(address, form_of(webhook, **fields_of(kind), **elsewhere))
    assert Webhook.objects.get().url == elsewhere["url"]


def test_a_client_secret_does_not_go_to_another_token_url(operator):
    webhook = with_kind("oauth2")
    fields = fields_of("oauth2", client_secret=DOTS, token_url="https://evil.example.com/token")
    response = operator.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **fields))

    assert errors_at(response) == {"auth_client_secret": [OTHER_RECEIVER]}
    assert stored() == CREDENTIALS["oauth2"]


def test_unreadable_credentials_stay_until_they_are_replaced(operator):
    webhook = with_kind("basic")
    unreadable = Sealed("not a token")
    Webhook.objects.filter(pk=webhook.pk).update(credentials=unreadable)
    address = url(Webhook, "change", webhook.public_id)

    operator.post(address, form_of(webhook, **fields_of("basic", username="", password=DOTS), name="LMS"))
    assert (Webhook.objects.get().name, Webhook.objects.get().credentials) == ("LMS", unreadable)
    operator.post(address, form_of(webhook, **fields_of("basic")))
    assert stored() == CREDENTIALS["basic"]


def test_a_viewer_sees_the_kind_and_no_secret(staff):
    webhook = with_kind("basic")
    text = shown_at(staff("view_webhook"), url(Webhook, "change", webhook.public_id))

    # Django 6.1 has the description of the field before its value.
    assert re.search(r"Authentication: (How requests .*? signature\. )?Basic \(user name and password\)", text)
    assert "hunter2" not in text
