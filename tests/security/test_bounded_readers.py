"""Documents, conditions and header names of a stranger are read in bounded time, and answered with an error."""

import time

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from tests.factories import WebhookFactory
from tests.integration.api.conftest import client
from tests.integration.api.people import at
from tms_webhooks.admin.forms.fields import ConditionField
from tms_webhooks.catalogue import registry
from tms_webhooks.config_files import DocumentError, parse
from tms_webhooks.filters.parsing import check
from tms_webhooks.net.urls import same_receiver
from tms_webhooks.validators import parse_headers

__all__ = ["client"]


def nested(value, depth):
    """Return a value within so many lists."""
    for _ in range(depth):
        value = [value]
    return value


# Configuration files

BOMB = "a: &a [x, x]\n" + "".join(
    f"{two}: &{two} [*{one}, *{one}]\n" for one, two in zip("abcdefgh", "bcdefghi", strict=True)
)

DOCUMENTS = {
    "lists": ("[" * 5_000 + "]" * 5_000, "The document can't be read in line 1"),
    "aliases": (BOMB, "aliases (*name) are not supported; write the values out"),
    "a list in itself": ("&a [*a]", "aliases (*name) are not supported; write the values out"),
    "digits": (f"version: {'9' * 5_000}", "The document can't be read: it has a time or a number that does not exist"),
    "no date": ("version: 2026-99-99", "The document can't be read: it has a time or a number that does not exist"),
    "size": ("a: " + "x" * 1_000_000, "The document has more than 1,000,000 characters; divide it."),
    "a list as a key": ("? [a]\n: 1", "found unhashable key"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_takes_long_to_read_is_refused_with_an_error(name):
    text, message = DOCUMENTS[name]
    began = time.process_time()

    with pytest.raises(DocumentError) as caught:
        parse(text)

    assert message in str(caught.value)
    assert time.process_time() - began < 5


def test_the_command_reads_no_more_than_it_needs():
    with pytest.raises(CommandError, match="more than 1,000,000 characters"):
        call_command("webhooks_import", "/dev/zero")


# Conditions

CONDITIONS = {
    "objects": ({"all": nested({"data.id": 1}, 200)}, "lists or objects more than 100 deep"),
    "lists": ({"data.id": nested(1, 200)}, "lists or objects more than 100 deep"),
    "digits": ({"data.id": 10**5_000}, "a number of more than 30 digits"),
    "digits in a list": ({"data.id": [10**5_000]}, "a number of more than 30 digits"),
    "digits of a comparison": ({"data.max_students": {"gt": -(10**5_000)}}, "a number of more than 30 digits"),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_that_can_not_be_stored_is_refused_with_an_error(name):
    condition, message = CONDITIONS[name]

    with pytest.raises(ValidationError) as caught:
        check(condition, registry.expand("class.*"))

    assert message in caught.value.messages[0]


@pytest.mark.parametrize(
    "text", ['{"data.id": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"data.id": ' + "9" * 5_000 + "}"]
)
def test_the_form_and_the_api_answer_such_a_condition_with_an_error(client, acme, problem, text):
    webhook = WebhookFactory(organization=acme, events=[])

    with pytest.raises(ValidationError):
        ConditionField().clean(text)
    address = at(webhook, "subscriptions")
    body = f'{{"event_type": "class.*", "condition": {text}}}'
    assert client.post(address, body, content_type="application/json").status_code in (400, 413)
    assert not webhook.subscriptions.exists()


# Header names


@pytest.mark.parametrize("name", ["webhook_id", "Webhook-Signature", "WEBHOOK_SIGNATURE", "tms_test", "Content_Length"])
def test_a_name_that_a_receiver_reads_as_one_of_ours_is_refused(name):
    with pytest.raises(ValidationError, match="The system sets the header"):
        parse_headers(f"{name}=1")


def test_two_names_that_a_receiver_reads_as_one_are_refused():
    with pytest.raises(ValidationError, match="Duplicate header X_Key"):
        parse_headers("X-Key=1\nX_Key=2")

    assert parse_headers("X_Key=1") == {"X_Key": "1"}


# Shared hosts


@pytest.mark.parametrize(
    "url, other, is_same",
    [
        ("https://hooks.slack.com/services/T1/B1", "https://hooks.slack.com/services/T2/B2", False),
        ("https://hooks.slack.com/services/T1/B1", "https://hooks.slack.com/services/T1/B1?a=1", True),
        ("https://contoso.webhook.office.com/a", "https://contoso.webhook.office.com/b", False),
        ("https://prod-1.westeurope.logic.azure.com/a", "https://prod-1.westeurope.logic.azure.com/b", False),
        ("https://receiver.example.com/a", "https://receiver.example.com/b", True),
        ("https://nothooks.slack.com.example.com/a", "https://nothooks.slack.com.example.com/b", True),
    ],
)
def test_on_a_host_that_many_share_another_path_is_another_receiver(url, other, is_same):
    assert same_receiver(url, other) is is_same


@pytest.mark.parametrize(
    "host",
    [
        "hooks.zapier.com",
        "hook.eu2.make.com",
        "hook.integromat.com",
        "hook.us1.make.celonis.com",
        "prod-7.westeurope.logic.azure.com",
        "default1234.5a.environment.api.powerplatform.com",
        "europe-002.azure-apim.net",
        "acme.app.n8n.cloud",
        "webhooks.eu.workato.com",
        "acme.trayapp.io",
        "maker.ifttt.com",
        "eo1234.m.pipedream.net",
        "webhook.site",
        "flow.zoho.com",
        "connect.pabbly.com",
        "cloud.activepieces.com",
        "hooks.airtable.com",
    ],
)
def test_the_hosts_of_platforms_without_code_are_shared(host):
    assert not same_receiver(f"https://{host}/hooks/1", f"https://{host}/hooks/2")
