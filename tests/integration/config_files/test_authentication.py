"""The authentication of a webhook in a document: its values, with environment variables in place of the secret ones."""

import pytest
import yaml
from django.core.management import CommandError

from example_project.training.factories import OrganizationFactory
from tests.factories import CREDENTIALS, SECRET_VALUES, WebhookFactory
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.credentials import from_text, to_text
from tms_webhooks.models.encryption import reveal

SECRET = "whsec_" + "A" * 43 + "="
PREFIX = "WEBHOOK_ACME_EU_CRM"


@pytest.fixture(params=list(CREDENTIALS))
def kind(request):
    return str(request.param)


@pytest.fixture
def webhook(kind, monkeypatch):
    webhook = WebhookFactory(
        organization=OrganizationFactory(external_id="ACME-EU", name="Acme Europe"),
        name="CRM",
        authentication=kind,
        credentials=to_text(CREDENTIALS[kind]),
        body_signature_header="X-Hub-Signature-256",
        body_signature_prefix=False,
        events=["class.*"],
    )
    webhook.secrets.update(value=SECRET)
    monkeypatch.setenv(f"{PREFIX}_SECRET", SECRET)
    monkeypatch.setenv(f"{PREFIX}_AUTHENTICATION_{SECRET_VALUES[kind].upper()}", "hunter2")
    return webhook


def stored():
    return from_text(reveal(Webhook.objects.get().credentials))


def test_a_document_names_a_variable_for_the_secret_value(exported, webhook, kind):
    text = exported()

    row = yaml.safe_load(text)["webhooks"][0]
    name = SECRET_VALUES[kind]
    secret = {"env": f"{PREFIX}_AUTHENTICATION_{name.upper()}"}
    assert row["authentication"] == {"kind": kind, **CREDENTIALS[kind], name: secret}
    assert (row["body_signature_header"], row["body_signature_prefix"]) == ("X-Hub-Signature-256", False)
    assert "hunter2" not in text


def test_an_imported_webhook_has_the_same_authentication_and_a_second_import_changes_nothing(
    exported, imported, webhook, kind
):
    document = exported()
    Webhook.objects.all().delete()
    imported(document)

    assert Webhook.objects.get().authentication == kind
    assert stored() == CREDENTIALS[kind]
    assert exported() == document
    entries = AuditEntry.objects.count()
    imported(document)
    assert AuditEntry.objects.count() == entries


def test_a_change_is_audited_without_the_value(exported, imported, webhook, kind, monkeypatch):
    document = exported()
    monkeypatch.setenv(f"{PREFIX}_AUTHENTICATION_{SECRET_VALUES[kind].upper()}", "another")
    printed = imported(document)

    assert stored()[SECRET_VALUES[kind]] == "another"
    assert AuditEntry.objects.get().changes == {"credentials": {"from": "••••", "to": "••••"}}
    assert "another" not in printed


def test_a_document_without_authentication_removes_it(exported, imported, webhook):
    document = yaml.safe_load(exported())
    del document["webhooks"][0]["authentication"]
    imported(yaml.safe_dump(document))

    assert (Webhook.objects.get().authentication, stored()) == ("none", {})


@pytest.mark.parametrize("kind", ["basic"], indirect=True)
@pytest.mark.parametrize(
    "authentication, message",
    [
        ("basic", "authentication: Expected an object with kind and the values of that kind, got a string."),
        ({"kind": "basic", "username": "a:b"}, "authentication.username: A user name can't contain a colon"),
        ({"kind": "basic", "username": "a", "password": "hunter2"}, "authentication.password: Write {env: VARIABLE}"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_place(exported, imported, webhook, authentication, message):
    document = yaml.safe_load(exported())
    document["webhooks"][0]["authentication"] = authentication

    with pytest.raises(CommandError, match="webhooks\\[0\\]") as caught:
        imported(yaml.safe_dump(document))
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert stored() == CREDENTIALS["basic"]
