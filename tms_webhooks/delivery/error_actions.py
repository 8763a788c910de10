"""Apply the error actions of webhooks whose deliveries are given up: log, signal, notify, or disable.

People are notified by `tms_webhooks.delivery.notices`, together with other changes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tms_webhooks import signals
from tms_webhooks.choices import DisabledReason, ErrorAction
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Delivery, Webhook, WebhookState

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GivenUpDelivery:
    """A delivery that gets no further attempt. ``event_id`` is the public id; ``message`` describes the last result."""

    delivery_id: int
    webhook_id: int
    event_id: str
    message: str


def apply(given_up: Sequence[GivenUpDelivery], *, now: datetime) -> set[int]:
    """Apply the error actions of the webhooks of these deliveries; return the keys of the webhooks it disables.

    Call it in the transaction that gives the deliveries up, with the webhooks and their states locked.
    """
    if not given_up:
        return set()
    webhooks = Webhook.objects.existing().in_bulk({delivery.webhook_id for delivery in given_up})
    rows = Delivery.objects.among(delivery.delivery_id for delivery in given_up)
    event_types = dict(rows.values_list("pk", "event__type"))
    affected: dict[int, Webhook] = {}
    for delivery in given_up:
        webhook, event_type = webhooks.get(delivery.webhook_id), event_types.get(delivery.delivery_id)
        if webhook is None or event_type is None:
            continue
        affected[webhook.pk] = webhook
        logger.warning("given up event=%s webhook=%s: %s", delivery.event_id, webhook.pk, delivery.message)
        signals.webhook_exhausted.send_in_savepoint(
            Webhook,
            webhook=webhook,
            event_id=delivery.event_id,
            event_type=event_type,
            message=delivery.message,
            now=now,
        )
    to_notify = [pk for pk, webhook in affected.items() if webhook.error_action == ErrorAction.NOTIFY]
    if to_notify:
        WebhookState.objects.filter(pk__in=to_notify).update(given_up_at=now, failed_at=now)
    to_disable = {pk for pk, webhook in affected.items() if webhook.error_action == ErrorAction.DISABLE}
    for pk in to_disable:
        lifecycle.disable(affected[pk], reason=DisabledReason.FAILING, now=now)
    return to_disable
