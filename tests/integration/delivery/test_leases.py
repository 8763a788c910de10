"""A claim is a lease: which deliveries a worker holds, for how long, and how they come due again when it dies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery, DeliveryAttempt

pytestmark = pytest.mark.django_db

LEASE = timedelta(seconds=30)


@pytest.fixture
def alice(worker):
    return worker("alice")


@pytest.fixture
def bob(worker):
    return worker("bob")


@pytest.fixture
def webhook():
    return subscribed()


@pytest.fixture
def delivery(webhook, clock) -> Delivery:
    """One delivery that is due."""
    return write_delivery(webhook, now=clock.now)


def state(delivery: Delivery) -> tuple[str, str, object]:
    delivery.refresh_from_db()
    return (delivery.status, delivery.lease, delivery.due_at)


def test_a_claim_holds_a_delivery_for_the_time_of_the_lease(alice, delivery, clock):
    (request,) = alice.claim()

    assert (request.delivery_id, request.number) == (delivery.pk, 1)
    assert state(delivery) == (DeliveryStatus.IN_FLIGHT, "alice", clock.now + LEASE)
    assert delivery.attempts == 0


def test_a_held_delivery_is_not_claimed_by_another_worker(alice, bob, delivery, clock):
    alice.claim()
    clock.advance(seconds=29.999)

    assert bob.claim() == []
    assert state(delivery)[1] == "alice"


def test_a_held_delivery_is_not_claimed_twice_by_the_same_worker(alice, delivery, clock):
    alice.claim()

    assert alice.claim() == []
    clock.advance(seconds=31)
    assert alice.claim() == []


@pytest.mark.parametrize("limit", [0, -1])
def test_a_worker_without_free_slots_claims_nothing(alice, delivery, limit):
    assert alice.claim(limit) == []
    assert state(delivery)[0] == DeliveryStatus.PENDING


@pytest.mark.parametrize("status", ["pending", "waiting"])
def test_a_delivery_that_is_not_due_is_not_claimed(alice, webhook, clock, status):
    delivery = write_delivery(webhook, now=clock.now, status=status, due_at=clock.now + timedelta(seconds=1))

    assert alice.claim() == []
    clock.advance(seconds=1)
    assert [request.delivery_id for request in alice.claim()] == [delivery.pk]


@pytest.mark.parametrize("status", ["delivered", "exhausted", "failed", "skipped", "cancelled"])
def test_a_finished_delivery_is_not_claimed(alice, webhook, clock, status):
    write_delivery(webhook, now=clock.now, status=status, due_at=None, finished_at=clock.now)
    clock.advance(days=400)

    assert alice.claim() == []


@pytest.mark.parametrize("change", [{"enabled": False}, {"deleted_at": "now"}])
def test_a_delivery_to_a_disabled_webhook_is_not_claimed(alice, webhook, delivery, clock, change):
    type(webhook).objects.filter(pk=webhook.pk).update(
        **{name: clock.now if value == "now" else value for name, value in change.items()}
    )

    assert alice.claim() == []
    assert state(delivery)[0] == DeliveryStatus.PENDING


def test_a_heartbeat_extends_the_lease(alice, bob, delivery, clock):
    alice.claim()
    for _ in range(6):
        clock.advance(seconds=20)
        assert alice.renew() == 1
        assert bob.claim() == []

    assert state(delivery) == (DeliveryStatus.IN_FLIGHT, "alice", clock.now + LEASE)


def test_a_heartbeat_renews_only_its_own(alice, bob, webhook, clock):
    first = write_delivery(webhook, now=clock.now)
    alice.claim()
    second = write_delivery(webhook, now=clock.now)
    bob.claim()
    clock.advance(seconds=10)

    assert alice.renew() == 1

    assert state(first)[2] == clock.now + LEASE
    assert state(second)[2] == clock.now + LEASE - timedelta(seconds=10)


def test_a_heartbeat_cant_renew_a_lease_of_another_worker(alice, bob, delivery, clock):
    alice.claim()
    clock.advance(seconds=30)
    bob.claim()
    clock.advance(seconds=1)

    assert alice.renew() == 0

    assert state(delivery) == (DeliveryStatus.IN_FLIGHT, "bob", clock.now + LEASE - timedelta(seconds=1))


def test_a_heartbeat_leaves_what_is_finished_or_waits_alone(alice, delivery, webhook, clock):
    write_delivery(webhook, now=clock.now)
    first, second = alice.claim()
    alice.wire.answers = [answer(200), answer(500)]
    alice.write(alice.send(first), alice.send(second))
    before = sorted(Delivery.objects.values_list("status", "lease", "due_at"), key=str)

    clock.advance(seconds=1)

    assert alice.renew() == 0
    assert sorted(Delivery.objects.values_list("status", "lease", "due_at"), key=str) == before


def test_the_rows_of_a_worker_that_died_are_delivered_by_another(alice, bob, delivery, clock):
    alice.claim()
    clock.advance(seconds=30)

    (request,) = bob.work()

    assert (request.delivery_id, request.number) == (delivery.pk, 1)
    assert state(delivery) == (DeliveryStatus.DELIVERED, "", None)
    assert [request.headers["tms-attempt"] for request in bob.wire.requests] == ["1"]


@pytest.mark.parametrize("late", [answer(200), answer(500), answer(400)], ids=["200", "500", "400"])
def test_a_result_after_the_lease_was_lost_is_logged_as_late_and_changes_nothing(alice, bob, delivery, clock, late):
    alice.wire.answers = [late]
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=30)
    bob.claim()

    alice.write(result)

    assert state(delivery) == (DeliveryStatus.IN_FLIGHT, "bob", clock.now + LEASE)
    assert (delivery.attempts, delivery.charged) == (0, 0)
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.number, attempt.charged, attempt.status_code) == (None, False, late.status)
    assert (attempt.next_delay, attempt.delay_reason) == (None, "")


def test_a_late_failure_never_undoes_a_delivery(alice, bob, delivery, clock):
    alice.wire.answers = [answer(500), answer(200)]
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=30)
    bob.work()
    after = state(delivery)

    alice.write(result)

    assert state(delivery) == after == (DeliveryStatus.DELIVERED, "", None)
    assert sorted(DeliveryAttempt.objects.values_list("status_code", "number")) == [(200, 1), (500, None)]


def test_a_late_success_never_ends_a_wait(alice, bob, delivery, clock):
    alice.wire.answers = [answer(200), answer(500)]
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=30)
    bob.work()

    alice.write(result)

    assert state(delivery) == (DeliveryStatus.WAITING, "", clock.now + timedelta(seconds=5))
    assert delivery.attempts == 1


def test_a_late_410_disables_no_webhook(alice, bob, webhook, delivery, clock):
    alice.wire.answers = [answer(410), answer(200)]
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=30)
    bob.work()

    alice.write(result)

    webhook.refresh_from_db()
    assert webhook.enabled


def test_any_number_of_late_results_can_be_kept(alice, bob, worker, delivery, clock):
    results = []
    for name in ("alice", "bob", "charlie"):
        one = worker(name)
        results.append((one, one.send(one.claim()[0])))
        clock.advance(seconds=30)
    worker("dora").work()

    for one, result in results:
        one.write(result)

    assert sorted(DeliveryAttempt.objects.values_list("number", flat=True), key=str) == [1, None, None, None]


def test_a_result_in_time_though_after_the_lease_counts_where_no_worker_took_over(alice, delivery, clock):
    result = alice.send(alice.claim()[0])
    clock.advance(seconds=45)

    alice.write(result)

    assert state(delivery) == (DeliveryStatus.DELIVERED, "", None)
    assert DeliveryAttempt.objects.get().number == 1


def test_late_and_timely_results_can_come_together(alice, bob, webhook, clock):
    lost = write_delivery(webhook, now=clock.now)
    first = alice.send(alice.claim()[0])
    clock.advance(seconds=30)
    bob.claim()
    kept = write_delivery(webhook, now=clock.now)
    second = alice.send(alice.claim()[0])

    alice.write(first, second)

    assert state(lost)[:2] == (DeliveryStatus.IN_FLIGHT, "bob")
    assert state(kept)[0] == DeliveryStatus.DELIVERED
    assert list(DeliveryAttempt.objects.order_by("delivery").values_list("delivery", "number")) == [
        (lost.pk, None),
        (kept.pk, 1),
    ]


def test_released_deliveries_are_due_at_once_and_as_they_were(alice, bob, webhook, clock):
    fresh = write_delivery(webhook, now=clock.now)
    tried = write_delivery(webhook, now=clock.now, status="waiting", attempts=2, charged=1)
    alice.claim()
    clock.advance(seconds=1)

    assert Delivery.objects.all().release(token="alice", now=clock.now) == 2

    assert state(fresh) == (DeliveryStatus.PENDING, "", clock.now)
    assert state(tried) == (DeliveryStatus.WAITING, "", clock.now)
    assert sorted((request.delivery_id, request.number) for request in bob.claim()) == [(fresh.pk, 1), (tried.pk, 3)]


def test_releasing_leaves_leases_of_others_alone(alice, bob, delivery, clock):
    bob.claim()

    assert Delivery.objects.all().release(token="alice", now=clock.now) == 0
    assert state(delivery)[1] == "bob"
