"""Keys, users, statuses and inheritance of another host: each change is recorded once, with the host's own keys."""

from __future__ import annotations

import uuid

import pytest

from tests.hosts.models import Meetup, PastMeetup, Place, Topic
from tests.outbox import prune_events
from tms_webhooks import catalogue

CANCEL = {
    "save": lambda meetup: (setattr(meetup, "state", "off"), meetup.save()),
    "named fields": lambda meetup: (setattr(meetup, "state", "off"), meetup.save(update_fields=["state"])),
    "update": lambda meetup: Meetup.objects.filter(pk=meetup.pk).update(state="off"),
    "bulk_update": lambda meetup: (setattr(meetup, "state", "off"), Meetup.objects.bulk_update([meetup], ["state"])),
    "update_or_create": lambda meetup: Meetup.objects.update_or_create(pk=meetup.pk, defaults={"state": "off"}),
    "proxy": lambda _meetup: PastMeetup.objects.get().call_off(),
    "update of a proxy": lambda meetup: PastMeetup.objects.update(state="off"),
}


@pytest.mark.parametrize("cancel", CANCEL.values(), ids=CANCEL)
def test_a_status_in_a_word_is_recorded_once_as_the_training_systems(meetup, recorded, cancel):
    cancel(meetup)

    (event,) = recorded()
    catalogue.get(event["type"]).validate(event)
    assert (event["type"], event["data"]["status"]) == ("class.cancelled", {"code": 2, "name": "Cancelled"})
    assert event["previous"] == {"status": {"code": 0, "name": "Scheduled"}}


WRITE_TOPIC = {
    "save": lambda meetup, topic: (setattr(meetup, "topic", topic), meetup.save()),
    "update": lambda meetup, topic: Meetup.objects.filter(pk=meetup.pk).update(topic=topic),
    "bulk_update": lambda meetup, topic: (
        setattr(meetup, "topic", topic),
        Meetup.objects.bulk_update([meetup], ["topic"]),
    ),
}


@pytest.mark.parametrize("write", WRITE_TOPIC.values(), ids=WRITE_TOPIC)
def test_a_field_of_the_hosts_own_has_the_old_value_behind_a_uuid(meetup, recorded, write):
    write(meetup, Topic.objects.create(name="Python"))

    (event,) = recorded()
    catalogue.get(event["type"]).validate(event)
    assert (event["type"], event["data"]["custom"]) == ("class.updated", {"subject": "Python"})
    assert "custom.subject" in event["changed"]
    assert event["previous"]["custom"] == {"subject": "Azure"}


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


def test_a_foreign_key_to_the_user_model_leads_to_the_learner(meetup, member, recorded):
    place = Place.objects.create(meetup=meetup, member=member)
    place.state = "enrolled"
    place.save()

    requested, enrolled = recorded()
    assert (requested["type"], enrolled["type"]) == ("enrollment.requested", "enrollment.enrolled")
    assert enrolled["data"]["user"]["id"] == str(member.pk)
    assert (enrolled["data"]["user"]["first_name"], enrolled["data"]["class"]["name"]) == ("Alice", "Azure, mornings")


def test_a_lead_who_goes_changes_the_class_they_leave(meetup, member, recorded):
    Meetup.objects.update(lead=member)
    prune_events()
    member.delete()

    assert sorted(event["type"] for event in recorded()) == ["class.updated", "user.deleted"]


def test_a_key_that_is_made_before_the_row_is_a_new_object(tenant, recorded):
    key = uuid.uuid4()
    Meetup(pk=key, tenant=tenant, topic=Topic.objects.create(name="Go"), title="Go").save()

    (event,) = recorded()
    assert (event["type"], event["data"]["id"], event["previous"]) == ("class.scheduled", str(key), {})
