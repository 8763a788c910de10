"""What a webhook's error action asks for when a delivery is given up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from django.core.mail import send_mail
from django.db import router, transaction
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from tms_webhooks import signals
from tms_webhooks.choices import DisabledReason, ErrorAction
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import health
from tms_webhooks.delivery.send import Result
from tms_webhooks.models import Delivery, Webhook

logger = logging.getLogger(__name__)


def raise_for(given_up: Sequence[Result], *, now: datetime) -> None:
    """Do what the webhooks of these results ask for. Call it in the transaction that gives the deliveries up."""
    if not given_up:
        return
    webhooks = Webhook.objects.in_bulk({result.parcel.webhook_id for result in given_up})
    for result in given_up:
        webhook = webhooks.get(result.parcel.webhook_id)
        if webhook is not None and not result.parcel.single:
            _act(webhook, result, now=now)


def contacts_of(webhook: Webhook) -> list[str]:
    """Return whom to write to: the webhook's own contacts, or those that the host's function names."""
    own = [line.strip() for line in webhook.contacts.splitlines() if line.strip()]
    if own or not app_settings.CONTACTS:
        return own
    find: Callable[[object], Sequence[str]] = import_string(app_settings.CONTACTS)
    return list(find(webhook.organization))


def _act(webhook: Webhook, result: Result, *, now: datetime) -> None:
    event_id, message = result.parcel.event_id, result.outcome.message
    logger.warning(
        "given up event=%s delivery=%s webhook=%s: %s", event_id, result.parcel.delivery_id, webhook.pk, message
    )
    event_type = Delivery.objects.filter(pk=result.parcel.delivery_id).values_list("event__type", flat=True).get()
    signals.webhook_exhausted.send_robust(
        Webhook, webhook=webhook, event_id=event_id, event_type=event_type, message=message, now=now
    )
    if webhook.error_action == ErrorAction.DISABLE:
        health.disable(webhook, reason=DisabledReason.FAILING, now=now)
    elif webhook.error_action == ErrorAction.NOTIFY and _first_of_incident(webhook, now):
        transaction.on_commit(
            lambda: _send_mail(webhook, event_id, event_type, message),
            using=router.db_for_write(Webhook),
            robust=True,
        )


def _first_of_incident(webhook: Webhook, now: datetime) -> bool:
    """Return whether nobody was told yet since the webhook last worked, and note that somebody is now."""
    return bool(Webhook.objects.filter(pk=webhook.pk, notified_at__isnull=True).update(notified_at=now))


def _send_mail(webhook: Webhook, event_id: str, event_type: str, message: str) -> None:
    recipients = contacts_of(webhook)
    if not recipients:
        logger.warning("webhook=%s asks for a notification and has no contacts", webhook.pk)
        return
    send_mail(
        _("Webhook %(name)s could not be delivered") % {"name": webhook.name},
        _(
            "The webhook %(name)s of %(organization)s was given up on an event:\n\n"
            "Event: %(type)s %(event)s\nLast answer: %(message)s\n\n"
            "You get no further message until the webhook has worked again. The delivery log shows every attempt; "
            "what was missed can be sent again from there.\n"
        )
        % {
            "name": webhook.name,
            "organization": webhook.organization,
            "type": event_type,
            "event": event_id,
            "message": message,
        },
        None,
        recipients,
    )
