"""A worker leases webhooks: which ones it holds, for how long, and who sends for them when it dies."""

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import distinct, stored, subscribed, write, write_delivery
from tests.integration.delivery.wire import answer
from tms_webhooks.models import DeliveryAttempt, DrainSlot, WebhookState
from tms_webhooks.worker.drain import DRAIN_SLEEP

LEASE = timedelta(seconds=15)


@pytest.fixture
def webhook():
    return subscribed()


@pytest.fixture
def delivery(webhook, clock):
    """One delivery that is due."""
    return write_delivery(webhook, now=clock.now)


def state(delivery):
    delivery.refresh_from_db()
    return (delivery.status, delivery.due_at, delivery.attempts)


def lease(webhook):
    return WebhookState.objects.values_list("lease", "leased_until").get(pk=webhook.pk)


def test_a_worker_holds_a_webhook_for_the_time_of_the_lease_and_its_deliveries_are_not_written(
    alice, webhook, delivery, clock
):
    (request,) = alice.claim()

    assert (request.delivery_id, request.number) == (delivery.pk, 1)
    assert lease(webhook) == ("alice", clock.now + LEASE)
    assert state(delivery) == ("pending", clock.now, 0)


def test_a_webhook_that_is_held_is_left_to_its_holder(alice, bob, webhook, delivery, clock):
    alice.claim()
    write_delivery(webhook, now=clock.now)
    clock.advance(seconds=14.999)

    assert bob.claim() == []
    assert lease(webhook)[0] == "alice"
    assert len(alice.claim()) == 1


def test_what_is_in_flight_is_not_sent_again_by_the_same_worker(alice, delivery, clock):
    alice.claim()

    assert alice.claim() == []
    clock.advance(seconds=31)
    assert alice.claim() == []


@pytest.mark.parametrize("change", ["enabled", "deleted_at"])
def test_a_disabled_or_deleted_webhook_is_not_leased(alice, webhook, delivery, clock, change):
    write(webhook, **{change: clock.now if change == "deleted_at" else False})

    assert alice.claim() == []
    assert lease(webhook) == ("", None)


def test_a_renewal_extends_all_leases_of_a_worker_and_no_others(alice, bob, webhook, delivery, clock):
    alice.claim()
    other = subscribed("/other")
    write_delivery(other, now=clock.now)
    bob.claim()
    for _ in range(6):
        clock.advance(seconds=10)
        bob.renew()
        alice.renew()
        assert bob.claim() == []

    assert lease(webhook) == ("alice", clock.now + LEASE)
    clock.advance(seconds=1)
    alice.renew()
    assert lease(other) == ("bob", clock.now + LEASE - timedelta(seconds=1))


def test_a_renewal_does_not_take_a_webhook_back(alice, bob, webhook, delivery, clock):
    alice.claim()
    clock.advance(seconds=15)
    bob.claim()
    clock.advance(seconds=1)

    alice.renew()

    assert lease(webhook) == ("bob", clock.now + LEASE - timedelta(seconds=1))
    assert alice.leases.held == set()
    assert alice.claim() == []


def test_a_worker_adopts_what_the_database_has_leased_to_it_in_an_interrupted_step(
    alice, bob, webhook, delivery, clock
):
    write(webhook, lease="alice", leased_until=clock.now + LEASE)
    assert bob.claim() == []

    alice.renew()

    assert [request.delivery_id for request in alice.claim()] == [delivery.pk]


def test_without_a_valid_lease_nothing_is_started(alice, delivery, monkeypatch):
    alice.claim()
    monkeypatch.setattr(alice.leases, "valid_until", float("-inf"))

    alice.drain._start()

    assert alice.wire.requests == []


@pytest.mark.parametrize("late", [answer(200), answer(500), answer(400)], ids=["200", "500", "400"])
def test_a_result_after_the_webhook_was_lost_is_logged_as_late_and_changes_nothing(alice, bob, delivery, clock, late):
    alice.wire.answers = [late]
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=15)
    bob.claim()
    before = state(delivery)

    alice.write(result)

    assert state(delivery) == before == ("pending", delivery.created_at, 0)
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.number, attempt.charged, attempt.status_code) == (None, False, late.status)
    assert (attempt.next_delay, attempt.delay_reason) == (None, "")


