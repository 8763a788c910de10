"""What the tests of bulk operations share."""

import pytest

from tests.integration.capture.workshops import WorkshopSource
from tests.outbox import prune_events
from tests.testapp.models import Workshop
from tms_webhooks.capture import captured_rows, replaced_methods


@pytest.fixture
def workshops(listen, organization):
    """Five workshops that are listened to, with 0 to 4 seats, without any event yet."""
    listen(WorkshopSource, Workshop)
    made = [Workshop.objects.create(organization=organization, title=f"W{seats}", seats=seats) for seats in range(5)]
    prune_events()
    return made


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of two, so that five rows are three of them."""
    for module in (replaced_methods, captured_rows):
        monkeypatch.setattr(module, "CHUNK", 2)


@pytest.fixture
def steps(recorded):
    """Return the type, the title and the old values of each event."""
    return lambda: [(event["type"], event["data"]["title"], event["previous"]) for event in recorded()]
