"""Fixtures of the tests of a webhook's health, order and rate, and of sending again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import Clock
from tests.integration.delivery.conftest import run, wire, worker
from tests.integration.delivery.rows import write_delivery
from tms_webhooks import signals
from tms_webhooks.models import Delivery, Webhook

__all__ = ["run", "wire", "worker"]

SIGNALS = {
    "failing": signals.webhook_failing,
    "disabled": signals.webhook_disabled,
    "recovered": signals.webhook_recovered,
    "exhausted": signals.webhook_exhausted,
}


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What the signals about webhooks have told: their names, with what was sent."""
    told: list[tuple[str, dict[str, Any]]] = []

    def listen(name: str) -> Callable[..., None]:
        return lambda sender, signal, **facts: told.append((name, facts))

    receivers = {name: listen(name) for name in SIGNALS}
    for name, receiver in receivers.items():
        SIGNALS[name].connect(receiver, sender=Webhook)
    yield told
    for name, receiver in receivers.items():
        SIGNALS[name].disconnect(receiver, sender=Webhook)


@pytest.fixture
def backlog(clock: Clock) -> Callable[..., list[Delivery]]:
    """Make so many deliveries that are due."""

    def backlog(webhook: Webhook, number: int, **values: Any) -> list[Delivery]:
        return [write_delivery(webhook, now=clock.now, **values) for _ in range(number)]

    return backlog


@pytest.fixture
def settings_of_app(settings) -> Callable[..., None]:
    """Change settings of the app."""

    def change(**values: Any) -> None:
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, **values}

    return change
