"""A test send from the overview: sent immediately, shown on the page, and recorded."""

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.admin.test_actions import act
from tests.integration.admin.test_overview import overview
from tms_webhooks.choices import Action
from tms_webhooks.models import AuditEntry, Delivery, Event, Webhook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def webhook(receiver):
    """A webhook whose receiver is there."""
    return WebhookFactory(url=f"{receiver.url}/hook", events=["class.*"])


def test_the_response_is_shown_on_the_page(operator, webhook, receiver):
    response = operator.post(act(webhook, "test"), {"event_type": "webhook.test"})

    text = text_of(response)
    assert "The receiver accepted it HTTP 200 OK" in text
    assert "response " in text
    assert len(receiver.received) == 1
    delivery = Delivery.objects.get()
    assert url(Delivery, "change", delivery.public_id) in response.content.decode()


def test_a_test_of_a_webhook_that_a_user_disabled_says_that_it_is_still_disabled(operator, webhook):
    sentence = "The webhook is still disabled: it receives no events."
    enabled = text_of(operator.post(act(webhook, "test"), {"event_type": "webhook.test"}))
    Webhook.objects.filter(pk=webhook.pk).update(enabled=False, disabled_reason="admin", disabled_at=timezone.now())

    page = operator.post(act(webhook, "test"), {"event_type": "webhook.test"})

    assert sentence in text_of(page)
    assert act(webhook, "enable") in page.content.decode()
    assert sentence not in enabled


def test_the_samples_are_those_of_the_subscribed_events(operator, webhook):
    markup = operator.get(act(webhook, "test")).content.decode()

    assert '<option value="webhook.test">' in markup
    assert '<option value="class.cancelled">' in markup
    assert "enrollment." not in markup.split("<select")[1].split("</select>")[0]
    assert not Delivery.objects.exists()


def test_bodies_need_the_permission_to_view_payloads(staff, webhook):
    client = staff("view_webhook", "change_webhook")
    assert "Send it" in shown_at(client, act(webhook, "test"))

    text = text_of(client.post(act(webhook, "test"), {"event_type": "webhook.test"}))

    assert "The receiver accepted it" in text
    assert "Request body" not in text


def test_in_lists_and_searches_a_test_is_about_the_name_of_its_webhook(operator, staff, webhook):
    Webhook.objects.filter(pk=webhook.pk).update(name="Warehouse 7")
    operator.post(act(webhook, "test"), {"event_type": "class.cancelled"})
    lists = [f"{url(model, 'changelist')}{query}" for model in (Delivery, Event) for query in ("", "?q=warehouse")]

    for client in (operator, staff("view_webhook", "view_delivery", "view_event")):
        for address in [overview(webhook), *lists[::2]]:
            text = text_of(client.get(address))
            assert ("Warehouse 7 webhook.test" in text, f"webhook:{webhook.public_id}" in text) == (True, False)
    for address in lists:
        assert "Warehouse 7 webhook.test" in text_of(operator.get(address))


def test_the_values_of_an_object_are_sent_and_the_audit_log_names_it(operator, webhook, receiver):
    training_class = TrainingClassFactory(organization=webhook.organization)
    subject = f"class:{training_class.pk}"

    text = text_of(operator.post(act(webhook, "test"), {"event_type": "class.cancelled", "subject": subject}))

    assert "The receiver accepted it" in text
    assert "Request body" in text
    assert receiver.received[0].event["data"]["id"] == training_class.pk
    assert AuditEntry.objects.get().changes == {
        "event_type": "class.cancelled",
        "subject": subject,
        "status_code": 200,
    }


def test_bodies_with_an_object_need_the_payloads_of_every_organization_of_the_webhook(
    operator, webhook, receiver, deny
):
    child = OrganizationFactory(parent=webhook.organization)
    Webhook.objects.filter(pk=webhook.pk).update(include_children=True)
    deny(Action.VIEW_PAYLOAD, below=True)
    subject = f"class:{TrainingClassFactory(organization=child).pk}"

    text = text_of(operator.post(act(webhook, "test"), {"event_type": "class.cancelled", "subject": subject}))

    assert "The receiver accepted it" in text
    assert "Request body" not in text
