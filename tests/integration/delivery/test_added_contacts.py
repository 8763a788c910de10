"""A contact that is added while a webhook fails is notified of it; those who know are not notified again."""

from datetime import timedelta

import pytest
from django.core import mail

from tests import sweeps
from tests.factories import write_values
from tests.integration.delivery.rows import subscribed, write
from tms_webhooks.choices import DisabledReason
from tms_webhooks.db import clock as database_clock
from tms_webhooks.models import Notification


@pytest.fixture(autouse=True)
def _clock_of_forms(clock, monkeypatch):
    """Have the process that saves a form work by the test's clock, too."""
    monkeypatch.setattr(database_clock, "now", clock)


@pytest.fixture
def notify(clock):
    """Notify a minute later, and send in this thread; return who got a mail, with its subject."""

    def notify():
        clock.advance(minutes=1)
        mail.outbox.clear()
        sweeps.notify(clock)
        return [(sorted(one.recipients()), one.subject) for one in mail.outbox]

    return notify


@pytest.fixture
def failing(clock, notify):
    """A webhook that has failed for 10 minutes, of which its contact Ann was notified."""
    since = clock.now - timedelta(minutes=10)
    values = {"failing_since": since, "failed_at": since, "failures": 4, "failed_with": "timeout"}
    webhook = subscribed(contacts="ann@example.com", organization__name="Acme", **values)
    assert notify() == [(["ann@example.com"], "Webhooks of Acme: Failing (1)")]
    webhook.refresh_from_db()
    return webhook


def test_a_contact_that_is_added_is_notified_within_a_minute_and_once(failing, notify):
    failing.contacts = "ann@example.com\nbob@example.com"
    failing.save()
    failing.save()

    assert notify() == [(["bob@example.com"], "Webhooks of Acme: Failing (1)")]
    assert notify() == []


def test_a_contact_is_notified_that_the_webhook_was_disabled(failing, notify, clock):
    write(failing, enabled=False, disabled_reason=DisabledReason.FAILING, disabled_at=clock.now)
    assert notify() == [(["ann@example.com"], "Webhooks of Acme: Disabled (1)")]
    failing.refresh_from_db()

    failing.contacts = "bob@example.com"
    failing.save(update_fields=["contacts"])

    assert notify() == [(["bob@example.com"], "Webhooks of Acme: Disabled (1)")]


@pytest.mark.parametrize(
    "case", ["healthy", "not yet", "succeeds", "disabled by a user", "switched off", "other field"]
)
def test_no_contact_is_notified_of_a_webhook_that(failing, notify, clock, settings_of_app, case):
    values = {
        "healthy": {"failing_since": None, "notified_of": ""},
        "not yet": {"failing_since": clock.now, "notified_of": ""},
        "succeeds": {"failing_since": None, "failed_at": clock.now, "succeeded_at": clock.now + timedelta(seconds=1)},
        "disabled by a user": {"enabled": False, "disabled_reason": DisabledReason.ADMIN},
    }.get(case, {})
    write_values(failing, **values)
    if case == "switched off":
        settings_of_app(NOTIFY=False)

    failing.contacts = "bob@example.com"
    failing.save(update_fields=["name"] if case == "other field" else None)

    assert notify() == []
    assert Notification.objects.count() == 1
