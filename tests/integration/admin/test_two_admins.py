"""Two users edit one webhook: a save that would undo the changes of the other is refused, and says what they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from example_project.training.factories import UserFactory
from tests.integration.admin.pages import errors_at, form_of, text_of, url
from tests.integration.delivery.rows import subscribed
from tms_webhooks.choices import DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Webhook, WebhookState
from tms_webhooks.models.encryption import reveal


@pytest.fixture
def webhook() -> Webhook:
    return subscribed(name="CRM", headers="X-Key=1", events=["class.*"])


@pytest.fixture
def carol() -> Client:
    """A second superuser."""
    client = Client()
    client.force_login(
        UserFactory(
            username="carol", first_name="Carol", last_name="King", organization=None, is_staff=True, is_superuser=True
        )
    )
    return client


def seen_by(response: Any) -> str:
    """Return the fingerprints that a page carries."""
    return str(response.context["adminform"].form["seen"].value())


def opened(client: Client, webhook: Webhook) -> str:
    return seen_by(client.get(url(Webhook, "change", webhook.public_id)))


def save(client: Client, webhook: Webhook, **values: Any) -> Any:
    return client.post(url(Webhook, "change", webhook.public_id), form_of(webhook, **values))


def test_a_changed_value_is_not_overwritten_before_it_was_shown(operator, carol, webhook):
    seen, mine = opened(operator, webhook), form_of(webhook, name="Our CRM", max_retries="3")
    save(carol, webhook, name="Carol's CRM", timeout_seconds="7", schedule="5, 60", audience="both")
    address = url(Webhook, "change", webhook.public_id)

    response = operator.post(address, {**mine, "seen": seen})

    errors = errors_at(response)
    assert errors.pop("__all__") == [
        "Carol King changed this webhook while you edited it: Name, Schedule, Timeout (seconds), Audience. Nothing was saved "
        "yet, and your input is kept below. Save again to overwrite these changes."
    ]
    assert errors == {
        "name": ["The current value is: Carol's CRM"],
        "audience": ["The current value is: Both"],
        "timeout_seconds": ["The current value is: 7"],
        "schedule": ["The current value is: [5, 60]"],
    }
    assert 'value="Our CRM"' in response.content.decode()
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds, webhook.max_retries) == ("Carol's CRM", 7, None)

    assert operator.post(address, {**mine, "seen": seen_by(response)}).status_code == 302
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds, webhook.max_retries) == ("Our CRM", 20, 3)


def test_changed_events_are_a_conflict(operator, carol, webhook):
    row = {"event_type": "class.*", "key": webhook.subscriptions.get().public_id, "condition": ""}
    seen = opened(operator, webhook)
    save(carol, webhook, subscriptions=[{**row, "course": "7"}])

    for mine in ([{**row, "course": "8"}], []):
        response = save(operator, webhook, subscriptions=mine, seen=seen)
        assert "Carol King changed this webhook while you edited it: Events." in text_of(response)
    assert webhook.subscriptions.get().filters == {"course": [7]}


def test_changed_secrets_are_kept_or_a_conflict_without_their_values(operator, carol, webhook):
    seen = opened(operator, webhook)
    save(carol, webhook, headers="X-Key=carols-secret", authentication="bearer", auth_token="carols-token")
    dots = {"authentication": "bearer", "auth_token": "••••"}

    assert save(operator, webhook, **dots, seen=seen).status_code == 302
    response = save(operator, webhook, **{**dots, "auth_token": "mine"}, headers="X-Key=mine", seen=seen)

    assert "while you edited it: HTTP headers, credentials." in text_of(response)
    assert not [text for text in ("carols", "mine") if text in response.content.decode()]
    webhook.refresh_from_db()
    assert (reveal(webhook.headers), webhook.read_credentials()) == ("X-Key=carols-secret", {"token": "carols-token"})


def test_a_webhook_that_a_worker_has_disabled_is_not_enabled_by_accident(operator, webhook, clock):
    seen = opened(operator, webhook)
    WebhookState.objects.filter(pk=webhook.pk).update(failures=3)
    assert save(operator, webhook, name="HR", seen=seen).status_code == 302
    seen = opened(operator, webhook)
    lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=clock.now)

    errors = errors_at(save(operator, webhook, enabled="on", seen=seen))

    assert errors["__all__"][0].startswith("Another user changed this webhook while you edited it: Enabled.")
    assert not Webhook.objects.get().enabled
