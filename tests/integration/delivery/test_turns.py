"""The order of requests: organizations take turns, then their webhooks, none waits for another, and none gets more than its share."""

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.fake_transport import HANGS, by_path, in_seconds, quick
from tests.integration.delivery.rows import stored, subscribed, write, write_delivery, write_event, write_events
from tests.integration.delivery.wire import answer
from tms_webhooks.queues.wakeup import wake_local
from tms_webhooks.worker import drain
from tms_webhooks.worker.leases import Leases


def many_that_hang(number):
    """Make an organization with so many webhooks, each with a delivery."""
    organization = OrganizationFactory()
    for one in range(number):
        subscribed(f"/hang/{one}", organization=organization)
    write_event(organization)


def hangs_but(path, receiver=quick):
    return by_path({path: receiver, "*": lambda _request: HANGS})


@pytest.mark.parametrize("capacity, webhooks", [(64, 60), (400, 300)])
def test_an_organization_whose_300_webhooks_hang_delays_no_delivery_of_another(simulate, capacity, webhooks):
    many_that_hang(webhooks)
    other = subscribed("/other")
    simulation = simulate(hangs_but("/other"), capacity=capacity)
    written = []

    def write():
        write_event(other.organization)
        written.append(simulation.time())
        wake_local("default")

    for second in range(1, 4):
        simulation.time.after(float(second), write)

    simulation.run(seconds=3.5)

    sent = simulation.transport.to("/other")
    assert len(sent) == len(written) == 3
    assert max(at - begun for at, begun in zip(sent, written, strict=True)) < 0.05
    # The first has used what it may: three quarters of the slots at most.
    assert len(simulation.transport.started) - 3 == 3 * capacity // 4


def test_an_ordered_webhook_gets_its_next_as_soon_as_its_last_is_written_whatever_else_is_busy(simulate):
    subscribed("/ordered", ordered=True, happened=30)
    for number in range(2):
        subscribed(f"/busy/{number}", happened=700)
    simulation = simulate(by_path({"/ordered": in_seconds(0.1), "*": in_seconds(0.002)}))

    simulation.run(seconds=2.5)

    sent = simulation.transport.to("/ordered")
    pauses = [later - earlier for earlier, later in pairwise(sent)]
    assert len(sent) > 22
    assert max(pauses) < 0.11
    assert simulation.transport.most_in_flight["/ordered"] == 1
    assert all(len(simulation.transport.to(f"/busy/{number}")) > 250 for number in range(2))


def test_a_read_for_webhooks_that_have_a_free_slot_reads_these_alone(simulate, monkeypatch):
    # Free webhooks are looked for once, and then no more for a long time.
    monkeypatch.setattr(drain, "LEASE_POLL", 60.0)
    first = subscribed("/first", max_in_flight=1)
    second = subscribed("/second", max_in_flight=1)
    for webhook in (first, second):
        write_events(webhook.organization, 3)
    read, held_webhooks = [], drain.held_webhooks

    def noted(keys, **values):
        read.append(set(keys))
        return held_webhooks(keys, **values)

    monkeypatch.setattr(drain, "held_webhooks", noted)
    simulation = simulate(by_path({"/first": in_seconds(1.0), "/second": lambda _request: HANGS}))

    simulation.run(seconds=3.5)

    assert len(simulation.transport.to("/first")) == 3
    assert {frozenset(keys) for keys in read[1:]} == {frozenset({first.pk})}


def test_events_of_a_paused_webhook_do_not_have_a_drain_look_for_free_webhooks_each_time(simulate, monkeypatch):
    organization = OrganizationFactory()
    for path in ("/good", "/bad"):
        subscribed(path, organization=organization)
    simulation = simulate(by_path({"/bad": lambda _request: (0.001, answer(500))}))
    looks, acquire = [], Leases.acquire

    def noted(leases, now, **values):
        looks.append(simulation.time())
        return acquire(leases, now, **values)

    def write():
        write_event(organization)
        wake_local("default")

    monkeypatch.setattr(Leases, "acquire", noted)
    for number in range(90):
        simulation.time.after(number / 20, write)

    begun_at = simulation.time()
    simulation.run(seconds=4.6)

    assert len(simulation.transport.to("/good")) == 90
    # It was given back after two seconds. From then on, 30 events came.
    assert len([at for at in looks if 3.0 < at - begun_at < 4.5]) <= 8


def test_looks_for_free_webhooks_that_take_long_take_a_tenth_of_the_time_of_a_busy_drain(simulate, monkeypatch):
    webhook = subscribed()
    simulation = simulate()
    looks, acquire = [], Leases.acquire

    def slow(leases, now, **values):
        looks.append(simulation.time())
        simulation.time.seconds += 0.2
        return acquire(leases, now, **values)

    def write():
        write_event(webhook.organization)
        wake_local("default")

    monkeypatch.setattr(Leases, "acquire", slow)
    for number in range(100):
        simulation.time.after(number / 20, write)

    simulation.run(seconds=5.5)

    assert len(simulation.transport.started) == 100
    assert min(after - before for before, after in pairwise(looks)) >= 2.0


