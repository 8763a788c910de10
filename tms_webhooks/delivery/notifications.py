"""Notify of deliveries that are given up: log, signal, mail to contacts, or disable, as the webhook's error action says.

Also notify the admins when no encryption key decrypts the secrets.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Thread

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connections, router, transaction
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from tms_webhooks import signals
from tms_webhooks.choices import DisabledReason, ErrorAction
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Delivery, Webhook

# Seconds that a worker waits for a mail server that does not answer.
MAIL_TIMEOUT = 5.0
LONGEST_SUBJECT = 150

KEYS_MISSING = (
    "No key decrypts the secrets of the webhooks, so nothing is sent to them. Their deliveries wait and lose no retries. "
    f"Put the key that encrypted the secrets back into {SETTING_NAME}['ENCRYPTION_KEYS'] (into SECRET_KEY or "
    "SECRET_KEY_FALLBACKS if that is empty), and restart the workers."
)
"""What is wrong, for the log, the admins and ``webhooks_health``."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GivenUpDelivery:
    """A delivery that gets no further attempt. ``event_id`` is the public id; ``message`` describes the last result."""

    delivery_id: int
    webhook_id: int
    event_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A delivery that was given up, with the data that a notification shows."""

    webhook: Webhook
    event_id: str
    event_type: str
    message: str


def notify_given_up(given_up: Sequence[GivenUpDelivery], *, now: datetime) -> set[int]:
    """Apply the error actions of the webhooks of these deliveries; return the keys of the webhooks it disables.

    Call it in the transaction that gives the deliveries up. Mail is sent after the commit.
    """
    if not given_up:
        return set()
    webhooks = Webhook.objects.existing().in_bulk({one.webhook_id for one in given_up})
    rows = Delivery.objects.among(one.delivery_id for one in given_up)
    event_types = dict(rows.values_list("pk", "event__type"))
    incidents = [
        Incident(webhooks[one.webhook_id], one.event_id, event_types[one.delivery_id], one.message)
        for one in given_up
        if one.webhook_id in webhooks and one.delivery_id in event_types
    ]
    for incident in incidents:
        _report(incident, now=now)
    first = {incident.webhook.pk: incident for incident in reversed(incidents)}
    to_mail = [incident for incident in first.values() if _needs_mail(incident.webhook, now)]
    if to_mail:
        using = router.db_for_write(Webhook)
        transaction.on_commit(lambda: send_mails(to_mail), using=using, robust=True)
    return _disable({incident.webhook for incident in incidents}, now=now)


def notify_keys_missing(*, now: datetime) -> None:
    """Log that no encryption key decrypts the secrets of a webhook, and mail the admins, once until the keys are right.

    Call it in the transaction that holds the webhook, before it does. The fault is not the contacts' own.
    """
    if Webhook.objects.without_keys(now).exists():
        return
    logger.error(KEYS_MISSING)
    transaction.on_commit(_mail_admins, using=router.db_for_write(Webhook), robust=True)


def contacts_of(webhook: Webhook) -> list[str]:
    """Return the mail addresses to notify: the webhook's contacts, or else those that the function in CONTACTS returns."""
    own = [line.strip() for line in webhook.contacts.splitlines() if line.strip()]
    if own or not app_settings.CONTACTS:
        return own[: app_settings.CONTACTS_LIMIT]
    find: Callable[[object], Sequence[str]] = import_string(app_settings.CONTACTS)
    return list(find(webhook.organization))


def send_mails(incidents: Sequence[Incident]) -> None:
    """Send one mail per incident to the contacts of its webhook. Never raises: an error is logged.

    A thread sends them, so that a mail server that hangs delays the caller by MAIL_TIMEOUT at most.
    """
    mails = [mail for incident in incidents if (mail := _mail(incident)) is not None]
    if mails:
        _send_in_thread(mails)


def _mail_admins() -> None:
    if settings.ADMINS:
        # As `django.core.mail.mail_admins` addresses them.
        recipients = [admin if isinstance(admin, str) else admin[1] for admin in settings.ADMINS]
        subject = f"{settings.EMAIL_SUBJECT_PREFIX}Webhooks are held: an encryption key is missing"
        _send_in_thread([EmailMessage(subject, KEYS_MISSING, settings.SERVER_EMAIL, recipients)])


def _send_in_thread(mails: Sequence[EmailMessage]) -> None:
    thread = Thread(target=_send, args=(mails,), name="webhook-mail", daemon=True)
    thread.start()
    thread.join(MAIL_TIMEOUT)


def _report(incident: Incident, *, now: datetime) -> None:
    """Log the incident and send the signal."""
    webhook = incident.webhook
    logger.warning("given up event=%s webhook=%s: %s", incident.event_id, webhook.pk, incident.message)
    signals.webhook_exhausted.send_in_savepoint(
        Webhook,
        webhook=webhook,
        event_id=incident.event_id,
        event_type=incident.event_type,
        message=incident.message,
        now=now,
    )


def _needs_mail(webhook: Webhook, now: datetime) -> bool:
    """Return whether to send a mail, and record its time: one is sent until the webhook has a success again."""
    if webhook.error_action != ErrorAction.NOTIFY:
        return False
    return bool(Webhook.objects.filter(pk=webhook.pk, notified_at__isnull=True).update(notified_at=now))


def _disable(webhooks: set[Webhook], *, now: datetime) -> set[int]:
    to_disable = [webhook for webhook in webhooks if webhook.error_action == ErrorAction.DISABLE]
    for webhook in to_disable:
        lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=now)
    return {webhook.pk for webhook in to_disable}


def _mail(incident: Incident) -> EmailMessage | None:
    """Return the mail for an incident; None without contacts."""
    webhook = incident.webhook
    try:
        recipients = contacts_of(webhook)
        values = {
            "name": webhook.name,
            "organization": webhook.organization,
            "type": incident.event_type,
            "event": incident.event_id,
            "message": incident.message,
        }
    except Exception:
        logger.exception("The contacts of webhook=%s could not be read.", webhook.pk)
        return None
    if not recipients:
        logger.warning("webhook=%s has the error action 'notify' and no contacts", webhook.pk)
        return None
    # Without the name, which is the customer's own text: the contacts may be strangers.
    subject = _("A webhook of %(organization)s could not be delivered") % values
    body = _(
        "An event could not be delivered to the webhook %(name)s of %(organization)s:\n\n"
        "Event: %(type)s %(event)s\nLast result: %(message)s\n\n"
        "You get no further message until a delivery to this webhook succeeds. The delivery log shows every attempt; "
        "you can send missed events again from there.\n"
    )
    # On one line: a line break in the organization's name must not become a header.
    line = " ".join(subject.split())[:LONGEST_SUBJECT]
    return EmailMessage(line, body % values, to=recipients)


def _send(mails: Sequence[EmailMessage]) -> None:
    try:
        for mail in mails:
            try:
                mail.send()
            except Exception:
                logger.exception("A notification could not be sent: %s", mail.subject)
    finally:
        # The mail backend may write to the database; only this thread uses its connections.
        connections.close_all()
