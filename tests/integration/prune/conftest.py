"""Fixtures of the tests of pruning."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tms_webhooks.models import Webhook


@pytest.fixture
def webhook() -> Webhook:
    return WebhookFactory()
