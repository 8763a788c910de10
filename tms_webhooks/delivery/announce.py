"""Telling of a webhook, from inside the transaction of what is told."""

from __future__ import annotations

import logging
from typing import Any

from django.db import DatabaseError, router, transaction
from django.dispatch import Signal

from tms_webhooks.models import Webhook

logger = logging.getLogger(__name__)


def announce(signal: Signal, webhook: Webhook, **facts: Any) -> None:
    """Send a signal about a webhook. What its receivers raise is logged.

    It is sent in a savepoint: a receiver whose query fails must not end the transaction in which results are written.
    """
    try:
        with transaction.atomic(using=router.db_for_write(Webhook)):
            signal.send_robust(Webhook, webhook=webhook, **facts)
    except DatabaseError:
        logger.exception("A receiver of a signal about webhook=%s broke its savepoint.", webhook.pk)
