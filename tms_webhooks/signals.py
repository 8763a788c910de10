"""Signals that the app sends. Receivers get keyword arguments only; what they raise is logged and swallowed."""

from __future__ import annotations

from django.dispatch import Signal

event_recorded = Signal()
"""An event was written to the outbox, in the host's own transaction. Sent with ``event``."""

attempt_recorded = Signal()
"""An attempt was made and written down. Sent with ``delivery_id``, ``event_id``, ``webhook_id``, ``number``,
``started_at``, ``seconds`` (how long it took), ``status_code`` (None without an answer), ``error_class`` (empty after
success) and ``next_delay`` (seconds to the next one; None where there is none). Late ones, of a worker that had lost its
lease, are not told."""

delivery_finished = Signal()
"""A delivery reached a final state. Sent with ``delivery_id``, ``event_id``, ``webhook_id`` and ``status``."""

webhook_failing = Signal()
"""A webhook is on its way to being disabled. Sent with ``webhook``, ``percent`` and ``now``."""

webhook_disabled = Signal()
"""A webhook was disabled. Sent with ``webhook``, ``reason`` and ``now``."""

webhook_recovered = Signal()
"""A webhook that had been paused works again, or was enabled again. Sent with ``webhook`` and ``now``."""

webhook_exhausted = Signal()
"""A delivery was given up. Sent with ``webhook``, ``event_id``, ``event_type``, ``message`` and ``now``."""

webhook_secret_rotated = Signal()
"""A webhook got a new secret. Sent with ``webhook`` and ``now``."""
