"""The assertion that a receiver got an event says why it did not."""

from pathlib import Path

import pytest

from example_project.training import factories
from tms_webhooks.models import Delivery
from tms_webhooks.testing import assert_not_received, assert_received, deliver_now


@pytest.fixture
def organization():
    return factories.OrganizationFactory()


def lines(receiver, event_type, **expected):
    """Return the message of the failed assertion."""
    with pytest.raises(AssertionError) as failed:
        assert_received(receiver, event_type, **expected)
    assert [entry.path for entry in failed.traceback.filter(failed)] == [Path(__file__)]
    return str(failed.value).splitlines()


def test_an_accepted_event_is_returned_whatever_its_format(webhook_receiver, organization):
    webhook_receiver.subscribe(organization, "class.*", format="skillable")
    factories.TrainingClassFactory(organization=organization).cancel()
    deliver_now()

    request = assert_received(webhook_receiver, "class.cancelled", data={"status.name": "Cancelled"})

    assert request.event["EventType"] == "class.cancelled"
    with pytest.raises(
        AssertionError, match=r"^Expected no class\.cancelled at the receiver, got 1: class\.cancelled\.$"
    ):
        assert_not_received(webhook_receiver, "class.cancelled")
    with pytest.raises(
        AssertionError, match=r"^Expected no events at the receiver, got 2: class\.scheduled, class\.cancelled"
    ):
        assert_not_received(webhook_receiver)
    assert_not_received(webhook_receiver, "class.completed")


def test_other_values_are_shown(webhook_receiver, organization):
    webhook_receiver.subscribe(organization, "class.*")
    factories.TrainingClassFactory(organization=organization).cancel()
    deliver_now()

    assert lines(webhook_receiver, "class.cancelled", data={"status.name": "Completed"}) == [
        "Expected 1 event like this at the receiver, got 0.",
        "Expected: class.cancelled with data.status.name 'Completed'",
        "Accepted:",
        "  1. class.scheduled: of another type",
        "  2. class.cancelled: data.status.name is 'Cancelled', not 'Completed'",
    ]


def test_an_event_that_is_sent_again_counts_once(webhook_receiver, organization):
    webhook_receiver.subscribe(organization, "class.*", name="First")
    webhook_receiver.subscribe(organization, "class.*", name="Second")
    factories.TrainingClassFactory(organization=organization)
    deliver_now()

    assert len(webhook_receiver.requests) == 2
    assert assert_received(webhook_receiver, "class.scheduled") is webhook_receiver.accepted[0]


def test_an_event_that_was_not_sent_yet_is_said(webhook_receiver, organization):
    webhook_receiver.subscribe(organization, "class.*")
    training_class = factories.TrainingClassFactory(organization=organization)

    assert lines(webhook_receiver, "class.scheduled") == [
        "Expected 1 event like this at the receiver, got 0.",
        "Expected: class.scheduled",
        "Accepted: no events",
        f"class.scheduled of class {training_class.pk}, webhook 'Test receiver': not sent yet; call deliver_now().",
    ]


def test_a_delivery_that_failed_is_said_with_its_next_time(webhook_receiver, organization):
    webhook_receiver.subscribe(organization, "class.*")
    webhook_receiver.fail()
    training_class = factories.TrainingClassFactory(organization=organization)
    deliver_now()

    due_at = Delivery.objects.get().due_at
    assert lines(webhook_receiver, "class.scheduled")[2:] == [
        "Accepted: no events",
        "Refused: 1 request",
        f"class.scheduled of class {training_class.pk}, webhook 'Test receiver': its delivery is waiting after 1 attempt, "
        f"and due at {due_at:%Y-%m-%d %H:%M:%S} UTC: call deliver_now(now=…).",
    ]


def test_an_audience_that_leaves_the_event_out_is_said(webhook_receiver, organization, webhook_events):
    webhook_receiver.subscribe(organization, "course_assignment.*", audience="learner")
    assignment = factories.CourseAssignmentFactory(course__organization=organization, user=factories.UserFactory())
    deliver_now()

    assert lines(webhook_receiver, "course_assignment.created")[2:] == [
        "Accepted: no events",
        f"course_assignment.created of course_assignment {assignment.pk}, webhook 'Test receiver': "
        "The webhook receives events of the organization's learners. This is not one of them.",
    ]


def test_an_event_that_was_not_recorded_is_said(webhook_receiver, organization):
    webhook_receiver.subscribe(organization, "class.*")

    assert lines(webhook_receiver, "class.cancelled")[2:] == [
        "Accepted: no events",
        "No class.cancelled was recorded: no change emits it, no source of its noun is registered, or no subscription matches it.",
        "With capture_events() or the fixture webhook_events, events are recorded without a subscription.",
    ]


def test_a_receiver_without_a_webhook_is_said(webhook_receiver):
    assert lines(webhook_receiver, "class.cancelled")[-1] == (
        "The receiver has no webhook; create one with receiver.subscribe(organization, event type)."
    )


def test_no_event_is_expected_by_its_own_assertion(webhook_receiver):
    with pytest.raises(
        ValueError, match=r"^times is 0; use assert_no_event\(\) or assert_not_received\(\) to expect no event\.$"
    ):
        assert_received(webhook_receiver, "class.cancelled", times=0)
