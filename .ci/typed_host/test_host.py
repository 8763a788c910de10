"""The tests of the host, which use the fixtures of the installed package."""

from __future__ import annotations

import pytest
from django.utils import timezone
from host import receivers
from host.models import Certificate, Organization, Person, Session

from tms_webhooks import catalogue
from tms_webhooks.actors import actor_context
from tms_webhooks.models import Webhook
from tms_webhooks.outbox import emit
from tms_webhooks.testing import CapturedEvents, DeliverWebhooks, WebhookReceiver, assert_event, assert_received


@pytest.fixture
def acme() -> Organization:
    """Return a customer."""
    return Organization.objects.create(name="Acme")


def test_a_cancelled_session_emits_its_event(acme: Organization, webhook_events: CapturedEvents) -> None:
    """The host's status and its own field are in the payload."""
    session = Session.objects.create(title="Azure", owner=acme, cost_center="4711")
    with actor_context("user", 7):
        session.state = Session.State.OFF
        session.save()

    event = assert_event(webhook_events, "class.cancelled", data={"custom.cost_center": "4711"}, changed=["status"])
    assert (event.sequence, event.actor["id"]) == (2, "7")
    assert "class.cancelled of" in receivers.log[-1]


def test_a_certificate_reaches_its_receiver(
    acme: Organization, webhook_receiver: WebhookReceiver, deliver_webhooks: DeliverWebhooks
) -> None:
    """Events of the host's own noun are delivered, from a change and from `emit`."""
    person = Person.objects.create(username="ada", employer=acme)
    webhook: Webhook = webhook_receiver.subscribe(acme, "certificate.*")
    certificate = Certificate.objects.create(person=person, title="Forklift driver")
    certificate.revoked_at = timezone.now()
    certificate.save()
    event = emit("certificate.verified", certificate, details={"verified_by": "Initech"})
    deliver_webhooks()

    assert event is not None
    assert event.type == "certificate.verified"
    request = assert_received(webhook_receiver, "certificate.issued", data={"title": "FORKLIFT DRIVER"})
    assert request.headers["webhook-id"]
    assert webhook.deliveries.filter(status="delivered").count() == 3


@pytest.mark.django_db
def test_a_webhook_has_typed_columns(acme: Organization) -> None:
    """A webhook is a row that the host writes and reads."""
    webhook = Webhook.objects.create(organization=acme, name="CRM", url="https://crm.example.com/hooks")
    subscription = webhook.subscriptions.create(event_type="class.*")
    (secret,) = webhook.signing_secrets(timezone.now())

    assert secret.startswith("whsec_")
    assert (subscription.webhook.name, webhook.url) == ("CRM", "https://crm.example.com/hooks")
    assert [one.name for one in catalogue.expand("certificate.*")][:2] == ["certificate.issued", "certificate.revoked"]
