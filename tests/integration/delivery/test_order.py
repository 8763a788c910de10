"""An ordered webhook gets the events of each object one after the other, and one request at a time."""

from datetime import timedelta

import pytest

from tests.integration.delivery.objects import happen
from tests.integration.delivery.rows import distinct, stored, subscribed, write
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture
def ordered(clock):
    """Make an ordered webhook, and deliveries of events of these objects."""

    def ordered(*subjects, **fields):
        webhook = subscribed(**{"ordered": True, **fields})
        for subject in subjects:
            happen(webhook.organization, subject)
        fan_out(clock.now)
        return list(webhook.deliveries.order_by("event_id"))

    return ordered


def keys(requests):
    return [request.delivery_id for request in requests]


def test_one_is_under_way_at_a_time_whatever_the_object_and_the_cap(ordered, alice, bob):
    first, second, _third = ordered("a", "b", "c", max_in_flight=10)
    (request,) = alice.claim()
    assert request.delivery_id == first.pk
    assert (alice.claim(), bob.claim()) == ([], [])

    alice.write(alice.send(request))

    assert keys(bob.claim()) == [second.pk]


def test_a_later_event_waits_for_the_retry_of_an_earlier_one_and_other_objects_overtake(ordered, alice, wire, clock):
    a1, a2, b1, a3, b2 = ordered("a", "a", "b", "a", "b")
    wire.answers = [500]
    assert keys(alice.work()) == [a1.pk]

    assert keys(alice.work()) == [b1.pk]
    assert keys(alice.work()) == [b2.pk]
    assert alice.work() == []
    clock.advance(seconds=5)
    assert [keys(alice.work()) for _ in range(3)] == [[a1.pk], [a2.pk], [a3.pk]]


@pytest.mark.parametrize(
    "status, is_open",
    [
        *((status, True) for status in ("pending", "waiting")),
        *((status, False) for status in ("delivered", "exhausted", "failed", "skipped", "cancelled")),
    ],
)
def test_an_earlier_one_holds_the_later_ones_back_while_it_is_open(ordered, alice, clock, status, is_open):
    first, second = ordered("a", "a")
    write(first, status=status, due_at=clock.now + timedelta(hours=1) if is_open else None)

    assert keys(alice.claim()) == ([] if is_open else [second.pk])


def test_what_is_due_first_does_not_overtake_what_happened_first(ordered, alice, clock):
    first, second = ordered("a", "a")
    write(second, due_at=clock.now - timedelta(hours=1))

    assert keys(alice.claim()) == [first.pk]


def test_a_later_event_waits_while_another_worker_fans_the_earlier_one_out(ordered, alice, clock):
    _first, second = ordered("a", "a")
    # As if its deliveries were made in a transaction that has not been committed yet.
    event = Event.objects.order_by("pk").first()
    Delivery.objects.filter(event=event).delete()
    write(event, fanned_out_at=None)
    assert alice.claim() == []

    fan_out(clock.now)

    (request,) = alice.claim()
    assert request.event_id == event.public_id
    assert request.delivery_id != second.pk


def test_an_earlier_event_of_another_object_that_is_not_fanned_out_holds_nothing_back(ordered, alice):
    first, second = ordered("a", "b")
    Event.objects.filter(pk=first.event_id).update(fanned_out_at=None)
    Delivery.objects.filter(pk=first.pk).delete()

    assert keys(alice.claim()) == [second.pk]


def test_objects_of_another_type_with_the_same_key_are_other_objects(ordered, alice, wire, clock):
    webhook = ordered("7")[0].webhook
    event = happen(webhook.organization, "8")
    write(event, subject_type="user", subject_id="7")
    event.refresh_from_db()
    event.save()
    fan_out(clock.now)
    wire.answers = [500]

    assert [len(alice.work()) for _ in range(3)] == [1, 1, 0]


def test_the_order_of_one_webhook_is_nothing_to_another(ordered, alice, wire, clock):
    first, _second = ordered("a", "a")
    other = subscribed("/other", organization=first.webhook.organization, ordered=True)
    happen(other.organization, "a")
    fan_out(clock.now)
    wire.otherwise = 500
    alice.work()

    assert wire.to("/other")


def test_a_webhook_that_is_ordered_from_now_on_sends_what_was_there_before_one_at_a_time(ordered, alice):
    deliveries = ordered("a", "a", ordered=False, max_in_flight=5)
    Webhook.objects.update(ordered=True)

    assert keys(alice.claim()) == [deliveries[0].pk]


def test_a_person_who_sends_one_again_does_not_wait_for_its_turn(ordered, alice, wire, clock):
    first, second = ordered("a", "a")
    write(second, status="failed", due_at=None)
    wire.answers = [500]
    alice.work()
    second.refresh_from_db()

    resend(second, now=clock.now)

    assert keys(alice.work()) == [second.pk]
    assert stored(first, "status") == "waiting"


def test_what_is_replayed_keeps_the_order_too(ordered, alice, wire, clock, do):
    a1, a2 = ordered("a", "a", schedule="none")
    wire.answers = [500, 500]
    alice.work()
    alice.work()
    happen(a1.webhook.organization, "a")
    do(JobKind.RECOVER, a1.webhook, since=clock.now - timedelta(days=13))
    fan_out(clock.now)

    taken = [request for _ in range(3) for request in alice.work()]

    assert keys(taken)[:2] == [a1.pk, a2.pk]
    assert len(taken) == 3
    assert distinct(Delivery, "status", "priority") == {
        ("delivered", Priority.REPLAY),
        ("delivered", Priority.LIVE),
    }
