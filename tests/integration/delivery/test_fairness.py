"""No webhook gets more than its share of the workers, however many deliveries wait for it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.fake_transport import in_seconds
from tests.integration.delivery.rows import subscribed, write_delivery, write_events
from tests.integration.delivery.wire import Gate, Wire, answer
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery
from tms_webhooks.net.transports.threads import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain


def by_webhook(requests) -> dict[int, int]:
    return dict(Counter(request.webhook_id for request in requests))


# What one webhook may have in flight


@pytest.mark.parametrize(
    ("setting", "own", "most"), [(None, None, 32), (1, None, 1), (4, None, 4), (4, 1, 1), (1, 5, 1), (None, 40, 32)]
)
def test_a_webhook_has_at_most_so_many_in_flight(settings, worker, backlog, setting, own, most):
    if setting:
        settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "MAX_IN_FLIGHT": setting}
    backlog(40, max_in_flight=own)

    assert len(worker("alice").claim()) == most
    assert worker("alice").claim() == []
    assert worker("bob").claim() == []


def test_a_result_frees_a_slot_for_the_next(worker, backlog):
    backlog(5, max_in_flight=1)
    alice, bob = worker("alice"), worker("bob")
    (request,) = alice.claim()
    assert bob.claim() == []

    alice.write(alice.send(request))

    assert len(bob.claim()) == 1


def test_deliveries_of_a_dead_worker_occupy_no_slot(worker, backlog, clock):
    backlog(5, max_in_flight=2)
    assert len(worker("alice").claim()) == 2
    clock.advance(seconds=15)

    assert len(worker("bob").claim()) == 2
    assert worker("charlie").claim() == []


def test_a_webhook_whose_share_was_lowered_waits_until_it_fits(worker, backlog):
    webhook = backlog(10, max_in_flight=5)
    alice = worker("alice")
    requests = alice.claim()
    assert len(requests) == 5
    type(webhook).objects.filter(pk=webhook.pk).update(max_in_flight=1)

    alice.write(*[alice.send(request) for request in requests[:4]])
    assert alice.claim() == []

    alice.write(alice.send(requests[4]))
    assert len(alice.claim()) == 1


def test_a_drain_uses_the_whole_share_and_no_more(simulate):
    shares = {"/one": 1, "/two": 2, "/six": 6}
    for path, most in shares.items():
        write_events(subscribed(path, max_in_flight=most).organization, 60)
    simulation = simulate(in_seconds(0.1))

    simulation.run()

    assert simulation.transport.most_in_flight == shares
    assert set(Delivery.objects.values_list("status", "attempts")) == {(DeliveryStatus.DELIVERED, 1)}


# Who is served


def test_a_backlog_of_one_never_fills_a_batch(worker, backlog):
    busy = backlog(300)
    others = [backlog(1) for _ in range(8)]

    requests = worker("alice").claim(limit=10)

    assert by_webhook(requests) == {busy.pk: 2, **{other.pk: 1 for other in others}}


def test_a_hung_receiver_with_a_backlog_does_not_hold_back_a_healthy_one(settings, clock):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "SENDER_SLOTS": 4}
    hung, healthy = subscribed("/hung"), subscribed("/healthy")
    write_events(hung.organization, 500)
    write_events(healthy.organization, 50)
    gate = Gate(then=answer(410))

    def look(now):
        if healthy.deliveries.filter(status=DeliveryStatus.DELIVERED).count() == 50:
            gate.open()
        return fan_out(now)

    wire = Wire(otherwise=lambda request: gate(request) if "/hung" in request.url else answer())
    Drain(fan_out=look, clock=clock, transport=ThreadTransport(wire)).run(until_idle=True)

    assert len(wire.to("/healthy")) == 50
    assert gate.most_waiting == 2
    # Were the gate not opened by the last of the healthy, the hung ones would have failed otherwise.
    hung.refresh_from_db()
    assert hung.disabled_reason == "gone"
    assert len(wire.to("/hung")) == 2


def test_the_least_recently_served_comes_first(worker, backlog, clock):
    webhooks = [backlog(10, max_in_flight=1) for _ in range(5)]
    alice, served = worker("alice"), []
    for _ in range(10):
        (request,) = alice.claim(limit=1)
        served.append(request.webhook_id)
        alice.write(alice.send(request))
        clock.advance(seconds=1)

    assert Counter(served[:5]) == Counter(webhook.pk for webhook in webhooks)
    assert served[5:] == served[:5]


def test_every_webhook_with_a_backlog_gets_the_same_however_small_the_batches(worker, backlog, clock):
    webhooks = [backlog(40, max_in_flight=2) for _ in range(4)]
    alice, served = worker("alice"), Counter()
    for _ in range(12):
        served.update(by_webhook(alice.work(limit=4)))
        clock.advance(seconds=1)

    assert served == {webhook.pk: 12 for webhook in webhooks}


def test_a_large_backlog_of_a_quick_receiver_does_not_hold_back_the_others(run, wire, backlog):
    backlog(1_200, "/busy")
    for number in range(6):
        backlog(5, f"/other/{number}")

    run()

    turns = [index for index, request in enumerate(wire.requests) if "/other/" in request.url]
    assert len(turns) == 30
    assert turns[-1] < 400


def test_where_more_webhooks_have_a_backlog_than_fit_a_batch_all_are_served(monkeypatch, simulate):
    monkeypatch.setattr("tms_webhooks.worker.drain.READ_BATCH", 8)
    organization = OrganizationFactory()
    for number in range(30):
        subscribed(f"/{number}", organization=organization)
    write_events(organization, 10)
    simulation = simulate(in_seconds(0.01))

    simulation.run()

    assert len(simulation.transport.started) == 300
    assert max(simulation.transport.to(f"/{number}")[0] for number in range(30)) - 1_000 < 0.3


def test_webhooks_whose_next_has_to_wait_do_not_hold_back_the_others(worker, clock):
    for _ in range(3):
        blocked = subscribed(ordered=True)
        earlier = write_delivery(
            blocked, now=clock.now, status="waiting", due_at=clock.now + timedelta(hours=1), order_key=7
        )
        write_delivery(blocked, now=clock.now, order_key=7)
        assert earlier.event_id < blocked.deliveries.order_by("-event_id").first().event_id
    free = write_delivery(subscribed(), now=clock.now)
    alice, taken = worker("alice"), []
    for _ in range(3):
        taken += alice.claim(limit=2)
        clock.advance(seconds=1)

    assert [request.delivery_id for request in taken] == [free.pk]


def test_a_read_takes_a_whole_batch(monkeypatch, run, wire):
    monkeypatch.setattr("tms_webhooks.worker.drain.READ_BATCH", 300)
    organization = OrganizationFactory()
    for number in range(280):
        subscribed(f"/{number}", organization=organization)
    write_events(organization, 1)

    run()

    assert len({request.url for request in wire.requests}) == len(wire.requests) == 280


def test_a_webhook_that_was_never_served_comes_before_all_others(worker, backlog, clock):
    backlog(10, max_in_flight=1)
    alice = worker("alice")
    alice.work()
    clock.advance(seconds=1)
    newcomer = backlog(10, max_in_flight=1)

    assert by_webhook(worker("bob").claim(limit=1)) == {newcomer.pk: 1}


def test_the_longest_due_of_a_webhook_comes_first(worker, clock):
    webhook = subscribed(max_in_flight=2)
    later, earliest, middle = (
        write_delivery(webhook, now=clock.now, due_at=clock.now - timedelta(seconds=seconds)) for seconds in (1, 3, 2)
    )

    assert {request.delivery_id for request in worker("alice").claim()} == {earliest.pk, middle.pk}
    later.refresh_from_db()
    assert later.status == DeliveryStatus.PENDING


def test_requests_that_waited_for_a_slot_for_too_long_are_read_again_before_a_drain_is_idle(simulate):
    for number in range(4):
        write_events(subscribed(f"/{number}").organization, 1)

    tally = simulate(in_seconds(2), capacity=1).run()

    assert tally.delivered == 4


def test_many_webhooks_are_all_served(run, wire):
    organization = OrganizationFactory()
    for number in range(150):
        subscribed(f"/{number}", organization=organization)
    write_events(organization, 3)

    run()

    assert Counter(request.url for request in wire.requests).most_common(1)[0][1] == 3
    assert len(wire.requests) == 450
    assert set(Delivery.objects.values_list("status", flat=True)) == {DeliveryStatus.DELIVERED}
