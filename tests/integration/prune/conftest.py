"""Fixtures of the tests of pruning."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory


@pytest.fixture
def webhook():
    return WebhookFactory()
