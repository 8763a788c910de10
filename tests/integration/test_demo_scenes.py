"""The scenes of the demo cause the events that its ledger expects, and no others."""

import json
from collections import Counter

import pytest

from example_project.demo import cast, day, scenes
from example_project.demo.day import Day
from example_project.demo.ledger import Ledger
from example_project.training.seed import seed
from tests.catalogue import data_fields, object_fields
from tms_webhooks import catalogue
from tms_webhooks.models import Event

PORT = 9000


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def days(ledger, settings, settings_of_app, monkeypatch):
    settings_of_app(ALLOWED_SCHEMES=["http"], UNCHECKED_HOSTS=["127.0.0.1"])
    settings.TMS_WEBHOOKS["ALLOWED_PORTS"] = [PORT]
    monkeypatch.setattr(day, "PAUSE", 0.0)
    world = seed()
    ledger.endpoints = cast.set_up(world.tenants, port=PORT)
    return [Day(ledger, tenant) for tenant in world.tenants]


@pytest.mark.parametrize(
    "names",
    [
        ("classes",),
        ("enrollments",),
        ("self_paced",),
        ("people", "undone"),
        ("results",),
        ("corrected",),
        ("accounts",),
        ("moved",),
        ("referenced",),
    ],
    ids=lambda names: names[-1],
)
def test_a_scene_causes_the_events_that_it_expects(days, ledger, names):
    for name in names:
        getattr(scenes, name)(*(days if name == "moved" else days[:1]))

    recorded = Event.objects.values_list("organization_id", "type", "subject_id")
    assert Counter(recorded) == Counter(expected.key for expected in ledger.expected)
    # Whatever happened, the data is the object and nothing else.
    for body in map(json.loads, Event.objects.values_list("body", flat=True)):
        event_type = catalogue.get(body["type"])
        assert event_type.is_removal or data_fields(body) == object_fields(event_type)
        assert ("details" in body) is bool(event_type.details)
