"""Two users edit one webhook: the second save reports the changes of the first."""

from __future__ import annotations

import html
import re

import pytest
from django.test import Client

from example_project.training.factories import UserFactory
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook() -> Webhook:
    return subscribed(name="CRM", headers="X-Key=1", events=["class.*"])


@pytest.fixture
def carol() -> Client:
    """A second superuser."""
    client = Client()
    carol = UserFactory(
        username="carol", first_name="Carol", last_name="King", organization=None, is_staff=True, is_superuser=True
    )
    client.force_login(carol)
    return client


def seen_at(client: Client, webhook: Webhook) -> str:
    """Open the page, and return the marks that its form carries."""
    return carried(client.get(url(Webhook, "change", webhook.public_id)))


def carried(response) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', response.content.decode())
    assert found is not None
    return html.unescape(found.group(1))


def save(client: Client, webhook: Webhook, **values):
    return client.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **values))


def test_the_second_save_reports_the_first_change_and_keeps_the_input(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, name="Carol's CRM", timeout_seconds="7", seen=seen_at(carol, webhook))

    response = save(operator, webhook, name="Our CRM", max_retries="3", seen=seen)

    errors = errors_at(response)
    assert errors["name"] == ["The current value is: Carol's CRM"]
    assert errors["timeout_seconds"] == ["The current value is: 7"]
    assert errors["__all__"] == [
        "Carol King changed this webhook while you edited it: Name, Timeout seconds. Nothing was saved yet, and your "
        "input is kept below. Save again to overwrite these changes."
    ]
    assert 'value="Our CRM"' in response.content.decode()
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds, webhook.max_retries) == ("Carol's CRM", 7, None)


def test_to_save_again_is_to_have_it_ones_own_way(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, name="Carol's CRM", seen=seen)
    response = save(operator, webhook, name="Our CRM", seen=seen)

    assert save(operator, webhook, name="Our CRM", seen=carried(response)).status_code == 302

    webhook.refresh_from_db()
    assert webhook.name == "Our CRM"


def test_changed_events_are_reported_and_not_overwritten(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, subscriptions=[{"event_type": "user.updated"}], seen=seen)

    response = save(operator, webhook, subscriptions=[{"event_type": "class.*"}], seen=seen)

    assert "Carol King changed this webhook while you edited it: Events." in text_of(response)
    assert webhook.subscriptions.get().event_type == "user.updated"


def test_changed_headers_are_reported_without_their_values(operator, carol, webhook):
    seen = seen_at(operator, webhook)
    save(carol, webhook, headers="X-Key=carols-secret", seen=seen)

    response = save(operator, webhook, headers="X-Key=mine", seen=seen)

    page = response.content.decode()
    assert "while you edited it: HTTP headers." in page
    assert "carols-secret" not in page
    assert "mine" not in page
    webhook.refresh_from_db()
    assert reveal(webhook.headers) == "X-Key=carols-secret"


def test_changes_by_a_worker_are_no_conflict(operator, webhook):
    seen = seen_at(operator, webhook)
    Webhook.objects.filter(pk=webhook.pk).update(failures=3, updated_at=webhook.updated_at)

    assert save(operator, webhook, name="Our CRM", seen=seen).status_code == 302


def test_a_webhook_that_a_worker_has_disabled_is_not_enabled_by_accident(operator, webhook, clock):
    seen = seen_at(operator, webhook)
    lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=clock.now)

    response = save(operator, webhook, name="Our CRM", enabled="on", seen=seen)

    assert "Another user changed this webhook while you edited it: Enabled." in text_of(response)
    assert not Webhook.objects.get().enabled


@pytest.mark.parametrize("seen", ["", "nonsense", "[1]", "{}"])
def test_a_form_that_carries_nothing_is_taken_as_it_is(operator, webhook, seen):
    assert save(operator, webhook, name="Our CRM", seen=seen).status_code == 302
