"""What a webhook's error action asks for when a delivery is given up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Thread

from django.core.mail import EmailMessage
from django.db import connections, router, transaction
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from tms_webhooks import signals
from tms_webhooks.choices import DisabledReason, ErrorAction
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Delivery, Webhook

# How long deliveries wait, in seconds, for a mail server that does not answer.
MAIL_TIMEOUT = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GivenUpDelivery:
    """A delivery that will not be tried again: ``event_id`` is the public one, ``message`` says what came last."""

    delivery_id: int
    webhook_id: int
    event_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Incident:
    """What a person is written about."""

    webhook: Webhook
    event_id: str
    event_type: str
    message: str


def notify_given_up(given_up: Sequence[GivenUpDelivery], *, now: datetime) -> set[int]:
    """Do what the webhooks of these deliveries ask for; return those that are disabled by it.

    Call it in the transaction that gives the deliveries up. Mail is sent when that is committed.
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
        _announce(incident, now=now)
    to_mail = [incident for incident in incidents if _asks_for_mail(incident.webhook, now)]
    if to_mail:
        using = router.db_for_write(Webhook)
        transaction.on_commit(lambda: post(to_mail), using=using, robust=True)
    return _disable({incident.webhook for incident in incidents}, now=now)


def contacts_of(webhook: Webhook) -> list[str]:
    """Return whom to write to: the webhook's own contacts, or those that the host's function names."""
    own = [line.strip() for line in webhook.contacts.splitlines() if line.strip()]
    if own or not app_settings.CONTACTS:
        return own
    find: Callable[[object], Sequence[str]] = import_string(app_settings.CONTACTS)
    return list(find(webhook.organization))


def post(incidents: Sequence[Incident]) -> None:
    """Write to the contacts of each webhook. Never raises: what can't be sent is logged.

    It is sent from a thread, so that a mail server that hangs holds deliveries back for a moment only.
    """
    letters = [letter for incident in incidents if (letter := _message(incident)) is not None]
    if letters:
        thread = Thread(target=_send, args=(letters,), name="webhook-mail", daemon=True)
        thread.start()
        thread.join(MAIL_TIMEOUT)


def _announce(incident: Incident, *, now: datetime) -> None:
    webhook = incident.webhook
    logger.warning("given up event=%s webhook=%s: %s", incident.event_id, webhook.pk, incident.message)
    signals.webhook_exhausted.emit(
        Webhook,
        webhook=webhook,
        event_id=incident.event_id,
        event_type=incident.event_type,
        message=incident.message,
        now=now,
    )


def _asks_for_mail(webhook: Webhook, now: datetime) -> bool:
    """Return whether somebody is to be told and nobody was since the webhook last worked; note that somebody is now."""
    if webhook.error_action != ErrorAction.NOTIFY:
        return False
    return bool(Webhook.objects.filter(pk=webhook.pk, notified_at__isnull=True).update(notified_at=now))


def _disable(webhooks: set[Webhook], *, now: datetime) -> set[int]:
    to_disable = [webhook for webhook in webhooks if webhook.error_action == ErrorAction.DISABLE]
    for webhook in to_disable:
        lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=now)
    return {webhook.pk for webhook in to_disable}


def _message(incident: Incident) -> EmailMessage | None:
    webhook = incident.webhook
    try:
        recipients = contacts_of(webhook)
        facts = {
            "name": webhook.name,
            "organization": webhook.organization,
            "type": incident.event_type,
            "event": incident.event_id,
            "message": incident.message,
        }
    except Exception:
        logger.exception("The contacts of webhook=%s could not be found.", webhook.pk)
        return None
    if not recipients:
        logger.warning("webhook=%s asks for a notification and has no contacts", webhook.pk)
        return None
    subject = _("Webhook %(name)s could not be delivered") % facts
    body = _(
        "The webhook %(name)s of %(organization)s was given up on an event:\n\n"
        "Event: %(type)s %(event)s\nLast answer: %(message)s\n\n"
        "You get no further message until the webhook has worked again. The delivery log shows every attempt; "
        "what was missed can be sent again from there.\n"
    )
    # One line: a name that somebody typed with a line break in it must not be taken for a header.
    return EmailMessage(" ".join(subject.split()), body % facts, to=recipients)


def _send(letters: Sequence[EmailMessage]) -> None:
    try:
        for letter in letters:
            try:
                letter.send()
            except Exception:
                logger.exception("A notification could not be sent: %s", letter.subject)
    finally:
        # A backend may keep letters in the database; this thread's connections are nobody else's.
        connections.close_all()
