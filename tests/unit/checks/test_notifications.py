"""The checks of the notifications: the host's function, recipients and the sender of mails."""

from __future__ import annotations

import pytest

from tests.unit.checks.conftest import ids, only
from tms_webhooks.checks import notifications

SMTP = "django.core.mail.backends.smtp.EmailBackend"


def contacts(organization: object) -> list[str]:
    return ["ann@example.com"]


NOT_CALLABLE = 5


@pytest.fixture
def unreachable(monkeypatch, settings):
    """An installation without any contacts, whose mail settings were never written."""
    monkeypatch.setattr(notifications, "has_recipients", lambda: False)
    settings.DEFAULT_FROM_EMAIL = "webmaster@localhost"
    if hasattr(settings, "MAILERS"):
        settings.MAILERS = {"default": {"BACKEND": SMTP}}
    else:
        settings.EMAIL_BACKEND = SMTP
    settings.TMS_WEBHOOKS = {}


@pytest.mark.parametrize("path", ["no.such.function", "contacts", "tests.unit.checks.test_notifications.NOT_CALLABLE"])
def test_contacts_that_are_no_function_are_refused(settings, path):
    settings.TMS_WEBHOOKS = {"CONTACTS": path}

    message = only(notifications.check_contacts(), "E093")

    assert message.msg == f"TMS_WEBHOOKS['CONTACTS'] is '{path}', which is not a function that can be imported."


@pytest.mark.parametrize("path", ["", "tests.unit.checks.test_notifications.contacts"])
def test_a_function_and_none_are_right(settings, path):
    settings.TMS_WEBHOOKS = {"CONTACTS": path}

    assert notifications.check_contacts() == []


def test_an_installation_without_contacts_is_pointed_out(unreachable):
    message = only(notifications.check_recipients(), "W094")

    assert "No one can be notified of a webhook that fails" in message.msg


def test_contacts_of_the_hosts_function_are_enough(unreachable, settings):
    settings.TMS_WEBHOOKS = {"CONTACTS": "tests.unit.checks.test_notifications.contacts"}

    assert notifications.check_recipients() == []


def test_contacts_of_a_webhook_are_enough(unreachable, monkeypatch):
    monkeypatch.setattr(notifications, "has_recipients", lambda: True)

    assert notifications.check_recipients() == []


def test_mail_settings_that_were_never_written_are_pointed_out(unreachable, settings):
    assert ids(notifications.check_sender()) == ["W095"]

    settings.DEFAULT_FROM_EMAIL = "tms@example.com"
    assert notifications.check_sender() == []


def test_nothing_is_asked_where_notifications_are_off(unreachable, settings):
    settings.TMS_WEBHOOKS = {"NOTIFY": False}

    assert [*notifications.check_recipients(), *notifications.check_sender()] == []
