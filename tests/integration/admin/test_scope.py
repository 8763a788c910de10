"""An administrator of one organization sees, finds and changes nothing of another's, by no door; a superuser sees all."""

import pytest
from django.test import Client
from django.utils import timezone

from tests.integration.admin import pages
from tests.integration.admin.pages import administrator_of, errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import AuditAction
from tms_webhooks.models import AuditEntry, Delivery, Event, Job, Webhook

pytestmark = pytest.mark.usefixtures("site")

MODELS = [Webhook, Delivery, Event, Job, AuditEntry]


def world_of(name):
    """Make a webhook with a row of everything."""
    now = timezone.now()
    webhook = subscribed(f"/{name}", name=name)
    write_delivery(webhook, now=now)
    Job.objects.create(kind="recover", webhook=webhook, created_at=now)
    AuditEntry.objects.record(AuditAction.WEBHOOK_UPDATED, webhook, actor=SYSTEM, now=now)
    return webhook


@pytest.fixture
def ours():
    return world_of("ours")


@pytest.fixture
def theirs():
    return world_of("theirs")


@pytest.fixture
def alice(site, ours):
    """The administrator of our organization."""
    user = administrator_of(ours.organization, username="alice")
    client = Client()
    client.force_login(user)
    client.organization = ours.organization
    return client


def row_of(model, webhook):
    owner = {Webhook: "pk", Event: "deliveries__webhook"}.get(model, "webhook")
    return model.objects.get(**{owner: webhook.pk})


def rows_at(client, model, **query):
    return list(client.get(url(model, "changelist"), query).context["cl"].result_list)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("page", ["change", "delete"])
def test_a_page_of_theirs_answers_like_one_that_does_not_exist(alice, theirs, model, page):
    row = row_of(model, theirs)
    unknown = row.public_id[:-4] + "0000"

    response, missing, by_key = (alice.get(url(model, page, key)) for key in (row.public_id, unknown, row.pk))

    assert response.status_code == missing.status_code == by_key.status_code
    assert response.status_code in (302, 403)
    location = response.headers.get("Location")
    assert location == missing.headers.get("Location") == by_key.headers.get("Location")
    assert "theirs" not in response.content.decode()


@pytest.mark.parametrize("action", ["enable_selected", "disable_selected", "delete_selected"])
def test_an_action_on_theirs_does_nothing(alice, theirs, action):
    before = Webhook.objects.values().get(pk=theirs.pk)
    secrets = theirs.secrets.count()

    data = {"action": action, "_selected_action": [theirs.public_id], "post": "yes"}
    response = alice.post(url(Webhook, "changelist"), data, follow=True)

    assert "theirs" not in text_of(response)
    assert Webhook.objects.values().get(pk=theirs.pk) == before
    assert theirs.secrets.count() == secrets


def test_the_form_offers_our_organization_and_takes_no_other(alice, ours, theirs):
    page = alice.get(url(Webhook, "add")).content.decode()
    assert f'<option value="{ours.organization_id}" selected>' in page
    assert f'<option value="{theirs.organization_id}"' not in page

    response = alice.post(url(Webhook, "add"), form_of(organization=theirs.organization_id))

    assert errors_at(response) == {
        "organization": ["Select a valid choice. That choice is not one of the available choices."]
    }


def test_staff_without_an_organization_see_nothing(monkeypatch, theirs):
    monkeypatch.setattr(pages, "site", pages.STAFF)
    client = Client()
    client.force_login(administrator_of(None))

    for model in MODELS:
        assert rows_at(client, model) == []
    assert client.get(url(Webhook, "add")).status_code == 403
