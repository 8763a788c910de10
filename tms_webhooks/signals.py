"""The signals of this app. Receivers get keyword arguments only; their errors are logged and not raised."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.db import models, router, transaction
from django.dispatch import Signal

logger = logging.getLogger(__name__)


class TransactionSignal(Signal):
    """A signal that is sent within the transaction of the change it reports.

    What a receiver writes to the same database is committed, or rolled back, with that change.
    """

    app_receiver: Callable[..., None] | None = None
    """This app's own receiver. It is called first and in a savepoint of its own, so that other receivers can't undo it."""

    def send_in_savepoint(self, sender: type[models.Model], *, using: str | None = None, **arguments: Any) -> None:
        """Send the signal in a savepoint, so that a failed query of a receiver does not break the transaction.

        Args:
            sender: The model that changes.
            using: Alias of the database of the transaction; without it, the one that the sender is written to.
            arguments: The arguments of the receivers.
        """
        using = using or router.db_for_write(sender)
        if self.app_receiver is not None:
            self._call(sender, self.app_receiver, using=using, arguments=arguments)
        if self.has_listeners(sender):
            self._call(sender, partial(self.send_robust, sender), using=using, arguments=arguments)

    def _call(
        self, sender: type[models.Model], call: Callable[..., object], *, using: str, arguments: Mapping[str, Any]
    ) -> None:
        try:
            with transaction.atomic(using=using):
                call(**arguments)
        except Exception:
            logger.exception("A receiver of a signal about a %s failed, or broke its savepoint.", sender.__name__)


event_recorded = TransactionSignal()
"""An event was written to the outbox, in the host's transaction. Sent with ``event``, which has no ``sequence`` yet."""

attempt_recorded = Signal()
"""An attempt was recorded. Sent with:

- ``delivery_id``, ``event_id``, ``webhook_id``;
- ``number``, of the attempt, from 1;
- ``started_at`` and ``seconds``, its duration;
- ``status_code``, or None without a response;
- ``error_class``, empty after a success;
- ``next_delay``, seconds to the next attempt, or None without one.

It is not sent for an attempt whose worker lost its lease before recording it.
"""

delivery_finished = Signal()
"""A delivery reached a final state. Sent with ``delivery_id``, ``event_id``, ``webhook_id`` and ``status``."""

webhook_failing = TransactionSignal()
"""A webhook keeps failing and will be disabled. Sent with ``webhook``, ``percent`` (progress to that, 0 to 100) and ``now``."""

webhook_disabled = TransactionSignal()
"""A webhook was disabled. Sent with ``webhook``, ``reason`` and ``now``."""

webhook_recovered = TransactionSignal()
"""A paused webhook had a success, or a webhook was enabled again. Sent with ``webhook`` and ``now``."""

webhook_exhausted = TransactionSignal()
"""A delivery was given up. Sent with ``webhook``, ``event_id``, ``event_type``, ``message`` and ``now``."""

webhook_secret_rotated = TransactionSignal()
"""A webhook got a new secret. Sent with ``webhook`` and ``now``."""
