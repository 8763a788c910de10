"""No webhook gets more than its share of the workers, however many deliveries wait for it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from example_project.training.factories import OrganizationFactory
from tests.integration.delivery.fake_transport import in_seconds
from tests.integration.delivery.rows import distinct, stored, subscribed, write_delivery, write_events
from tms_webhooks.models import Delivery

# What one webhook may have in flight


def test_a_drain_uses_the_whole_share_and_no_more(simulate):
    shares = {"/one": 1, "/two": 2, "/six": 6}
    for path, most in shares.items():
        subscribed(path, max_in_flight=most, happened=60)
    simulation = simulate(in_seconds(0.1))

    simulation.run()

    assert simulation.transport.most_in_flight == shares
    assert distinct(Delivery, "status", "attempts") == {("delivered", 1)}


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
    monkeypatch.setattr("tms_webhooks.worker.drain.READ_BATCH", 8)
    organization = OrganizationFactory()
    for number in range(30):
        subscribed(f"/{number}", organization=organization)
    write_events(organization, 10)
    simulation = simulate(in_seconds(0.01))

    simulation.run()

    assert len(simulation.transport.started) == 300
    assert max(simulation.transport.to(f"/{number}")[0] for number in range(30)) - 1_000 < 0.3


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
