"""Processes that notify at the same moment send each message once, and a mail server that hangs delays nothing."""

import threading
import time
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives

from tests.integration.delivery.rows import distinct, subscribed
from tests.patience import PATIENCE
from tests.threads import at_once, several
from tms_webhooks.delivery import notices
from tms_webhooks.models import Notification

pytestmark = pytest.mark.django_db(transaction=True)


def failing(clock, number=1):
    since = clock.now - timedelta(minutes=10)
    values = {"failing_since": since, "failed_at": since, "failures": 4, "contacts": "ann@example.com"}
    for _ in range(number):
        subscribed(**values)


@several
def test_two_processes_at_the_same_moment_send_each_mail_once(clock, monkeypatch):
    monkeypatch.setattr(notices, "in_background", lambda work: work())
    failing(clock, 5)

    errors = at_once(*[lambda: notices.notify(clock)] * 3)

    assert errors == []
    assert len(mail.outbox) == 5
    assert list(Notification.objects.values_list("status", flat=True)) == ["sent"] * 5


@several
def test_a_mail_server_that_hangs_holds_neither_the_sweep_nor_a_delivery_and_collects_no_threads(
    clock, run, wire, monkeypatch
):
    answered = threading.Event()

    def hang(self, *args, **kwargs):
        answered.wait(2 * PATIENCE)

    monkeypatch.setattr(EmailMultiAlternatives, "send", hang)
    monkeypatch.setattr(notices, "PATIENCE", 0.05)
    failing(clock, 2)
    begun_at = time.monotonic()
    for _sweep in range(3):
        notices.notify(clock)
    assert time.monotonic() - begun_at < PATIENCE
    hanging = [one for one in threading.enumerate() if one.name == "webhook-background"]
    assert len(hanging) == 1
    wire.otherwise = 200
    webhook = subscribed(happened=1)

    run()

    assert webhook.deliveries.get().status == "delivered"
    answered.set()
    hanging[0].join(PATIENCE)
    assert distinct(Notification, "status") == {"sent"}
