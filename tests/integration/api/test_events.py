"""The catch-up feed as an integrator calls it."""

from datetime import timedelta

from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import OCCURRED_AT
from tests.integration.feed.rows import write
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, Event, FeedEnds

FEED = "/api/events/"


def ids(answer):
    return [one["id"] for one in answer.json()["results"]]


def public(events):
    return [event.public_id for event in events]


def catch_up(client, after="", **parameters):
    """Do what the documentation tells integrators to do."""
    seen = []
    while True:
        answer = client.get(FEED, {"after": after, **parameters})
        assert answer.status_code == 200, answer.content
        page = answer.json()
        seen += ids(answer)
        after = page["cursor"]
        if not page["has_more"]:
            return seen, after


def test_an_event_says_what_its_receivers_were_sent(client, acme):
    (event,) = write(acme)

    (listed,) = client.get(FEED).json()["results"]

    payload = listed.pop("payload")
    assert payload["type"] == "class.cancelled"
    assert payload["data"]["name"] == "Zoë's class"
    assert listed == {
        "id": event.public_id,
        "type": "class.cancelled",
        "version": 1,
        "occurred_at": f"{OCCURRED_AT:%Y-%m-%dT%H:%M:%SZ}",
        "organization": acme.pk,
        "subject": {"type": "class", "id": event.subject_id},
        "sequence": 1,
        "payload_state": "kept",
    }
    assert client.get(f"{FEED}{event.public_id}/").json() == {**listed, "payload": payload}


def test_who_may_not_see_payloads_sees_that_something_happened(restricted, acme):
    (event,) = write(acme)
    client = restricted("view_payload")

    for listed in (client.get(FEED).json()["results"][0], client.get(f"{FEED}{event.public_id}/").json()):
        assert (listed["id"], listed["payload_state"], listed["payload"]) == (event.public_id, "hidden", None)


def test_types_are_asked_for_by_name_and_pattern(client, acme):
    cancelled, completed, updated = write(acme, 3)
    Event.objects.filter(pk=completed.pk).update(type="class.completed")
    Event.objects.filter(pk=updated.pk).update(type="user.updated")

    assert ids(client.get(f"{FEED}?type=class.*")) == public([cancelled, completed])
    assert ids(client.get(f"{FEED}?type=class.completed&type=user.updated")) == public([completed, updated])
    assert ids(client.get(f"{FEED}?type=class.completed,user.*")) == public([completed, updated])


def test_what_a_webhook_missed_is_read_by_itself(client, acme):
    webhook = WebhookFactory(organization=acme, events=["class.*"])
    other = WebhookFactory(organization=acme, events=["class.*"])
    now = timezone.now()
    events = write(acme, 7)
    Event.objects.update(occurred_at=now + timedelta(seconds=1))
    statuses = ("delivered", "exhausted", "failed", "skipped", "cancelled", "waiting")
    for event, status in zip(events, statuses, strict=False):
        due = {"due_at": now} if status == "waiting" else {}
        Delivery.objects.create(event=event, webhook=webhook, status=status, created_at=now, **due)
        Delivery.objects.create(event=event, webhook=other, status=DeliveryStatus.DELIVERED, created_at=now)
    # The last event happened before it subscribed; an event that it doesn't want is not missed.
    unwanted = write(acme)
    Event.objects.filter(pk=unwanted[0].pk).update(type="user.updated")

    assert catch_up(client, undelivered_to=webhook.public_id, page_size=2)[0] == public(events[1:])
    assert catch_up(client, undelivered_to=other.public_id)[0] == public(events[6:])


def test_a_webhook_of_another_organization_is_no_webhook(client, stranger, acme, problem):
    webhook = WebhookFactory(organization=acme)

    there = problem(stranger.get(f"{FEED}?undelivered_to={webhook.public_id}"), "not-found")

    for asked in ("999999", "abc", "-1", "9" * 40, "٣"):
        assert problem(client.get(FEED, {"undelivered_to": asked}), "not-found") == there


def test_a_cursor_that_is_none_and_one_that_is_too_old_say_what_to_do(client, acme, problem):
    write(acme, 2)
    old = client.get(f"{FEED}?page_size=1").json()["cursor"]
    client.get(FEED)
    FeedEnds.objects.update(forgotten=2)

    def fault_of(after):
        (error,) = problem(client.get(FEED, {"after": after}), "invalid-cursor")["errors"]
        assert "egin without" in error["detail"]
        return error["code"]

    assert fault_of(old) == "expired"
    assert [fault_of(after) for after in ("garbage", "\x00", "é" * 300)] == ["malformed"] * 3


def test_a_learners_organization_reads_the_event_too(client, acme):
    (event,) = write(OrganizationFactory())
    Event.objects.update(learner_organization=acme)

    (listed,) = client.get(FEED).json()["results"]

    assert (listed["id"], listed["payload_state"]) == (event.public_id, "kept")
    assert client.get(f"{FEED}{event.public_id}/").status_code == 200
