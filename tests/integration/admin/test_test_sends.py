"""A test from the overview: sent at once, answered in place, written down."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.admin.test_acts import act, entries, me
from tests.integration.delivery.rows import subscribed
from tms_webhooks.models import AuditEntry, Delivery

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def webhook(receiver):
    """A webhook whose receiver is there."""
    return WebhookFactory(url=f"{receiver.url}/hook", events=["class.*"])


def test_the_answer_is_shown_in_place(operator, webhook, receiver):
    response = operator.post(act(webhook, "test"), {"event_type": "webhook.test"})

    text = text_of(response)
    assert "The receiver took it HTTP 200 OK" in text
    assert "waiting for the answer" in text
    assert len(receiver.received) == 1
    delivery = Delivery.objects.get()
    assert url(Delivery, "change", delivery.pk) in response.content.decode()
    assert entries() == [("webhook.tested", me(), f"delivery:{delivery.pk}")]
    assert AuditEntry.objects.get().changes == {"event_type": "webhook.test", "status_code": 200}


def test_the_samples_are_those_of_what_it_is_subscribed_to(operator, webhook):
    markup = operator.get(act(webhook, "test")).content.decode()

    assert '<option value="webhook.test">' in markup
    assert '<option value="class.cancelled">' in markup
    assert "enrollment." not in markup.split("<select")[1].split("</select>")[0]
    assert not Delivery.objects.exists()


def test_a_receiver_that_is_not_there_is_told(operator, settings):
    webhook = subscribed()
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ALLOWED_SCHEMES": ["http"]}

    text = text_of(operator.post(act(webhook, "test"), {"event_type": "webhook.test"}))

    assert "The receiver did not take it" in text


def test_a_sample_that_it_is_not_subscribed_to_is_refused(operator, webhook, receiver):
    text = text_of(operator.post(act(webhook, "test"), {"event_type": "user.updated"}))

    assert "Select a valid choice. user.updated is not one of the available choices." in text
    assert receiver.received == []
    assert entries() == []


def test_bodies_are_for_those_who_may_see_payloads(staff, webhook):
    client = staff("view_webhook", "change_webhook")
    assert "Send it" in shown_at(client, act(webhook, "test"))

    text = text_of(client.post(act(webhook, "test"), {"event_type": "webhook.test"}))

    assert "The receiver took it" in text
    assert "What was sent" not in text
