"""Apply the error actions of webhooks whose deliveries are given up: log, signal, notify, or disable.

People are notified by `tms_webhooks.delivery.notices`, together with other changes. Also notify the admins when no encryption
key decrypts the secrets.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import router, transaction

from tms_webhooks import signals
from tms_webhooks.choices import DisabledReason, ErrorAction
from tms_webhooks.delivery import lifecycle
from tms_webhooks.delivery.background import in_background
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.monitoring.words import keys_missing

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
    """A delivery that was given up, with the data of the log and the signal."""

    webhook: Webhook
    event_id: str
    event_type: str
    message: str


def notify_given_up(given_up: Sequence[GivenUpDelivery], *, now: datetime) -> set[int]:
    """Apply the error actions of the webhooks of these deliveries; return the keys of the webhooks it disables.

    Call it in the transaction that gives the deliveries up.
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
    to_notify = {one.webhook.pk for one in incidents if one.webhook.error_action == ErrorAction.NOTIFY}
    if to_notify:
        Webhook.objects.filter(pk__in=to_notify).update(given_up_at=now, failed_at=now)
    return _disable({incident.webhook for incident in incidents}, now=now)


def notify_keys_missing(*, now: datetime) -> None:
    """Log that no encryption key decrypts the secrets of a webhook, and mail the admins, once until the keys are right.

    Call it in the transaction that holds the webhook, before it does. The fault is not the contacts' own.
    """
    if Webhook.objects.without_keys(now).exists():
        return
    logger.error(keys_missing())
    transaction.on_commit(_mail_admins, using=router.db_for_write(Webhook), robust=True)


def _mail_admins() -> None:
    if settings.ADMINS:
        # As `django.core.mail.mail_admins` addresses them.
        recipients = [admin if isinstance(admin, str) else admin[1] for admin in settings.ADMINS]
        subject = f"{settings.EMAIL_SUBJECT_PREFIX}Webhooks are held: an encryption key is missing"
        mail = EmailMessage(subject, keys_missing(), settings.SERVER_EMAIL, recipients)
        in_background(partial(_send, mail))


def _send(mail: EmailMessage) -> None:
    try:
        mail.send()
    except Exception:
        logger.exception("A mail to ADMINS could not be sent: %s", mail.subject)


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


def _disable(webhooks: set[Webhook], *, now: datetime) -> set[int]:
    to_disable = [webhook for webhook in webhooks if webhook.error_action == ErrorAction.DISABLE]
    for webhook in to_disable:
        lifecycle.disable(webhook, reason=DisabledReason.FAILING, now=now)
    return {webhook.pk for webhook in to_disable}