@pytest.mark.parametrize("same", [True, False])
def test_a_webhook_with_a_large_backlog_goes_on_although_a_batch_had_little_of_it(simulate, monkeypatch, due, same):
    monkeypatch.setattr(drain, "READ_BATCH", 32)
    monkeypatch.setattr(drain, "LEASE_POLL", 60.0)
    busy = subscribed("/busy")
    for number in range(25):
        due(subscribed(f"/{number}", **({"organization": busy.organization} if same else {})), 1)
    due(busy, 50)
    simulation = simulate(in_seconds(0.1))

    simulation.run(seconds=10.0)

    assert len(simulation.transport.to("/busy")) == 50


@pytest.mark.parametrize("own, most", [(None, 5), (3, 3), (5, 5), (6, 5), (50, 5)])
def test_no_webhook_may_have_more_in_flight_than_the_operator_allows(simulate, settings_of_app, own, most):
    settings_of_app(MAX_IN_FLIGHT=5)
    subscribed("/one", max_in_flight=own, happened=120)
    simulation = simulate(in_seconds(0.1))

    simulation.run()

    assert simulation.transport.most_in_flight["/one"] == most
    assert len(simulation.transport.started) == 120


# What one webhook may have in flight


# Who is served


def test_the_least_recently_served_comes_first(alice, backlog, clock):
    webhooks = [backlog(10, max_in_flight=1) for _ in range(5)]
    served = []
    for _ in range(10):
        (request,) = alice.claim(limit=1)
        served.append(request.webhook_id)
        alice.write(alice.send(request))
        clock.advance(seconds=1)

    assert Counter(served[:5]) == Counter(webhook.pk for webhook in webhooks)
    assert served[5:] == served[:5]


def test_where_more_webhooks_have_a_backlog_than_fit_a_batch_all_are_served(monkeypatch, simulate):
    monkeypatch.setattr("tms_webhooks.worker.drain.READ_BATCH", 4)
    organization = OrganizationFactory()
    for number in range(12):
        subscribed(f"/{number}", organization=organization)
    write_events(organization, 10)
    simulation = simulate(in_seconds(0.01))

    simulation.run()

    assert len(simulation.transport.started) == 120
    assert max(simulation.transport.to(f"/{number}")[0] for number in range(12)) - 1_000 < 0.3


def test_webhooks_whose_next_has_to_wait_do_not_hold_back_the_others(alice, clock):
    for _ in range(3):
        blocked = subscribed(ordered=True)
        earlier = write_delivery(
            blocked, now=clock.now, status="waiting", due_at=clock.now + timedelta(hours=1), order_key=7
        )
        write_delivery(blocked, now=clock.now, order_key=7)
        assert earlier.event_id < blocked.deliveries.order_by("-event_id").first().event_id
    free = write_delivery(subscribed(), now=clock.now)
    taken = []
    for _ in range(3):
        taken += alice.claim(limit=2)
        clock.advance(seconds=1)

    assert [request.delivery_id for request in taken] == [free.pk]


def test_the_longest_due_of_a_webhook_comes_first(alice, clock):
    webhook = subscribed(max_in_flight=2)
    later, earliest, middle = (
        write_delivery(webhook, now=clock.now, due_at=clock.now - timedelta(seconds=seconds)) for seconds in (1, 3, 2)
    )

    assert {request.delivery_id for request in alice.claim()} == {earliest.pk, middle.pk}
    assert stored(later, "status") == "pending"


def test_requests_that_waited_for_a_slot_for_too_long_are_read_again_before_a_drain_is_idle(simulate):
    for number in range(4):
        subscribed(f"/{number}", happened=1)

    tally = simulate(in_seconds(2), capacity=1).run()

    assert tally.delivered == 4


@pytest.mark.parametrize("state", [{}, {"status": "waiting", "attempts": 1, "charged": 1}], ids=["new", "retries"])
def test_many_deliveries_of_a_paused_webhook_delay_no_other_webhook(simulate, monkeypatch, clock, due, state):
    monkeypatch.setattr(drain, "READ_BATCH", 16)
    paused, other = subscribed("/paused"), subscribed("/other")
    due(paused, 60, **state)
    write(paused, failures=4, failing_since=clock.now, paused_until=clock.now + timedelta(hours=1))
    simulation = simulate(by_path({"/paused": lambda _request: (0.05, answer(500))}))

    def happen():
        write_event(other.organization)
        wake_local("default")

    simulation.time.after(1.0, happen)
    simulation.run(seconds=1.5)

    assert bool(simulation.transport.to("/paused")) is bool(state)
    assert simulation.transport.to("/other") == [pytest.approx(1_001.0, abs=0.05)]
