"""Two workers fan out events that lie between each other's, over and over: neither stands in the other's way.

One of them at a time gives numbers, so that the numbers of an object follow the keys of its events.
"""

import json
import threading
from collections import Counter

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.rows import distinct, new_event, subscribed, write_events
from tests.integration.delivery.updates import ChangingObject
from tests.threads import Lingering, several
from tms_webhooks.choices import Audience
from tms_webhooks.models import Delivery, DeliveryBody, Event, EventSequence
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import fan_out

pytestmark = [pytest.mark.django_db(transaction=True), several]

ROUNDS = 4
# A value of the host's that looks like the mark, too.
RAW = {"sequence": None, "actor": None}
UNNUMBERED_BODY = json.dumps({"id": "evt_1", **RAW, "data": {"custom": {"raw": RAW}}}, separators=(",", ":"))
EVENTS = 200


@pytest.fixture
def every_other(monkeypatch):
    """Have a worker find every other event alone: what two that begin at the same moment come to, at its worst."""
    found, mine = fanout._next_events, threading.local()
    monkeypatch.setattr(
        fanout,
        "_next_events",
        lambda limit, now: [row for row in found(2 * limit, now) if row.id % 2 == mine.rest][:limit],
    )

    def every_other(rest, now, limit):
        def work():
            mine.rest = rest
            # While the other one fans out, this one finds nothing to do.
            while any(key % 2 == rest for key in Event.objects.to_fan_out().values_list("pk", flat=True)):
                fan_out(now, limit=limit)

        return work

    return every_other


@pytest.mark.parametrize("limit", [10, EVENTS // 2], ids=["some of them", "half of all"])
def test_neither_waits_for_what_lies_between_its_own_events(clock, every_other, limit):
    above = OrganizationFactory()
    organization = OrganizationFactory(parent=above)
    # Each way by which events come to webhooks is a statement of its own, which meets the rows of the ones before it;
    # and by two ways at once they come to those above.
    subscribed(organization=above, audience=Audience.BOTH, include_children=True, delay_seconds=30)
    for values in ({"delay_seconds": 30}, {"audience": Audience.BOTH}, {"ordered": True}, {"delay_seconds": 60}):
        subscribed(organization=organization, **values)
    subscribed(organization=organization).subscriptions.update(condition={"data.name": "Zoë's class"})
    lingering = Lingering(0.001)

    for _ in range(ROUNDS):
        write_events(organization, EVENTS)
        Event.objects.filter(fanned_out_at=None).update(learner_organization=organization)
        assert lingering.at_once(*[every_other(rest, clock.now, limit) for rest in (0, 1)]) == []

    assert not Event.objects.filter(fanned_out_at=None).exists()
    pairs = Counter(Delivery.objects.values_list("event_id", "webhook_id"))
    assert (len(pairs), set(pairs.values())) == (6 * ROUNDS * EVENTS, {1})


def test_neither_waits_for_what_the_other_found_to_be_the_first_of_its_kind(clock, every_other):
    organization = OrganizationFactory()
    subscribed(organization=organization).subscriptions.update(filters={"first_occurrence": True})
    lingering = Lingering(0.001)

    for number in range(ROUNDS):
        # One worker gets events of the same objects as the other, in the opposite order.
        objects = [f"{number}-{place}" for place in range(EVENTS)]
        events = [new_event(organization) for _ in range(2 * EVENTS)]
        for rest, in_order in enumerate((objects, objects[::-1])):
            for event, subject_id in zip(events[rest::2], in_order, strict=True):
                event.subject_id, event.sequence = subject_id, rest + 1
        Event.objects.bulk_create(events)
        assert lingering.at_once(*[every_other(rest, clock.now, EVENTS) for rest in (0, 1)]) == []

    assert Delivery.objects.count() == ROUNDS * EVENTS


def test_together_they_lose_no_change_of_an_object_with_a_quiet_period(clock, every_other):
    organization = OrganizationFactory()
    subscribed(organization=organization, events=["user.*"]).subscriptions.update(quiet_seconds=60)
    users = [ChangingObject(organization, str(number)) for number in range(EVENTS // 4)]
    lingering = Lingering(0.001)

    for city in ("Utrecht", "Leiden", "Delft"):
        for user in users:
            for values in ({"city": f"{city} 1"}, {"city": city, "phone": user.values["phone"] + "1"}):
                event = user.update(**values)
                # The events of one object are fanned out in their order, because they get their numbers in it.
                event.body = event.body.replace(f'"sequence":{event.sequence},', '"sequence":null,', 1)
                event.sequence = None
                event.save()
        assert lingering.at_once(*[every_other(rest, clock.now, 10) for rest in (0, 1)]) == []

    carriers = Delivery.objects.open()
    merged = map(json.loads, DeliveryBody.objects.values_list("merged", flat=True))
    assert (carriers.count(), Delivery.objects.count()) == (len(users), 6 * len(users))
    assert [(body["data"]["city"], body["previous"]) for body in merged] == [
        ("Delft", {"phone": "1", "city": "Amsterdam"})
    ] * len(users)
    assert distinct(carriers, "event__sequence") == {6}


def test_together_they_number_the_events_of_each_object_in_the_order_of_their_keys(clock, every_other):
    organizations = OrganizationFactory.create_batch(2)
    objects = [str(number) for number in range(EVENTS // 10)]
    lingering = Lingering(0.001)

    for number in range(ROUNDS):
        # An object that moves from one organization to the other and back.
        events = [new_event(organizations[number % 2], body=UNNUMBERED_BODY) for _object in objects for _ in range(4)]
        for position, event in enumerate(events):
            event.subject_id, event.sequence = objects[position % len(objects)], None
        Event.objects.bulk_create(events)
        assert lingering.at_once(*[every_other(rest, clock.now, 10) for rest in (0, 1)]) == []

    expected = list(range(1, 4 * ROUNDS + 1))
    for subject_id in objects:
        events = Event.objects.filter(subject_id=subject_id).order_by("pk")
        bodies = [json.loads(event.body) for event in events]
        assert [event.sequence for event in events] == [body["sequence"] for body in bodies] == expected
        assert all(body["data"]["custom"]["raw"] == RAW for body in bodies)
    assert distinct(EventSequence, "last") == {4 * ROUNDS}
