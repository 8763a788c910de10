"""The path and query of a redirect's ``Location`` are shown where payloads are shown, and nowhere else."""

import json
import logging

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.urls import reverse

from example_project.training.models import User
from tests import sweeps
from tests.integration.api.conftest import client
from tests.integration.delivery.conftest import run, wire
from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import answer
from tms_webhooks import signals
from tms_webhooks.choices import ErrorAction
from tms_webhooks.models import Delivery, Event, Webhook

__all__ = ["client", "run", "wire"]

TOKEN, EMAIL = "t0k3n-of-a-reset", "alice.larsen%40example.com"
LOCATION = f"https://login.example.com/{TOKEN}?email={EMAIL}"
MESSAGE = "HTTP 302 Found; redirects are not followed. Location: https://login.example.com"


def is_private(text):
    return TOKEN in text or EMAIL in text


@pytest.fixture
def redirected(run, wire, acme, caplog, clock):
    """A webhook that gave up on an event, because its receiver redirects."""
    caplog.set_level(logging.DEBUG)
    webhook = subscribed(
        organization=acme, error_action=ErrorAction.NOTIFY, schedule="none", contacts="ann@example.com"
    )
    write_event(acme)
    wire.otherwise = answer(302, {"location": LOCATION}, b"Moved")
    run()
    sweeps.notify(clock)
    return webhook


def test_no_log_line_and_no_mail_has_it(redirected, caplog):
    records = caplog.get_records("setup")

    assert [record for record in records if is_private(f"{record.getMessage()} {vars(record)!r}")] == []
    assert any(record.levelname == "WARNING" and MESSAGE in record.getMessage() for record in records)
    (message,) = mail.outbox
    assert "1 attempt failed on " in message.body
    assert ": HTTP 302.\n" in message.body
    assert not is_private(message.body)


def test_no_signal_and_no_event_of_another_webhook_has_it(run, wire, acme):
    heard = []
    signals.webhook_exhausted.connect(listen := lambda message, **rest: heard.append(message), sender=Webhook)
    wire.otherwise = answer(302, {"location": LOCATION})
    subscribed("/first", organization=acme, schedule="none", events=["class.*"])
    subscribed("/second", organization=acme, schedule="none", events=["webhook.*"])
    write_event(acme)
    try:
        run()
    finally:
        signals.webhook_exhausted.disconnect(listen, sender=Webhook)

    assert set(heard) == {MESSAGE}
    exhausted = Event.objects.get(type="webhook.exhausted")
    assert json.loads(exhausted.body)["details"]["message"] == MESSAGE


def test_the_api_has_it_for_callers_who_may_view_payloads(redirected, client, restricted):
    address = f"/api/deliveries/{Delivery.objects.get(webhook=redirected).public_id}/attempts/"

    (whole,) = client.get(address).json()["results"]
    answer_without = restricted("view_payload").get(address)

    assert (whole["message"], whole["response_body"]) == (MESSAGE, f"Location: {LOCATION}\n\nMoved")
    (partial,) = answer_without.json()["results"]
    assert (partial["message"], partial["response_body"]) == (MESSAGE, None)
    assert not is_private(answer_without.content.decode())


def test_the_admin_has_it_for_users_who_may_view_payloads(redirected, staff):
    address = reverse("admin:tms_webhooks_delivery_change", args=[Delivery.objects.get(webhook=redirected).public_id])
    readers = staff("view_delivery")
    page = readers.get(address).content.decode()

    assert MESSAGE in page
    assert not is_private(page)
    permissions = Permission.objects.filter(content_type__app_label="tms_webhooks", codename="view_event")
    User.objects.get(username="staff").user_permissions.add(*permissions)
    assert is_private(readers.get(address).content.decode())
