"""From a change of a row to a verified request."""

from __future__ import annotations

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, Event
from tms_webhooks.models.encryption import reveal


def test_a_cancelled_class_is_told_with_its_old_status(receiver, drain):
    training_class = TrainingClassFactory()
    webhook = WebhookFactory(organization=training_class.organization, url=receiver.url, events=["class.cancelled"])

    training_class.cancel()
    drain()

    (request,) = receiver.received
    request.verify(reveal(webhook.secrets.get().value))
    assert request.event["type"] == "class.cancelled"
    assert request.event["data"]["status"] == {"code": 2, "name": "Cancelled"}
    assert request.event["previous"] == {"status": {"code": 0, "name": "Scheduled"}}
    assert request.event["changed"] == ["status"]
    assert request.headers["webhook-id"] == request.event["id"] == Event.objects.get().public_id
    assert Delivery.objects.get().status == DeliveryStatus.DELIVERED


def test_nothing_is_stored_where_nobody_subscribes(drain):
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["class.completed"])

    training_class.cancel()

    assert not Event.objects.exists()
