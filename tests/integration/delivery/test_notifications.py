"""The mail that an error action asks for: once until the webhook works again, and never at the cost of deliveries."""

from __future__ import annotations

import threading
import time

import pytest
from django.core import mail
from django.core.mail import EmailMessage

from example_project.training.models import Organization
from tests.integration.delivery.rows import subscribed, write_event, write_events
from tests.integration.delivery.wire import answer, broken
from tms_webhooks.choices import DeliveryStatus, ErrorAction, ErrorClass
from tms_webhooks.delivery import lifecycle, notifications, replay, sweep
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook

pytestmark = pytest.mark.django_db

CONTACTS = "tests.integration.delivery.test_notifications.contacts_of_the_host"


def contacts_of_the_host(organization) -> list[str]:
    return [f"admin@{organization.pk}.example.com", "second@example.com"]


@pytest.fixture
def give_up(run, django_capture_on_commit_callbacks):
    """Have a webhook give up on so many events."""

    def give_up(webhook: Webhook, number: int = 1) -> None:
        write_events(webhook.organization, number)
        with django_capture_on_commit_callbacks(execute=True):
            run()

    return give_up


@pytest.fixture
def notifying(wire):
    """Make a webhook that asks for mail, tries once and fails."""

    def notifying(**fields) -> Webhook:
        wire.otherwise = answer(500)
        defaults = {"error_action": ErrorAction.NOTIFY, "schedule": "none", "contacts": "ann@example.com"}
        return subscribed(**{**defaults, **fields})

    return notifying


def test_the_mail_to_the_contacts_names_webhook_event_and_result(notifying, run, django_capture_on_commit_callbacks):
    webhook = notifying(name="HR system", contacts="ann@example.com\n\n  bob@example.com \n")
    event = write_event(webhook.organization)
    with django_capture_on_commit_callbacks(execute=True):
        run()

    (message,) = mail.outbox
    assert message.to == ["ann@example.com", "bob@example.com"]
    assert message.subject == f"A webhook of {webhook.organization} could not be delivered"
    assert message.body == (
        f"An event could not be delivered to the webhook HR system of {webhook.organization}:\n\n"
        f"Event: class.cancelled {event.public_id}\n"
        "Last result: HTTP 500 Internal Server Error\n\n"
        "You get no further message until a delivery to this webhook succeeds. The delivery log shows every attempt; "
        "you can send missed events again from there.\n"
    )


def test_mail_is_sent_when_it_is_committed_and_not_before(notifying, run, django_capture_on_commit_callbacks):
    webhook = notifying()
    write_event(webhook.organization)
    with django_capture_on_commit_callbacks(execute=False):
        run()

    assert mail.outbox == []


@pytest.mark.parametrize("action", [ErrorAction.LOG, ErrorAction.DISABLE])
def test_other_error_actions_send_no_mail(notifying, give_up, action):
    give_up(notifying(error_action=action))

    assert mail.outbox == []


def test_a_failure_that_is_tried_again_sends_no_mail(notifying, give_up):
    give_up(notifying(schedule="standard"))

    assert mail.outbox == []


def test_one_incident_is_one_mail(notifying, give_up, clock):
    # One at a time: of two under way the second may fail after the pause began, or not be sent any more.
    webhook = notifying(max_in_flight=1)
    for _ in range(5):
        give_up(webhook, 3)
        webhook.refresh_from_db()
        clock.now = webhook.paused_until or clock.now

    assert webhook.failures == 7
    assert len(mail.outbox) == 1


def test_several_that_are_given_up_together_are_one_mail_with_the_first(
    notifying, worker, due, django_capture_on_commit_callbacks
):
    webhook = notifying(max_in_flight=5)
    first, *_others = due(webhook, 5)
    with django_capture_on_commit_callbacks(execute=True):
        worker("alice").work()

    assert set(webhook.deliveries.values_list("status", flat=True)) == {DeliveryStatus.EXHAUSTED}
    (message,) = mail.outbox
    assert first.event.public_id in message.body


def test_after_a_success_the_next_incident_is_mailed(notifying, give_up, wire):
    webhook = notifying()
    give_up(webhook)
    wire.answers = [answer(200)]
    give_up(webhook)
    assert len(mail.outbox) == 1

    give_up(webhook)

    assert len(mail.outbox) == 2


def test_a_fault_of_our_own_is_one_incident_that_ends_with_the_next_success(notifying, give_up, wire):
    webhook = notifying()
    wire.otherwise = broken(ErrorClass.BLOCKED_ADDRESS)
    give_up(webhook, 3)
    assert len(mail.outbox) == 1
    wire.otherwise = answer(200)
    give_up(webhook)
    wire.otherwise = broken(ErrorClass.BLOCKED_ADDRESS)

    give_up(webhook)

    assert len(mail.outbox) == 2


def test_enabling_a_webhook_ends_an_incident(notifying, give_up, clock):
    webhook = notifying()
    give_up(webhook)
    webhook.refresh_from_db()
    lifecycle.enable(webhook, now=clock.now)

    give_up(webhook)

    assert len(mail.outbox) == 2


def test_each_webhook_has_its_own_incidents(notifying, give_up):
    first = notifying(contacts="first@example.com")
    notifying(contacts="second@example.com", organization=first.organization)

    give_up(first)

    assert sorted(message.to for message in mail.outbox) == [["first@example.com"], ["second@example.com"]]


