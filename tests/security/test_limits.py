"""No organization takes more than its share: each limit is a setting, and holds at every door and for two at once."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from example_project.training.factories import OrganizationFactory
from tests.conftest import NOW
from tests.factories import WebhookFactory
from tests.integration.admin.pages import form_of, text_of, url
from tests.integration.api.conftest import client
from tests.integration.api.people import at, error_of
from tests.integration.delivery.rows import write_delivery
from tests.receiver import Answer
from tests.threads import at_once, several
from tms_webhooks import validators
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.conf import AppSettings
from tms_webhooks.delivery.notices import recipients_of
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import LimitReached
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, Event, Job, Subscription, Webhook

__all__ = ["client"]

NEW = {"name": "CRM", "url": "https://receiver.example.com/hook"}


@pytest.fixture
def limit(settings):
    """Set a limit of the operator's."""

    def limit(**values):
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, **values}

    return limit


@pytest.fixture
def imported(tmp_path):
    """Import a document with these webhooks of an organization."""

    def imported(organization, *webhooks, prune=False):
        document = {"version": 1, "webhooks": [{"organization": organization.external_id, **one} for one in webhooks]}
        path = tmp_path / "webhooks.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        call_command("webhooks_import", str(path), "--keep-secrets", *(["--prune"] if prune else []), verbosity=0)

    return imported


def add_in_form(operator, organization, **values):
    values = {**form_of(**values), "organization": organization.pk}
    return operator.post(url(Webhook, "add"), values)


def test_the_limits_have_their_documented_defaults():
    names = ("WEBHOOKS", "SUBSCRIPTIONS", "JOBS", "TEST_SENDS")

    assert [vars(AppSettings)[f"{name}_LIMIT"].default for name in names] == [100, 200, 100, 10]
    assert (validators.HEADERS_LIMIT, validators.CONTACTS_LIMIT) == (50, 10)


# Webhooks


def test_the_api_refuses_a_webhook_beyond_the_limit(client, acme, limit, problem):
    limit(WEBHOOKS_LIMIT=1)
    # A deleted one and those of others do not count.
    WebhookFactory(organization=acme, deleted_at=NOW)
    WebhookFactory()
    assert client.post("/api/webhooks/", {**NEW, "organization": acme.pk}).status_code == 201

    detail = problem(client.post("/api/webhooks/", {**NEW, "organization": acme.pk}), "conflict")["detail"]

    assert detail == (
        "The organization has 1 webhooks; adding 1 would exceed the limit of 1. "
        "Delete one, subscribe an existing one to more events, or ask the operator for a higher limit."
    )
    assert Webhook.objects.existing().filter(organization=acme).count() == 1


def test_a_document_with_too_many_webhooks_changes_nothing(limit, imported):
    limit(WEBHOOKS_LIMIT=2)
    acme = OrganizationFactory(name="Acme", external_id="ACME")
    rows = [{**NEW, "name": name, "subscriptions": []} for name in "abc"]

    with pytest.raises(
        CommandError, match=r"ACME / c: The organization has 2 webhooks; adding 1 would exceed the limit of 2"
    ):
        imported(acme, *rows)

    assert Webhook.objects.count() == 0


def test_the_model_refuses_a_webhook_beyond_the_limit(acme, limit):
    limit(WEBHOOKS_LIMIT=1)
    first = WebhookFactory(organization=acme)

    with pytest.raises(LimitReached, match="the limit of 1"):
        WebhookFactory(organization=acme)
    first.name = "Renamed"
    first.save()

    assert list(Webhook.objects.values_list("name", flat=True)) == ["Renamed"]


def subscribe(webhook):
    Subscription.objects.create(webhook=webhook, event_type="user.*")


def cancel(webhook):
    start_job(JobKind.CANCEL_PENDING, WebhookFactory(organization=webhook.organization), now=NOW)


@several
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "name, model, add",
    [
        ("WEBHOOKS_LIMIT", Webhook, lambda webhook: WebhookFactory(organization=webhook.organization)),
        ("SUBSCRIPTIONS_LIMIT", Subscription, subscribe),
        ("JOBS_LIMIT", Job, cancel),
    ],
)
def test_several_at_once_do_not_exceed_the_limit(acme, limit, name, model, add):
    webhook = WebhookFactory(organization=acme, events=["class.*"])
    before = model.objects.count()
    limit(**{name: before + 1})

    raised = at_once(*[lambda: add(webhook)] * 4)

    assert [type(error) for error in raised] == [LimitReached] * 3
    assert model.objects.count() == before + 1


# Subscriptions


HEADERS = {f"X-{number}": "v" for number in range(51)}
STRANGERS = [f"stranger{number}@example.com" for number in range(11)]


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("subscriptions", [{"event_type": "class.*"}, {"event_type": "user.*"}], "no more than 1 elements"),
        ("headers", HEADERS, "the limit is 50."),
        ("contacts", STRANGERS, "the limit is 10."),
    ],
)
def test_the_api_refuses_more_parts_of_a_webhook_than_the_limit(client, acme, limit, name, value, words):
    limit(SUBSCRIPTIONS_LIMIT=1)

    place, _code, detail = error_of(client.post("/api/webhooks/", {**NEW, "organization": acme.pk, name: value}))

    assert place == f"#/{name}"
    assert words in detail
    assert "TMS_WEBHOOKS" not in detail
    assert Webhook.objects.count() == 0


# Headers and contacts


