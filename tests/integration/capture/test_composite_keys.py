"""An object whose key is a pair records events like any other."""

from __future__ import annotations

import pytest

from tests.integration.capture.workshops import WorkshopSource
from tests.testapp.models import Seat
from tms_webhooks.models import Event


@pytest.fixture(autouse=True)
def _listening(listen):
    listen(WorkshopSource, Seat)


def test_it_is_recorded_from_its_first_row_to_its_last(organization, recorded):
    seat = Seat.objects.create(row=1, number=2, organization=organization, title="By the window")
    Seat.objects.create(row=2, number=1, organization=organization, title="At the back")
    seat.title = "By the door"
    seat.save()
    seat.delete()

    of_seat = [event for event in recorded() if event["data"]["id"] == "(1, 2)"]
    assert [(event["type"], event["sequence"], event["previous"]) for event in of_seat] == [
        ("workshop.created", 1, {}),
        ("workshop.changed", 2, {"title": "By the window"}),
        ("workshop.deleted", 3, {}),
    ]
    assert Event.objects.count() == 4
