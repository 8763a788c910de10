"""A pull-only webhook: it has no URL, nothing is sent to it, and its events are read from its feed."""

import json
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.api.people import at
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import JobKind
from tms_webhooks.exceptions import PullOnlyWebhook, ReplayError
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox.fanout import fan_out

URL = "https://receiver.example.com/hook"


@pytest.fixture
def acme():
    return OrganizationFactory(name="Acme", external_id="ACME-EU")


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, url="", pull_only=True, events=["class.*"])


# It has no URL


@pytest.mark.parametrize("pull_only, address", [(True, URL), (False, "")])
def test_the_database_refuses_a_url_of_a_pull_only_webhook_and_any_other_without(webhook, pull_only, address):
    with pytest.raises(IntegrityError), transaction.atomic():
        Webhook.objects.update(pull_only=pull_only, url=address)


@pytest.mark.parametrize(
    "pull_only, address, message",
    [
        (True, URL, f"URL is {URL}, but nothing is sent to a pull-only webhook; leave it empty."),
        (False, "", "URL is empty; give the URL of the receiver, or set pull only."),
    ],
)
def test_the_model_says_which_of_the_two_is_wrong(acme, pull_only, address, message):
    webhook = Webhook(organization=acme, name="BI", pull_only=pull_only, url=address)

    with pytest.raises(ValidationError) as error:
        webhook.full_clean()
    assert error.value.message_dict["url"] == [message]


def test_the_api_makes_one_and_changes_it(client, acme):
    body = {"organization": acme.pk, "name": "BI", "pull_only": True, "subscriptions": [{"event_type": "class.*"}]}

    made = client.post("/api/webhooks/", body)

    assert (made.status_code, made.json()["pull_only"], made.json()["url"]) == (201, True, "")
    address = f"/api/webhooks/{made.json()['id']}/"
    refused = client.patch(address, {"pull_only": False}).json()
    assert [(error["pointer"], error["detail"]) for error in refused["errors"]] == [
        ("#/url", "URL is empty; give the URL of the receiver, or set pull only.")
    ]
    changed = client.patch(address, {"pull_only": False, "url": "https://receiver.example.com/hook"})
    assert changed.status_code == 200, changed.content


def test_the_form_makes_one(acme, admin_client):
    form = form_of(organization=acme.pk, pull_only="True", url="")

    response = admin_client.post(url(Webhook, "add"), form)

    assert response.status_code == 302, errors_at(response)
    webhook = Webhook.objects.get()
    assert (webhook.pull_only, webhook.url) == (True, "")
    overview = text_of(admin_client.get(url(Webhook, "overview", webhook.public_id)))
    assert "Nothing is sent to it: the receiver reads its feed." in overview
    assert "Send a test" not in overview


# Nothing is sent to it


def test_an_event_is_recorded_for_it_and_nothing_is_sent(acme, webhook, clock, client):
    training_class = TrainingClassFactory(organization=acme, name="Azure")
    fan_out(clock.now)

    assert not Delivery.objects.exists()
    (event,) = client.get(at(webhook, "events")).json()["results"]
    assert json.loads(event["body"])["data"]["id"] == training_class.pk


def test_a_test_send_is_refused(webhook, client):
    message = f"Webhook {webhook.public_id} is pull-only; nothing is sent to it. Read its feed, or give it a URL."

    with pytest.raises(PullOnlyWebhook, match=message):
        send_test(webhook, actor=SYSTEM)
    response = client.post(at(webhook, "test"), {})
    assert (response.status_code, response.json()["detail"]) == (409, message)
    with pytest.raises(CommandError, match=message):
        call_command("webhooks_test", webhook.public_id)
    assert not Event.objects.exists()


@pytest.mark.parametrize("kind", [JobKind.RECOVER, JobKind.REPLAY_MISSED])
def test_jobs_that_send_are_refused(webhook, clock, kind):
    with pytest.raises(ReplayError, match="pull-only; nothing is sent to it. Read its feed."):
        start_job(kind, webhook, now=clock.now, since=clock.now - timedelta(days=1))


# Its feed


@pytest.fixture
def events(acme, webhook, clock):
    TrainingClassFactory(organization=acme, name="Azure")
    TrainingClassFactory(organization=acme, name="Bicep")
    fan_out(clock.now)
    return list(Event.objects.order_by("pk"))


def test_each_event_has_the_body_that_would_be_sent(client, webhook, events):
    webhook.format, webhook.content, webhook.headers = "custom", "<name>{data.name}</name>", "Content-Type=text/xml"
    webhook.save()
    data = client.get(at(webhook, "events")).json()

    assert data["has_more"] is False
    first, second = data["results"]
    assert (first["id"], first["type"]) == (events[0].public_id, events[0].type)
    assert (first["content_type"], first["body_state"]) == ("text/xml", "kept")
    assert [first["body"], second["body"]] == ["<name>Azure</name>", "<name>Bicep</name>"]