@pytest.mark.parametrize(
    "name, value",
    [
        ("headers", "\n".join(f"{name}={value}" for name, value in HEADERS.items())),
        ("contacts", "\n".join(STRANGERS)),
    ],
)
def test_the_form_and_the_model_refuse_them_too(operator, acme, name, value):
    assert f"{name} are too many; the limit is" in text_of(add_in_form(operator, acme, **{name: value}))
    with pytest.raises(ValidationError, match=f"{name} are too many; the limit is"):
        WebhookFactory.build(organization=acme, **{name: value}).full_clean()

    assert Webhook.objects.count() == 0


@pytest.mark.parametrize(
    "contact", ["ops@example.com\nBcc: all@example.com", '"a\x0bb"@example.com', "Alice <a@example.com>", "ops"]
)
def test_a_contact_is_one_address_and_nothing_else(client, acme, problem, contact):
    body = {**NEW, "organization": acme.pk, "contacts": [contact]}

    problem(client.post("/api/webhooks/", body), "invalid-request")

    assert Webhook.objects.count() == 0


def test_contacts_that_were_stored_before_the_limit_get_no_mail_beyond_it():
    webhook = WebhookFactory(contacts="\n".join(STRANGERS))

    assert recipients_of([webhook]).people == {webhook.pk: STRANGERS[:10]}


# Test sends


@pytest.fixture
def webhook(receiver, acme):
    return WebhookFactory(organization=acme, url=receiver.url)


def test_a_webhook_and_its_organization_send_a_limited_number_of_tests_a_minute(
    client, receiver, webhook, limit, problem
):
    limit(TEST_SENDS_LIMIT=1)
    page = "/api/webhooks/{}/test/"
    others = [WebhookFactory(organization=webhook.organization, url=receiver.url) for _ in range(10)]

    def refused(one):
        response = client.post(page.format(one.public_id))
        assert 0 < int(response.headers["Retry-After"]) <= 60
        return problem(response, "too-many-requests")["detail"]

    assert client.post(page.format(webhook.public_id)).status_code == 200
    assert refused(webhook) == "The webhook has sent 1 tests in the last minute, the limit. Wait a minute."
    assert {client.post(page.format(one.public_id)).status_code for one in others[:9]} == {200}
    assert refused(others[9]) == "The organization has sent 10 tests in the last minute, the limit. Wait a minute."
    assert (len(receiver.received), Delivery.objects.count(), Event.objects.count()) == (10, 10, 10)


def test_after_a_minute_another_test_is_sent_and_others_have_their_own(receiver, webhook, limit):
    limit(TEST_SENDS_LIMIT=1)
    send_test(webhook, actor=SYSTEM, clock=lambda: NOW)
    with pytest.raises(LimitReached) as refused:
        send_test(webhook, actor=SYSTEM, clock=lambda: NOW + timedelta(seconds=20))
    assert refused.value.retry_after == 40

    send_test(WebhookFactory(url=receiver.url), actor=SYSTEM, clock=lambda: NOW + timedelta(seconds=20))
    send_test(webhook, actor=SYSTEM, clock=lambda: NOW + timedelta(seconds=60))

    assert len(receiver.received) == 3


def test_a_webhook_gets_one_test_at_a_time(client, receiver, webhook, problem):
    delivery = write_delivery(
        webhook, now=NOW, priority=Priority.MANUAL, due_at=datetime.now(UTC) + timedelta(seconds=30)
    )
    Event.objects.filter(pk=delivery.event_id).update(type=TEST)

    refused = client.post(at(webhook, "test"))

    detail = problem(refused, "too-many-requests")["detail"]
    assert detail == "Another test of the webhook is being sent. Try again in a few seconds."
    assert refused.headers["Retry-After"] == "2"
    assert (receiver.received, Delivery.objects.count()) == ([], 1)


@several
@pytest.mark.django_db(transaction=True)
def test_tests_at_once_do_not_exceed_the_slots_of_the_webhook(receiver, webhook):
    Webhook.objects.update(max_in_flight=1)
    receiver.answers.extend([Answer(delay=1.0)] * 4)

    raised = at_once(*[lambda: send_test(webhook, actor=SYSTEM)] * 4)

    assert [type(error) for error in raised] == [LimitReached] * 3
    assert len(receiver.received) == 1


# Jobs


def test_an_organization_has_a_limited_number_of_unfinished_jobs(client, acme, limit, problem):
    limit(JOBS_LIMIT=1)
    webhooks = [WebhookFactory(organization=acme) for _ in range(2)]
    start_job(JobKind.CANCEL_PENDING, webhooks[0], now=NOW)

    detail = problem(client.post(f"/api/webhooks/{webhooks[1].public_id}/cancel-pending/"), "conflict")["detail"]

    assert detail == ("The organization has 1 unfinished jobs; the limit is 1. Wait until one is finished.")
    assert Job.objects.count() == 1
    assert start_job(JobKind.CANCEL_PENDING, WebhookFactory(), now=NOW).pk


# Conditions, and pages


@pytest.mark.parametrize("page", ["events/", "deliveries/", "webhooks/", "jobs/", "webhooks/{}/events/"])
def test_no_page_is_larger_than_the_limit(client, acme, limit, problem, page):
    limit(API_PAGE_LIMIT=7)
    address = f"/api/{page.format(WebhookFactory(organization=acme).public_id)}"

    (error,) = problem(client.get(address, {"page_size": 8}), "invalid-request")["errors"]

    assert error == {"parameter": "page_size", "code": "invalid", "detail": "Use a whole number from 1 to 7."}
    assert client.get(address, {"page_size": 7}).status_code == 200
    assert client.get(address).status_code == 200
