"""The order of requests, in simulated time: organizations take turns, then their webhooks, and none waits for another."""

from __future__ import annotations

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.fake_transport import HANGS, by_path, in_seconds, quick
from tests.integration.delivery.rows import subscribed, write_delivery, write_event, write_events
from tms_webhooks.queues.wakeup import wake_local
from tms_webhooks.worker import drain


def many_that_hang(number):
    """Make an organization with so many webhooks, each with a delivery."""
    organization = OrganizationFactory()
    for one in range(number):
        subscribed(f"/hang/{one}", organization=organization)
    write_event(organization)


def hangs_but(path, receiver=quick):
    return by_path({path: receiver, "*": lambda _request: HANGS})


@pytest.mark.parametrize("capacity", [64, 400])
def test_an_organization_whose_300_webhooks_hang_delays_no_delivery_of_another(simulate, capacity):
    many_that_hang(300)
    other = subscribed("/other")
    simulation = simulate(hangs_but("/other"), capacity=capacity)
    written = []

    def write():
        write_event(other.organization)
        written.append(simulation.time())
        wake_local("default")

    for second in range(1, 6):
        simulation.time.after(float(second), write)

    simulation.run(seconds=6.5)

    sent = simulation.transport.to("/other")
    assert len(sent) == len(written) == 5
    assert max(at - begun for at, begun in zip(sent, written, strict=True)) < 0.05
    # The first has used what it may: three quarters of the slots at most.
    assert len(simulation.transport.started) - 5 == 3 * capacity // 4


def test_an_ordered_webhook_gets_its_next_as_soon_as_its_last_is_written_whatever_else_is_busy(simulate):
    subscribed("/ordered", ordered=True, happened=60)
    busy = [subscribed(f"/busy/{number}") for number in range(2)]
    for webhook in busy:
        write_events(webhook.organization, 1_500)
    simulation = simulate(by_path({"/ordered": in_seconds(0.1), "*": in_seconds(0.002)}))

    simulation.run(seconds=5.0)

    sent = simulation.transport.to("/ordered")
    pauses = [later - earlier for earlier, later in zip(sent, sent[1:], strict=False)]
    assert len(sent) > 45
    assert max(pauses) < 0.11
    assert simulation.transport.most_in_flight["/ordered"] == 1
    assert all(len(simulation.transport.to(f"/busy/{number}")) > 500 for number in range(2))


def test_a_read_for_webhooks_that_have_a_free_slot_reads_these_alone(simulate, monkeypatch):
    # Free webhooks are looked for once, and then no more for a long time.
    monkeypatch.setattr(drain, "LOOK_EVERY", 60.0)
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


@pytest.mark.parametrize("same", [True, False])
def test_a_webhook_with_a_large_backlog_goes_on_although_a_batch_had_little_of_it(simulate, monkeypatch, clock, same):
    monkeypatch.setattr(drain, "READ_BATCH", 128)
    monkeypatch.setattr(drain, "LOOK_EVERY", 60.0)
    busy = subscribed("/busy")
    for number in range(100):
        write_delivery(subscribed(f"/{number}", **({"organization": busy.organization} if same else {})), now=clock.now)
    for _ in range(200):
        write_delivery(busy, now=clock.now)
    simulation = simulate(in_seconds(0.1))

    simulation.run(seconds=10.0)

    assert len(simulation.transport.to("/busy")) == 200


@pytest.mark.parametrize(("own", "most"), [(None, 5), (3, 3), (5, 5), (6, 5), (50, 5)])
def test_no_webhook_may_have_more_in_flight_than_the_operator_allows(simulate, settings_of_app, own, most):
    settings_of_app(MAX_IN_FLIGHT=5)
    subscribed("/one", max_in_flight=own, happened=120)
    simulation = simulate(in_seconds(0.1))

    simulation.run()

    assert simulation.transport.most_in_flight["/one"] == most
    assert len(simulation.transport.started) == 120


def test_a_receiver_that_takes_them_all_at_once_gets_more_and_more(simulate):
    subscribed("/one", happened=300)
    simulation = simulate(in_seconds(0.1))

    simulation.run()

    # With two in flight all the time it would take 15 s.
    assert simulation.transport.most_in_flight["/one"] > 20
    assert simulation.time() - 1_000 < 4.0
