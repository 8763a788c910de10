"""Emits the events about webhooks themselves, to the organization's other webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tms_webhooks import event_names, signals
from tms_webhooks.catalogue.values import instant
from tms_webhooks.models import Webhook
from tms_webhooks.outbox.emit import emit
from tms_webhooks.signals import TransactionSignal


def connect() -> None:
    """Turn the signals about webhooks into events. Idempotent."""
    for signal, receiver in _RECEIVERS.items():
        signal.app_receiver = receiver


def emit_failing(*, webhook: Webhook, percent: int, **_kwargs: Any) -> None:
    """Record ``webhook.failing``."""
    failing_since = webhook.state.failing_since
    since = None if failing_since is None else instant(failing_since)
    _emit("webhook.failing", webhook, percent=percent, failures=webhook.state.failures, first_failed_at=since)


def emit_disabled(*, webhook: Webhook, reason: str, **_kwargs: Any) -> None:
    """Record ``webhook.disabled``."""
    _emit("webhook.disabled", webhook, reason=str(reason))


def emit_recovered(*, webhook: Webhook, **_kwargs: Any) -> None:
    """Record ``webhook.recovered``."""
    _emit("webhook.recovered", webhook)


def emit_exhausted(*, webhook: Webhook, event_id: str, event_type: str, message: str, **_kwargs: Any) -> None:
    """Record ``webhook.exhausted``, except for an event about a webhook.

    Otherwise two broken webhooks would emit events about each other without end.
    """
    if not event_names.is_operational(event_type):
        _emit("webhook.exhausted", webhook, event_id=event_id, event_type=event_type, message=message)


def emit_secret_rotated(*, webhook: Webhook, **_kwargs: Any) -> None:
    """Record ``webhook.secret_rotated``."""
    _emit("webhook.secret_rotated", webhook)


def _emit(name: str, webhook: Webhook, /, **facts: Any) -> None:
    data = {"id": webhook.public_id, "name": webhook.name, **facts}
    emit(name, webhook, data=data, organization=webhook.organization)


_RECEIVERS: dict[TransactionSignal, Callable[..., None]] = {
    signals.webhook_failing: emit_failing,
    signals.webhook_disabled: emit_disabled,
    signals.webhook_recovered: emit_recovered,
    signals.webhook_exhausted: emit_exhausted,
    signals.webhook_secret_rotated: emit_secret_rotated,
}
