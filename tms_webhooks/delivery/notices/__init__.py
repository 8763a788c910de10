"""Notify people of webhooks that fail, are disabled or recover: by mail, Slack and Teams, in one digest per organization.

The sweep calls `notify` once a minute. `add_recipients` has those notified, too, whose addresses are added during an outage.
Only processes that notify import the other modules of this package.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import router
from django.db.models import Value

from tms_webhooks.conf import app_settings
from tms_webhooks.db import clock as database_clock
from tms_webhooks.models import DrainSlot, Notification, NotificationAddresses, Webhook

if TYPE_CHECKING:
    from tms_webhooks.delivery.background import Run

__all__ = ["add_recipients", "notify"]


def notify(clock: Callable[[], datetime], *, run: Run | None = None) -> None:
    """Record the notices that are due, and send the messages that wait. Without either, it takes one query.

    A notice is recorded in the transaction that notes it on its webhook, so that two processes do not record it twice. A
    message is sent at most once: if the process is killed while it sends one, it may have arrived, and is not sent
    again. Errors are logged and not raised. ``run`` runs all that may hang: the host's function
    CONTACTS, mail servers and chats; by default in a thread.
    """
    if not app_settings.NOTIFY:
        return
    now, after = clock(), timedelta(seconds=app_settings.NOTIFY_AFTER_SECONDS)
    webhooks, has_messages = _work(now, after)
    if (webhooks or has_messages) and not DrainSlot.objects.is_own_outage(now):
        from tms_webhooks.delivery.background import one_at_a_time
        from tms_webhooks.delivery.notices import record, send

        def work() -> None:
            record.record_due(webhooks, now=clock(), after=after)
            send.send_due(clock)

        (run or one_at_a_time)(work)


def add_recipients(
    instance: Webhook | NotificationAddresses,
    *,
    raw: bool,
    created: bool,
    update_fields: Collection[str] | None,
    **_signal: object,
) -> None:
    """Notify recipients that are added, in the transaction that saves them; the next sweep sends the messages."""
    if raw or not {"contacts", "slack_url", "teams_url"}.intersection(update_fields or {"contacts"}):
        return
    from tms_webhooks.delivery.notices import record

    webhooks: Iterable[Webhook]
    if isinstance(instance, Webhook):
        # A new one has not failed.
        webhooks = [] if created else [instance]
    else:
        webhooks = Webhook.objects.existing().filter(organization=instance.organization_id).select_related("state")
        webhooks = webhooks.exclude(state__notified_of="")
    for webhook in webhooks:
        record.record_added(webhook, now=database_clock.now())


def _work(now: datetime, after: timedelta) -> tuple[list[int], bool]:
    """Return the keys of the webhooks that may be due a notice, and whether messages wait."""
    from tms_webhooks.delivery.notices import record

    using = router.db_for_write(Webhook)
    messages = Notification.objects.using(using).due(now).order_by()
    of_messages = messages.annotate(is_message=Value(1)).values_list("is_message", "pk")
    of_webhooks = [
        states.annotate(is_message=Value(0)).values_list("is_message", "pk")
        for states in record.candidates(now, after, using=using)
    ]
    rows = list(of_messages.union(*of_webhooks, all=True).order_by())
    return [pk for is_message, pk in rows if not is_message], any(is_message for is_message, _pk in rows)
