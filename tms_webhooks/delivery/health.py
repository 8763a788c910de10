"""What attempts say about a webhook as a whole."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from tms_webhooks.delivery.send import Result
from tms_webhooks.models import Delivery, Webhook

logger = logging.getLogger(__name__)


def judge(results: Sequence[Result], *, now: datetime) -> None:
    """Disable the webhooks whose receivers asked for it: by 410, or by their response header."""
    for result in results:
        if result.outcome.disable is not None:
            webhook = Webhook.objects.filter(pk=result.parcel.webhook_id).first()
            if webhook is not None:
                disable(webhook, reason=result.outcome.disable, now=now)


def disable(webhook: Webhook, *, reason: str, now: datetime) -> None:
    """Disable a webhook, and keep what waits for it as skipped deliveries, for a later replay."""
    if not webhook.disable(reason=reason, now=now):
        return
    skipped = Delivery.objects.filter(webhook=webhook).skip(now=now)
    logger.warning("disabled webhook=%s reason=%s skipped=%s", webhook.pk, reason, skipped)