def test_a_failed_resend_is_no_incident(notifying, give_up, run, clock, django_capture_on_commit_callbacks):
    webhook = notifying()
    give_up(webhook)
    Webhook.objects.update(notified_at=None)
    replay.resend(webhook.deliveries.get(), now=clock.now)
    with django_capture_on_commit_callbacks(execute=True):
        run()

    assert webhook.deliveries.get().attempts == 2
    assert len(mail.outbox) == 1


def test_a_life_that_is_over_is_an_incident_too(notifying, clock, due, django_capture_on_commit_callbacks):
    webhook = notifying()
    due(webhook, 3, created_at=clock.now.replace(year=2020))
    with django_capture_on_commit_callbacks(execute=True):
        sweep.give_up_old(clock.now)

    (message,) = mail.outbox
    assert "Last result: not delivered within 7 days" in message.body


# Whom to write to


def test_without_contacts_of_its_own_the_hosts_function_returns_them(settings_of_app, notifying, give_up):
    settings_of_app(CONTACTS=CONTACTS)
    webhook = notifying(contacts="")

    give_up(webhook)

    assert [message.to for message in mail.outbox] == [
        [f"admin@{webhook.organization_id}.example.com", "second@example.com"]
    ]


def test_contacts_of_its_own_come_before_the_hosts(settings_of_app, notifying, give_up):
    settings_of_app(CONTACTS=CONTACTS)

    give_up(notifying(contacts="ann@example.com"))

    assert [message.to for message in mail.outbox] == [["ann@example.com"]]


def test_a_webhook_without_contacts_is_named_in_the_log(notifying, give_up, caplog):
    webhook = notifying(contacts=" \n")

    give_up(webhook)

    assert mail.outbox == []
    assert f"webhook={webhook.pk} has the error action 'notify' and no contacts" in caplog.text


# What goes wrong


def assert_written_down(webhook: Webhook) -> None:
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts, delivery.lease) == (DeliveryStatus.EXHAUSTED, 1, "")
    assert DeliveryAttempt.objects.count() == 1


def test_mail_that_cant_be_sent_is_logged_and_deliveries_go_on(notifying, give_up, monkeypatch, caplog):
    def refuse(self, *args, **kwargs):
        raise ConnectionRefusedError("mail.example.com:25")

    monkeypatch.setattr(EmailMessage, "send", refuse)
    webhook = notifying(name="HR")

    give_up(webhook)

    assert_written_down(webhook)
    assert (
        f"A notification could not be sent: A webhook of {webhook.organization} could not be delivered" in caplog.text
    )
    assert "ConnectionRefusedError" in caplog.text


def test_one_mail_that_cant_be_sent_does_not_stop_the_others(notifying, give_up, monkeypatch):
    original = EmailMessage.send

    def send(self, *args, **kwargs):
        if self.to == ["broken@example.com"]:
            raise OSError
        return original(self, *args, **kwargs)

    monkeypatch.setattr(EmailMessage, "send", send)
    first = notifying(contacts="broken@example.com")
    notifying(contacts="sound@example.com", organization=first.organization)

    give_up(first)

    assert [message.to for message in mail.outbox] == [["sound@example.com"]]


def broken_contacts(organization) -> list[str]:
    raise LookupError("no such directory")


@pytest.mark.parametrize("path", ["tests.integration.delivery.test_notifications.broken_contacts", "no.such.function"])
def test_a_hosts_function_that_breaks_is_logged_and_deliveries_go_on(settings_of_app, notifying, give_up, caplog, path):
    settings_of_app(CONTACTS=path)
    webhook = notifying(contacts="")

    give_up(webhook)

    assert_written_down(webhook)
    assert mail.outbox == []
    assert f"The contacts of webhook={webhook.pk} could not be read." in caplog.text


def test_a_mail_server_that_hangs_holds_deliveries_back_for_a_moment_only(notifying, give_up, monkeypatch):
    answered, sent = threading.Event(), []

    def hang(self, *args, **kwargs):
        answered.wait(10)
        sent.append(self.to)

    monkeypatch.setattr(EmailMessage, "send", hang)
    monkeypatch.setattr(notifications, "MAIL_TIMEOUT", 0.05)
    webhook = notifying()
    begun_at = time.monotonic()

    give_up(webhook)

    assert time.monotonic() - begun_at < 5
    assert_written_down(webhook)
    assert sent == []
    answered.set()
    for thread in threading.enumerate():
        if thread.name == "webhook-mail":
            thread.join(5)
    assert sent == [["ann@example.com"]]


def test_the_subject_has_no_text_of_the_customer_and_is_one_bounded_line(notifying, give_up):
    webhook = notifying(name="Your account is locked\nBcc: everybody@example.com")
    Organization.objects.filter(pk=webhook.organization_id).update(name="Acme\n" + "x" * 140)

    give_up(Webhook.objects.get(pk=webhook.pk))

    (message,) = mail.outbox
    assert message.subject == f"A webhook of Acme {'x' * 140}"[:150]
    assert message.bcc == []


def test_a_rolled_back_batch_sends_no_mail(notifying, worker, due, monkeypatch, django_capture_on_commit_callbacks):
    webhook = notifying()
    due(webhook, 1)
    alice = worker("alice")
    (request,) = alice.claim()
    result = alice.send(request)

    def refuse(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr("tms_webhooks.delivery.health.Webhook.save", refuse)
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(RuntimeError):
        alice.write(result)
    assert (mail.outbox, Webhook.objects.get().notified_at) == ([], None)
    monkeypatch.undo()
    with django_capture_on_commit_callbacks(execute=True):
        alice.write(result)

    assert len(mail.outbox) == 1
    assert Delivery.objects.get().attempts == 1
