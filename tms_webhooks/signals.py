"""Signals that the app sends. Receivers get keyword arguments only; what they raise is logged and swallowed."""

from __future__ import annotations

from django.dispatch import Signal

event_recorded = Signal()
"""An event was written to the outbox, in the host's own transaction. Sent with ``event``."""

delivery_finished = Signal()
"""A delivery reached a final state. Sent with ``delivery_id``, ``event_id``, ``webhook_id`` and ``status``."""
