"""Keys, users, statuses and inheritance of another host: each change is recorded once, with the host's own keys."""

import pytest

from tests.hosts.models import PastMeetup
from tms_webhooks import catalogue


@pytest.mark.parametrize(
    "cancel", [lambda: PastMeetup.objects.get().call_off(), lambda: PastMeetup.objects.update(state="off")]
)
def test_a_change_by_a_proxy_is_one_event_with_the_status_of_the_training_system(meetup, recorded, cancel):
    cancel()

    (event,) = recorded()
    catalogue.get(event["type"]).validate(event)
    assert (event["type"], event["data"]["status"]) == ("class.cancelled", {"code": 2, "name": "Cancelled"})


def test_keys_are_uuids_in_the_envelope_and_in_the_data(meetup, member, recorded):
    meetup.lead = member
    meetup.save()

    (event,) = recorded()
    assert event["data"]["id"] == str(meetup.pk)
    assert event["organization"]["id"] == str(meetup.tenant_id)
    assert event["data"]["instructor"]["id"] == str(member.pk)
    assert event["data"]["course"]["id"] == str(meetup.topic_id)
    assert (event["changed"], event["previous"]) == (["instructor.id"], {"instructor": {"id": None}})


def test_a_user_model_of_the_hosts_own(member, recorded):
    member.given_name = "Alicia"
    member.save()
    member.set_password("s3cret")
    member.save()
    member.locked = True
    member.save()
    key = str(member.pk)
    member.delete()

    assert [event["type"] for event in recorded()] == [
        "user.updated",
        "user.deactivated",
        "user.deleted",
    ]
    assert recorded()[0]["previous"] == {"first_name": "Alice"}
    assert {event["data"]["id"] for event in recorded()} == {key}


def test_a_class_that_is_deleted_ends_the_enrollments_of_its_learners_only(meetup, participant, trainer, recorded):
    meetup.delete()

    assert sorted(event["type"] for event in recorded()) == ["class.deleted", "enrollment.deleted"]
