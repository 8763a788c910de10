"""Checks of the notifications: CONTACTS, and with ``--deploy`` contacts and sender."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import DatabaseError
from django.utils.module_loading import import_string

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import usable
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.models import NotificationAddresses, Webhook

DJANGO_SENDER = "webmaster@localhost"
"""Django's default of DEFAULT_FROM_EMAIL, which mail servers refuse."""
SMTP_BACKEND = "django.core.mail.backends.smtp.EmailBackend"


def check_contacts(**_kwargs: Any) -> list[CheckMessage]:
    """Check that CONTACTS names a function."""
    path = usable("CONTACTS")
    if not path or _is_function(path):
        return []
    return [
        message(
            "E093",
            f"{SETTING_NAME}['CONTACTS'] is {path!r}, which is not a function that can be imported.",
            hint="Write the dotted path of a function that takes an organization and returns a list of e-mail addresses, "
            "or remove the setting.",
        )
    ]


def check_recipients(**_kwargs: Any) -> list[CheckMessage]:
    """Warn if no contacts are known at all: then an outage is found by its victims."""
    if not usable("NOTIFY") or usable("CONTACTS") or has_recipients():
        return []
    return [
        message(
            "W094",
            "No one can be notified of a webhook that fails: neither a webhook nor an organization has contacts, and "
            f"{SETTING_NAME}['CONTACTS'] is empty.",
            hint="Set CONTACTS to a function that returns an organization's e-mail addresses, or enter contacts on the pages "
            f"of webhooks. If you want no notifications, set {SETTING_NAME}['NOTIFY'] to False.",
        )
    ]


def check_sender(**_kwargs: Any) -> list[CheckMessage]:
    """Warn if Django's mail settings were never written, so that no mail arrives."""
    is_unset = settings.DEFAULT_FROM_EMAIL == DJANGO_SENDER and _mail_backend() == SMTP_BACKEND
    if not usable("NOTIFY") or not is_unset:
        return []
    return [
        message(
            "W095",
            f"DEFAULT_FROM_EMAIL is {DJANGO_SENDER!r}, Django's default: mail servers refuse notifications from it.",
            hint="Set EMAIL_HOST (from Django 6.1 on MAILERS) and DEFAULT_FROM_EMAIL, and a timeout of a few seconds. If you want no notifications, "
            f"set {SETTING_NAME}['NOTIFY'] to False.",
        )
    ]


def _mail_backend() -> str:
    # Django 6.1 has MAILERS in place of EMAIL_BACKEND.
    mailers = getattr(settings, "MAILERS", None)
    return str(settings.EMAIL_BACKEND if mailers is None else mailers.get("default", {}).get("BACKEND", SMTP_BACKEND))


def _is_function(path: str) -> bool:
    try:
        return callable(import_string(path))
    except ImportError:
        return False


def has_recipients() -> bool:
    """Return whether contacts are known, or no webhooks exist that would need them."""
    try:
        webhooks = Webhook.objects.existing().exclude(contacts="")
        return webhooks.exists() or NotificationAddresses.objects.exists() or not Webhook.objects.existing().exists()
    except DatabaseError:
        return True  # No tables yet.
