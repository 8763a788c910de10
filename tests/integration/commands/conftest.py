"""Fixtures of the commands."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tms_webhooks.models import DrainSlot


@pytest.fixture
def worker(db):
    """A drain that runs."""
    now = timezone.now()
    assert DrainSlot.objects.take(10_001, owner="here", now=now, until=now + timedelta(seconds=30))