@pytest.mark.parametrize(
    "late, timely, status, seconds",
    [
        (500, 200, "delivered", None),
        (410, 200, "delivered", None),
        (200, 500, "waiting", 5),
    ],
)
@pytest.mark.parametrize("is_leased_again", [False, True])
def test_a_late_result_undoes_nothing_of_a_timely_one(
    alice, bob, webhook, delivery, clock, late, timely, status, seconds, is_leased_again
):
    alice.wire.answers = [answer(late), answer(timely)]
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=15)
    bob.work()
    if is_leased_again:
        WebhookState.objects.update(lease=alice.token, leased_until=clock.now + LEASE)

    alice.write(result)

    assert state(delivery) == (status, seconds and clock.now + timedelta(seconds=seconds), 1)
    assert distinct(DeliveryAttempt, "status_code", "number") == {(timely, 1), (late, None)}
    assert stored(webhook, "enabled")


def test_any_number_of_late_results_can_be_kept(worker, delivery, clock):
    results = []
    for name in ("alice", "bob", "charlie"):
        one = worker(name)
        results.append((one, one.send(one.claim()[0])))
        clock.advance(seconds=15)
    worker("dora").work()

    for one, result in results:
        one.write(result)

    assert sorted(DeliveryAttempt.objects.values_list("number", flat=True), key=str) == [1, None, None, None]


def test_a_result_after_the_lease_counts_where_no_worker_took_over(alice, delivery, clock):
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=45)

    alice.write(result)

    assert state(delivery) == ("delivered", None, 1)
    assert DeliveryAttempt.objects.get().number == 1


def test_what_is_given_back_is_free_at_once_and_its_deliveries_are_as_they_were(alice, bob, webhook, clock):
    fresh = write_delivery(webhook, now=clock.now)
    tried = write_delivery(webhook, now=clock.now, status="waiting", attempts=2, charged=1)
    alice.claim(limit=0)
    before = [state(one) for one in (fresh, tried)]

    alice.rest()

    assert lease(webhook) == ("", None)
    assert [state(one) for one in (fresh, tried)] == before
    assert sorted((request.delivery_id, request.number) for request in bob.claim()) == [(fresh.pk, 1), (tried.pk, 3)]


# Sharing


@pytest.fixture
def ten(due):
    """Ten webhooks with a delivery each."""
    for number in range(10):
        due(subscribed(f"/{number}"), 1)


@pytest.fixture
def take_slots(alice, bob, clock):
    """Have both workers take a slot, and know of each other."""

    def take_slots():
        until = clock.now + timedelta(seconds=30)
        for number, one in ((1, alice), (2, bob)):
            assert DrainSlot.objects.take(number, owner=one.token, now=clock.now, until=until)
            one.leases._renew_slot = lambda _now, number=number: number
        for one in (alice, bob, alice, bob):
            one.renew()

    return take_slots


def test_two_workers_share_the_webhooks(ten, take_slots, alice, bob):
    take_slots()

    assert (len(alice.claim()), len(bob.claim())) == (6, 4)


def test_a_worker_gives_back_more_than_its_share_when_nothing_of_it_is_in_flight(ten, take_slots, alice, bob):
    requests = alice.claim()
    assert len(requests) == 10
    take_slots()
    assert bob.claim() == []

    for request in requests:
        result = alice.send(request)
        alice.queues.answered(result, result.seconds)
        alice.drain._results.append(result)
    alice.drain._write_some(len(requests))
    alice.drain._give_back()

    assert len(alice.leases.held) == 6
    assert WebhookState.objects.filter(lease="").count() == 4


def test_what_another_worker_does_not_take_in_a_second_is_served_all_the_same(ten, take_slots, alice, monkeypatch):
    take_slots()
    assert len(alice.claim()) == 6
    monkeypatch.setattr("tms_webhooks.worker.leases.LEFT_TO_OTHERS", 0.0)

    assert len(alice.claim()) == 4


def test_a_worker_that_died_counts_for_ten_seconds(ten, take_slots, alice, clock):
    take_slots()
    clock.advance(seconds=DRAIN_SLEEP)
    alice.renew()

    assert len(alice.claim()) == 10


def test_an_idle_webhook_is_given_back(webhook, delivery, simulate):
    simulation = simulate()
    seen = []
    for seconds in (1.5, 3.0):
        simulation.time.after(seconds, lambda: seen.append(lease(webhook)[0] != ""))

    simulation.run(seconds=4.0)

    assert seen == [True, False]
