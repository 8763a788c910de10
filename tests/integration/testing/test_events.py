"""The events that a host's test captures, and the assertions about them."""

from pathlib import Path

import pytest
from django.db import transaction

from example_project.training.factories import TrainingClassFactory, UserFactory
from tests.factories import WebhookFactory
from tms_webhooks.models import Event
from tms_webhooks.testing import assert_event, assert_no_event, capture_events


def test_events_are_captured_without_a_subscription():
    training_class = TrainingClassFactory()

    with capture_events() as events:
        training_class.cancel()
        UserFactory(organization=training_class.organization)
    training_class.name = "Without a subscription"
    training_class.save()

    assert events.types == ["class.cancelled", "user.created"]
    event = assert_event(
        events,
        "class.cancelled",
        data={"id": training_class.pk, "status": {"name": "Cancelled"}},
        previous={"status.name": "Scheduled"},
        changed=["status"],
    )
    assert event is not events[0]
    assert (event.sequence, event.actor["kind"], event.event) == (
        1,
        "system",
        Event.objects.get(type="class.cancelled"),
    )


def test_a_rolled_back_change_emits_no_event():
    training_class = TrainingClassFactory()

    with capture_events() as events, transaction.atomic():
        training_class.cancel()
        assert events.types == ["class.cancelled"]
        transaction.set_rollback(True)

    assert len(events) == 0
    assert_no_event(events)


def test_earlier_events_are_not_captured():
    training_class = TrainingClassFactory()
    WebhookFactory(organization=training_class.organization, events=["*"])
    training_class.cancel()

    with capture_events() as events:
        pass

    assert list(events) == []


def message_lines(events, event_type, **expected):
    """Return the message of the failed assertion; pytest shows the line of the test, and none of the package."""
    with pytest.raises(AssertionError) as failed:
        assert_event(events, event_type, **expected)
    assert [entry.path for entry in failed.traceback.filter(failed)] == [Path(__file__)]
    return str(failed.value).splitlines()


def test_a_failed_assertion_shows_the_events_and_the_differences():
    training_class = TrainingClassFactory()
    with capture_events() as events:
        training_class.cancel()
        UserFactory(organization=training_class.organization)

    expected = {"data": {"status.name": "Completed", "color": 1}, "changed": ["name"]}
    assert message_lines(events, "class.cancelled", **expected) == [
        "Expected 1 event like this, got 0.",
        "Expected: class.cancelled with data.status.name 'Completed', data.color 1, changed ['name']",
        "Captured:",
        "  1. class.cancelled: data.status.name is 'Cancelled', not 'Completed'; data.color is missing, not 1; "
        "changed is ['status'], not ['name']",
        "  2. user.created: of another type",
    ]
    assert message_lines(events, "class.cancelled", previous={"status": {"name": "Scheduled"}}, times=2) == [
        "Expected 2 events like this, got 1.",
        "Expected: class.cancelled with previous.status.name 'Scheduled'",
        "Captured:",
        "  1. class.cancelled: as expected",
        "  2. user.created: of another type",
    ]
    assert message_lines([], "class.completed") == [
        "Expected 1 event like this, got 0.",
        "Expected: class.completed",
        "Captured: no events",
    ]


def test_an_event_that_is_not_expected_is_named():
    training_class = TrainingClassFactory()
    with capture_events() as events:
        training_class.cancel()

    assert_no_event(events, "class.completed")
    with pytest.raises(AssertionError, match=r"^Expected no class\.cancelled, got 1: class\.cancelled\.$"):
        assert_no_event(events, "class.cancelled")
    with pytest.raises(AssertionError, match=r"^Expected no events, got 1: class\.cancelled\.$"):
        assert_no_event(events)


def test_no_event_is_expected_by_its_own_assertion():
    with pytest.raises(
        ValueError, match=r"^times is 0; use assert_no_event\(\) or assert_not_received\(\) to expect no event\.$"
    ):
        assert_event([], "class.cancelled", times=0)
