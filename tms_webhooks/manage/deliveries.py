"""Send one delivery again, or a waiting one now; have events that are set aside tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import router
from django.utils.translation import gettext as _

from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction, DeliveryStatus, JobKind, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import brief_write
from tms_webhooks.delivery.replay import refusal_of
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import AuditEntry, Delivery, Webhook
from tms_webhooks.models.delivery import OPEN, DeliveryQuerySet
from tms_webhooks.models.event import EventQuerySet
from tms_webhooks.outbox.record import wake_on_commit


def resend(delivery: Delivery, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Make a finished delivery due for one more attempt, to today's URL, with today's secret and the same event id.

    The attempt is also made to a disabled webhook, and does not count for the webhook's health. Raise `ReplayError`
    where `refuse_resend` does.
    """
    refuse_resend(delivery)
    taken = _("Delivery %(key)s is already being sent again.")
    _make_due(delivery, DeliveryQuerySet.reopen, AuditAction.DELIVERY_RESENT, taken, actor=actor, now=now)


def send_now(delivery: Delivery, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Have a waiting delivery attempted immediately, even if its webhook is paused or held. The attempt uses up no retry.

    If it fails, the retries follow as before. It does not count for the webhook's health. Raise `ReplayError` where
    `refuse_send_now` does.
    """
    refuse_send_now(delivery)
    taken = _("Delivery %(key)s is being sent already.")
    _make_due(delivery, DeliveryQuerySet.send_now, AuditAction.DELIVERY_SENT_NOW, taken, actor=actor, now=now)


def _make_due(
    delivery: Delivery, change: Callable[..., int], action: AuditAction, taken: str, *, actor: Actor, now: datetime
) -> None:
    """Change a delivery; raise `ReplayError` with the text ``taken`` if another request or a worker was first."""
    using = router.db_for_write(Delivery)
    with Webhook.objects.locked(delivery.webhook_id, with_state=True):
        if not change(Delivery.objects.filter(pk=delivery.pk), now=now, priority=Priority.MANUAL):
            raise ReplayError(taken % {"key": delivery.public_id})
        AuditEntry.objects.record(action, delivery, actor=actor, now=now)
        wake_on_commit(using)


def try_again(events: EventQuerySet) -> int:
    """Have those of these events that are set aside fanned out again; return their number."""
    with brief_write():
        wake_on_commit(router.db_for_write(Delivery))
        return events.put_back()


def refuse_send_now(delivery: Delivery) -> None:
    """Raise `ReplayError` if a delivery can't be attempted now.

    It is finished or in flight, its webhook is deleted, disabled or pull-only, or an earlier delivery of the object
    must be sent first.
    """
    values = _words(delivery)
    if delivery.due_at is None:
        raise ReplayError(_("Delivery %(key)s is finished (%(status)s); resend it instead.") % values)
    if not is_waiting(delivery):
        raise ReplayError(_("Delivery %(key)s is being sent already.") % values)
    if refusal := refusal_of(JobKind.SEND_NOW, delivery.webhook):
        raise ReplayError(refusal)
    if delivery.webhook.ordered and delivery.order_key is not None:
        same = Delivery.objects.open().filter(webhook=delivery.webhook_id, order_key=delivery.order_key)
        if earlier := same.filter(event__lt=delivery.event_id).order_by("event").first():
            text = _("Delivery %(key)s waits for an earlier one of the same object; send %(earlier)s first.")
            raise ReplayError(text % {**values, "earlier": earlier.public_id})


def is_waiting(delivery: Delivery) -> bool:
    """Return whether a delivery waits for its next attempt, and no user is sending it now."""
    return delivery.status in OPEN and delivery.priority != Priority.MANUAL


def is_finished(delivery: Delivery) -> bool:
    """Return whether a delivery is finished, and was not merged into another that is sent instead."""
    return delivery.due_at is None and delivery.status != DeliveryStatus.MERGED


def refuse_resend(delivery: Delivery) -> None:
    """Raise `ReplayError` if a delivery can't be sent again.

    It is unfinished or merged into another, its payload or its webhook was deleted, or its webhook is pull-only. Or its
    event is of an organization that is no longer below that of the webhook.
    """
    values, event = _words(delivery), delivery.event
    if delivery.due_at is not None:
        text = _("Delivery %(key)s is %(status)s; wait until it is finished.")
        if is_waiting(delivery):
            text = _("Delivery %(key)s is %(status)s; send it now, or wait until it is finished.")
    elif delivery.status == DeliveryStatus.MERGED:
        text = _("Delivery %(key)s was merged with a later one that undid its changes; no request is needed.")
        if carrier := delivery.carrier:
            text = _("Delivery %(key)s was merged into delivery %(carrier)s; send that one again.")
            values["carrier"] = carrier.public_id
    elif delivery.webhook.pull_only:
        text = _("Delivery %(key)s can't be sent again: its webhook is pull-only. Read its feed.")
    elif not event.body:
        text = _("Delivery %(key)s: its payload is no longer kept (after %(days)s days); it can't be sent again.")
        values["days"] = str(app_settings.KEEP_PAYLOADS_DAYS)
    elif delivery.webhook.deleted_at is not None:
        text = _("Delivery %(key)s can't be sent again: its webhook was deleted.")
    elif delivery.webhook.scope.organizations(using=Webhook.objects.db).isdisjoint(
        [event.organization_id, event.learner_organization_id]
    ):
        text = _(
            "Delivery %(key)s can't be sent again: its event is of an organization that the webhook no longer includes."
        )
    else:
        return
    raise ReplayError(text % values)


def _words(delivery: Delivery) -> dict[str, str]:
    """Return what the reasons say of a delivery."""
    return {"key": delivery.public_id, "status": delivery.get_status_display().lower()}
