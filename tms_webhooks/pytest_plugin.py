"""Fixtures for the tests of a host project; pytest finds them if this package is installed.

Nothing of Django is imported before a test requests one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tms_webhooks.testing import CapturedEvents, WebhookReceiver
    from tms_webhooks.worker.drain import Tally

FIXTURES = frozenset({"webhook_events", "webhook_receiver", "deliver_webhooks"})
DATABASE_FIXTURES = frozenset({"db", "transactional_db", "live_server"})
"""Fixtures of pytest-django that already give a test the database."""


@pytest.fixture
def webhook_events() -> Iterator[CapturedEvents]:
    """The events that the test's changes emit, also without a subscription."""
    from tms_webhooks.testing import capture_events

    with capture_events() as events:
        yield events


@pytest.fixture
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """A verifying receiver on this machine; ``webhook_receiver.subscribe(organization, "class.*")`` creates a webhook."""
    from tms_webhooks.testing import WebhookReceiver

    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def deliver_webhooks() -> Callable[[], Tally]:
    """A function that delivers until nothing is due, without a worker."""
    from tms_webhooks.testing import deliver_now

    return deliver_now


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the database to tests that request one of these fixtures, if pytest-django is in use.

    Done with a mark: pytest-django creates the test databases before the first test, for marked tests only. A fixture
    that requested the database later would get the real one.
    """
    if not config.pluginmanager.hasplugin("django"):
        return
    for item in items:
        requested = set(getattr(item, "fixturenames", ()))
        if FIXTURES & requested and not DATABASE_FIXTURES & requested and item.get_closest_marker("django_db") is None:
            item.add_marker(pytest.mark.django_db)
