"""Fixtures of the tests of pruning."""

import pytest

from tests.factories import WebhookFactory


@pytest.fixture
def webhook():
    return WebhookFactory()
