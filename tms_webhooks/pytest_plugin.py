"""Fixtures for the tests of a host project; pytest finds them by itself where this package is installed.

Nothing of Django is imported before a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tms_webhooks.testing import CapturedEvents, WebhookReceiver
    from tms_webhooks.worker.drain import Tally

FIXTURES = frozenset({"webhook_events", "webhook_receiver", "deliver_webhooks"})
GIVES_DATABASE = frozenset({"db", "transactional_db", "live_server"})


@pytest.fixture
def webhook_events() -> Iterator[CapturedEvents]:
    """The events that the test's changes tell, also those that nobody subscribes to."""
    from tms_webhooks.testing import capture_events

    with capture_events() as events:
        yield events


@pytest.fixture
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """A receiver on this machine that verifies; ``webhook_receiver.subscribe(organization, "class.*")`` makes a webhook."""
    from tms_webhooks.testing import WebhookReceiver

    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def deliver_webhooks() -> Callable[[], Tally]:
    """Deliver what is due, now, without a worker."""
    from tms_webhooks.testing import deliver_now

    return deliver_now


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests that ask for one of these fixtures have the database, where pytest-django guards it.

    By a mark: pytest-django makes test databases only for the tests that it knows of before the first one runs, and
    would let a fixture that asks later have the real one.
    """
    if not config.pluginmanager.hasplugin("django"):
        return
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if FIXTURES & asked and not GIVES_DATABASE & asked and item.get_closest_marker("django_db") is None:
            item.add_marker(pytest.mark.django_db)
