"""Signals of the app. Receivers get keyword arguments only. Errors of receivers are logged and not raised."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.db import models, router, transaction
from django.dispatch import Signal

logger = logging.getLogger(__name__)


class TransactionSignal(Signal):
    """A signal that tells of a change from inside the transaction of that change."""

    first: Callable[..., None] | None = None
    """What the app itself makes of it. Called before the receivers, whose mistakes are not to take it back."""

    def emit(self, sender: type[models.Model], *, using: str | None = None, **facts: Any) -> None:
        """Send it in a savepoint: a receiver whose query fails must not end the transaction of what it is told."""
        using = using or router.db_for_write(sender)
        if self.first is not None:
            self._call(sender, self.first, using=using, facts=facts)
        if self.has_listeners(sender):
            self._call(sender, partial(self.send_robust, sender), using=using, facts=facts)

    def _call(
        self, sender: type[models.Model], call: Callable[..., object], *, using: str, facts: Mapping[str, Any]
    ) -> None:
        try:
            with transaction.atomic(using=using):
                call(**facts)
        except Exception:
            logger.exception("A receiver of a signal about a %s failed, or broke its savepoint.", sender.__name__)


event_recorded = TransactionSignal()
"""An event was written to the outbox, in the host's own transaction. Sent with ``event``."""

attempt_recorded = Signal()
"""An attempt was recorded. Sent with ``delivery_id``, ``event_id``, ``webhook_id``, ``number``,
``started_at``, ``seconds`` (its duration), ``status_code`` (None without an answer), ``error_class`` (empty after
success) and ``next_delay`` (seconds to the next attempt, or None). It is not sent for late attempts of a worker that lost
its lease."""

delivery_finished = Signal()
"""A delivery reached a final state. Sent with ``delivery_id``, ``event_id``, ``webhook_id`` and ``status``."""

webhook_failing = TransactionSignal()
"""A webhook is on its way to being disabled. Sent with ``webhook``, ``percent`` and ``now``."""

webhook_disabled = TransactionSignal()
"""A webhook was disabled. Sent with ``webhook``, ``reason`` and ``now``."""

webhook_recovered = TransactionSignal()
"""A paused webhook had a success, or a webhook was enabled again. Sent with ``webhook`` and ``now``."""

webhook_exhausted = TransactionSignal()
"""A delivery was given up. Sent with ``webhook``, ``event_id``, ``event_type``, ``message`` and ``now``."""

webhook_secret_rotated = TransactionSignal()
"""A webhook got a new secret. Sent with ``webhook`` and ``now``."""
