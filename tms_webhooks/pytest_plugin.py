"""Fixtures for the tests of a host project; pytest finds them if this package is installed.

Nothing of Django is imported before a test requests one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tms_webhooks.testing import CapturedEvents, DeliverWebhooks, WebhookReceiver

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
def deliver_webhooks() -> DeliverWebhooks:
    """A function that delivers until nothing is due, without a worker."""
    from tms_webhooks.testing import deliver_now

    return deliver_now


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give the database to tests that request one of these fixtures, if pytest-django is in use.

    Done with a mark: pytest-django creates the test databases before the first test, for marked tests only. A fixture
    that requested the database later would get the real one. The mark names the database of the events, too.
    """
    if not config.pluginmanager.hasplugin("django"):
        return
    unmarked = [
        item
        for item in items
        if FIXTURES & (requested := set(getattr(item, "fixturenames", ())))
        and not DATABASE_FIXTURES & requested
        and item.get_closest_marker("django_db") is None
    ]
    if unmarked:
        from django.db import DEFAULT_DB_ALIAS, router

        from tms_webhooks.models import Event

        mark = pytest.mark.django_db(databases=sorted({DEFAULT_DB_ALIAS, router.db_for_write(Event)}))
        for item in unmarked:
            item.add_marker(mark)
