"""The order in which claimed requests go out: organizations take turns, then the webhooks of each, within their limits."""

from __future__ import annotations

import pytest

from tests.unit.worker.requests import a_request, answered, claimed, next_ones, requests
from tms_webhooks.delivery.outgoing import OutgoingRequest
from tms_webhooks.models import Webhook
from tms_webhooks.worker import endpoint_queues
from tms_webhooks.worker.concurrency import Capacity
from tms_webhooks.worker.endpoint_queues import EndpointQueues


@pytest.fixture
def queues() -> EndpointQueues:
    return EndpointQueues(slots=64, places=256)


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The monotonic time of the queues."""
    now = [100.0]
    monkeypatch.setattr(endpoint_queues, "monotonic", lambda: now[0])
    return now


# Limits


def test_no_more_go_out_than_the_concurrency_and_the_next_when_one_is_back(queues):
    first, second, third = found = requests(3)
    claimed(queues, found, concurrency=2)

    assert next_ones(queues) == [first, second]
    answered(queues, first)
    assert next_ones(queues) == [third]


def test_a_webhook_begins_with_two_in_flight_however_many_it_may_have(queues):
    claimed(queues, requests(10), concurrency=32)

    assert len(next_ones(queues)) == 2


def test_a_webhook_whose_answers_stay_as_quick_gets_more_and_more_in_flight(queues):
    claimed(queues, requests(60), concurrency=6)
    most, in_flight = 0, next_ones(queues)
    while in_flight:
        most = max(most, len(in_flight))
        answered(queues, in_flight.pop(0))
        in_flight += next_ones(queues)

    assert most == 6


def test_a_new_concurrency_holds_from_the_next_claim(queues):
    claimed(queues, requests(4))
    (first,) = next_ones(queues)
    claimed(queues, requests(1), concurrency=2)
    assert len(next_ones(queues)) == 1

    claimed(queues, requests(1), concurrency=1)
    answered(queues, first)

    assert next_ones(queues) == []


def test_waiting_requests_and_those_in_flight_are_held(queues):
    claimed(queues, requests(5), concurrency=2)
    in_flight = next_ones(queues)
    assert (queues.held, queues.in_flight) == (5, 2)

    answered(queues, in_flight[0])

    assert (queues.held, queues.in_flight) == (4, 1)


# Turns


def test_the_webhooks_of_an_organization_take_turns(queues):
    claimed(queues, [*requests(2, 1), *requests(2, 2), *requests(1, 3)], concurrency=2)

    assert [one.webhook_id for one in next_ones(queues)] == [1, 2, 3, 1, 2]


def test_organizations_take_turns_however_many_webhooks_each_has(queues):
    many = [a_request(webhook_id, organization="A") for webhook_id in range(1, 7)]
    few = [*requests(2, 11, organization="B"), *requests(1, 12, organization="B")]
    claimed(queues, [*many, *few], concurrency=2)

    order = next_ones(queues)

    assert [one.endpoint.organization_id for one in order] == list("ABABABAAA")
    assert [one.webhook_id for one in order] == [1, 11, 2, 12, 3, 11, 4, 5, 6]


def test_an_organization_that_comes_later_gets_the_next_turn_but_one(queues):
    claimed(queues, [a_request(webhook_id, organization="A") for webhook_id in range(1, 9)])
    queues.next()
    claimed(queues, [a_request(20, organization="B")])

    assert [queues.next().endpoint.organization_id for _ in range(2)] == ["A", "B"]


def test_an_organization_leaves_a_quarter_of_the_slots_to_others_and_goes_on_when_it_has_an_answer():
    queues = EndpointQueues(slots=8, places=64)
    claimed(queues, [a_request(webhook_id, organization="A") for webhook_id in range(1, 21)])
    in_flight = next_ones(queues)
    assert len(in_flight) == 6
    claimed(queues, [a_request(100, organization="B")])
    assert [one.webhook_id for one in next_ones(queues)] == [100]

    answered(queues, in_flight[0])

    assert [one.endpoint.organization_id for one in next_ones(queues)] == ["A"]


def test_no_more_are_in_flight_than_there_are_slots():
    queues = EndpointQueues(slots=3, places=64)
    claimed(queues, [a_request(number, organization=number) for number in range(1, 9)])

    assert len(next_ones(queues)) == 3
    assert not queues.may_start


# Places


def test_organizations_share_the_places_and_give_them_back_with_the_answer():
    queues = EndpointQueues(slots=64, places=8)
    assert (queues.free_places, queues.allowance("A")) == (6, 6)
    claimed(queues, requests(6), concurrency=1)
    assert (queues.allowance("A"), queues.allowance("B")) == (0, 1)

    answered(queues, next_ones(queues)[0])

    assert queues.free_places == 3


def test_withdrawn_requests_take_no_place():
    queues = EndpointQueues(slots=64, places=8)
    claimed(queues, requests(6), concurrency=1)

    queues.withdraw()

    assert (queues.free_places, queues.allowance("A")) == (6, 6)


# What is worth holding


def wanted(queues: EndpointQueues, *, concurrency: int = 8) -> int:
    return queues.wanted(Webhook(pk=1), concurrency, 0)


def test_of_an_unknown_webhook_two_are_wanted_or_fewer_if_it_may_have_fewer(queues):
    assert (wanted(queues), wanted(queues, concurrency=1)) == (2, 1)


@pytest.mark.parametrize(("seconds", "rounds"), [(0.00001, 64), (0.01, 10), (0.049, 2), (0.15, 0)])
def test_of_a_quick_receiver_as_many_are_wanted_as_it_takes_in_a_moment(queues, seconds, rounds):
    claimed(queues, requests(8), concurrency=1)
    for _ in range(8):
        answered(queues, queues.next(), seconds=seconds)

    assert wanted(queues, concurrency=1) == 1 + rounds


def test_what_is_held_is_not_wanted_again(queues):
    claimed(queues, requests(2), concurrency=8)

    assert wanted(queues) == 0


# Which webhooks the next claim reads


def test_a_webhook_with_more_due_is_read_again_as_soon_as_it_has_a_free_slot(queues):
    claimed(queues, [*requests(1, 1), *requests(1, 2)], full={1})
    first, second = next_ones(queues)
    assert not queues.hungry()

    answered(queues, first)
    answered(queues, second)

    assert set(queues.hungry()) == {1}


def test_a_webhook_is_read_again_when_its_result_is_written_as_an_ordered_one_has_to_be(queues):
    claimed(queues, requests(1), full={1})
    answered(queues, queues.next())
    # Its own delivery was not written yet: nothing more was free.
    claimed(queues, [], full={1})
    assert not queues.hungry()

    queues.written([1])

    assert set(queues.hungry()) == {1}


def test_a_webhook_that_was_claimed_for_is_not_read_again_before_an_answer(queues):
    claimed(queues, requests(2), concurrency=2, full={1})
    answered(queues, next_ones(queues)[0])
    claimed(queues, requests(1), concurrency=2, full={1})

    assert not queues.hungry()


def test_a_webhook_that_waits_for_its_rate_is_read_again_at_its_time_and_not_before(queues, now):
    claimed(queues, requests(1), full={1}, allowed_in=0.25)
    answered(queues, queues.next())
    queues.written([1])
    assert not queues.hungry()
    assert queues.seconds_until_allowed() == pytest.approx(0.25)

    now[0] += 0.25

    assert set(queues.hungry()) == {1}
    assert queues.seconds_until_allowed() == 0.0


def test_where_no_webhook_waits_for_its_rate_there_is_no_time_to_wait_for(queues, now):
    claimed(queues, requests(1), full={1}, allowed_in=0.25)
    claimed(queues, [], full={1})

    assert queues.seconds_until_allowed() is None


@pytest.mark.parametrize("allowed_in", [0.0, 0.25])
def test_a_webhook_that_the_claim_did_not_find_any_more_is_not_read_again(queues, now, allowed_in):
    claimed(queues, requests(1), full={1}, allowed_in=allowed_in)
    answered(queues, queues.next())
    now[0] += 1.0
    asked = set(queues.hungry())
    assert asked == {1}

    queues.claimed([], {}, (), asked=asked)

    assert not queues.hungry()
    assert queues.seconds_until_allowed() is None


# Halted and withdrawn


def test_waiting_requests_are_withdrawn_and_those_in_flight_are_not(queues):
    first, second, third = requests(3)
    other = a_request(2)
    claimed(queues, [first, second, third, other])
    queues.next()

    assert queues.withdraw(1) == [second.delivery_id, third.delivery_id]

    assert next_ones(queues) == [other]
    answered(queues, first)
    assert next_ones(queues) == []
    assert queues.withdraw(1) == []


def test_requests_that_wait_while_other_workers_use_all_slots_are_given_back(queues):
    waiting, other = requests(17), a_request(2)
    claimed(queues, [*waiting, other], concurrency=32)

    given_back = queues.claimed([], {1: Capacity(0, 0, 0)}, ())

    assert given_back == [one.delivery_id for one in waiting]
    assert (queues.held, next_ones(queues)) == (1, [other])


def test_a_claim_that_fails_leaves_the_waiting_requests_a_slot(queues):
    (waiting,) = requests(1)
    claimed(queues, [waiting], concurrency=32)

    wanted(queues, concurrency=0)

    assert next_ones(queues) == [waiting]


def test_all_waiting_requests_are_withdrawn(queues):
    waiting = [*requests(2, 1), *requests(2, 2)]
    claimed(queues, waiting)

    assert sorted(queues.withdraw()) == [one.delivery_id for one in waiting]

    assert (queues.held, next_ones(queues)) == (0, [])


def test_an_unknown_webhook_has_nothing_to_withdraw(queues):
    assert queues.withdraw(7) == []


def test_after_a_withdrawal_new_requests_go_out(queues):
    claimed(queues, requests(2))
    queues.withdraw(1)
    (one,) = requests(1)

    claimed(queues, [one])

    assert next_ones(queues) == [one]


def test_a_halted_queue_waits_until_it_is_resumed(queues):
    first, second = requests(2)
    claimed(queues, [first, second])
    queues.next()
    queues.halt(1)
    answered(queues, first, status=500)
    assert next_ones(queues) == []

    queues.resume(first)

    assert next_ones(queues) == [second]


def test_other_queues_go_on(queues):
    other = a_request(2)
    claimed(queues, [*requests(2, 1), other])
    queues.next()
    queues.halt(1)

    assert next_ones(queues) == [other]


def test_a_ready_queue_does_not_go_out_when_it_is_halted(queues):
    first, second = requests(2)
    claimed(queues, [first, second], concurrency=2)
    queues.next()

    queues.halt(1)

    assert next_ones(queues) == []
    queues.resume(first)
    assert next_ones(queues) == [second]


def test_a_queue_halted_twice_is_resumed_twice(queues):
    first, second, third = requests(3)
    claimed(queues, [first, second, third], concurrency=2)
    for one in next_ones(queues):
        queues.halt(1)
        answered(queues, one, status=500)

    queues.resume(first)
    assert next_ones(queues) == []
    queues.resume(second)

    assert next_ones(queues) == [third]


def test_new_requests_of_a_halted_queue_wait_too(queues):
    (first,) = requests(1)
    claimed(queues, [first])
    queues.next()
    queues.halt(1)
    answered(queues, first, status=500)

    claimed(queues, requests(1))

    assert next_ones(queues) == []
    assert queues.held == 1


# Replays


def replays(number: int) -> list[OutgoingRequest]:
    return [request._replace(is_replay=True) for request in requests(number)]


def with_limit(limit: int, *, seconds: float | None = None) -> EndpointQueues:
    """Return queues whose first webhook has so many requests in flight at most, and answers in so many seconds."""
    queues = EndpointQueues(slots=100, places=400)
    claimed(queues, [], concurrency=limit, full=[1])
    adaptive = queues._queues[1].limit
    adaptive.limit, adaptive.seconds_each = limit, seconds
    return queues


def kinds(found: list[OutgoingRequest]) -> str:
    return "".join("R" if one.is_replay else "L" for one in found)


@pytest.mark.parametrize(
    ("limit", "sent"),
    # While it is sent, each request is answered before the next one.
    [(1, "LLLRLLLRLLLR"), (2, "LLLRLLLRLLLR"), (8, "LLLRLLLRLLLR")],
)
def test_reserved_replays_ones_every_fourth_request_is_a_replay(limit, sent):
    queues = with_limit(limit)
    claimed(queues, [*replays(6), *requests(18)], concurrency=limit)

    found = []
    for _ in sent:
        found.append(queues.next())
        answered(queues, found[-1])

    assert kinds(found) == sent


@pytest.mark.parametrize(("limit", "in_flight"), [(3, "LLL"), (4, "LLLR"), (8, "LLLRLLLR"), (7, "LLLRLLL")])
def test_reserved_replays_ones_replays_have_a_quarter_of_the_requests_in_flight(limit, in_flight):
    queues = with_limit(limit)
    claimed(queues, [*replays(9), *requests(20)], concurrency=limit)

    assert kinds(next_ones(queues)) == in_flight


def test_after_a_second_without_live_ones_replays_have_all_of_the_capacity(now):
    queues = with_limit(4)
    (live,) = requests(1)
    claimed(queues, [live, *replays(9)], concurrency=4)
    (_live, first) = next_ones(queues)
    answered(queues, live)
    now[0] += 1.0
    assert next_ones(queues) == []

    now[0] += 0.01
    answered(queues, first)

    assert kinds(next_ones(queues)) == "RRRR"


def test_an_ordered_webhook_gets_them_one_at_a_time():
    queues = with_limit(4)
    claimed(queues, replays(3), concurrency=1)

    assert kinds(next_ones(queues)) == "R"


def test_replays_that_wait_take_no_place_from_other_deliveries():
    queues, webhook = with_limit(4), Webhook(pk=1)
    empty = queues.wanted(webhook, 4, 0)
    claimed(queues, replays(9), concurrency=4, full=[1])

    assert queues.wanted(webhook, 4, 0) == empty
    assert len(next_ones(queues)) == 4
    assert queues.hungry() == set()


@pytest.mark.parametrize(
    ("seconds", "quiet", "wanted"),
    [
        (None, True, (8, 2)),
        (0.5, True, (8, 2)),
        (0.02, True, (32, 12)),
        (None, False, (2, 2)),
        # Live deliveries are sent now and then: they wait for no large claim of replays.
        (0.02, False, (4, 4)),
        (0.0001, False, (4, 4)),
    ],
)
def test_so_many_replays_are_worth_holding_as_a_receiver_takes_in_the_next_moment(now, seconds, quiet, wanted):
    queues, webhook = with_limit(8, seconds=seconds), Webhook(pk=1)
    if not quiet:
        claimed(queues, requests(1), concurrency=8)
        next_ones(queues)
        claimed(queues, [], concurrency=8, full=[1])

    assert queues.wanted_replays(webhook) == wanted
    claimed(queues, replays(2), concurrency=8)
    assert queues.wanted_replays(webhook) == (wanted[0] - 2, wanted[1] - 2)


def test_a_small_capacity_has_a_replay_reserved_replays_ones_when_it_is_its_turn():
    queues, webhook = with_limit(1), Webhook(pk=1)
    assert EndpointQueues(slots=10, places=100).wanted_replays(webhook) == (2, 0)
    seen = []
    for one in requests(3):
        seen.append(queues.wanted_replays(webhook)[1])
        claimed(queues, [one])
        next_ones(queues)
        answered(queues, one)

    assert (seen, queues.wanted_replays(webhook)) == ([0, 0, 0], (1, 1))


def test_withdrawn_replays_are_returned_with_the_others():
    queues = EndpointQueues(slots=10, places=100)
    old, new = replays(2), requests(1)
    claimed(queues, [*old, *new])

    assert queues.withdraw() == [new[0].delivery_id, *(one.delivery_id for one in old)]
    assert queues.held == 0


# Requests that were not started


def test_a_request_that_is_put_back_is_the_next_one_and_occupies_no_slot(queues):
    first, second, third = found = requests(3)
    claimed(queues, found, concurrency=2)
    other = a_request(2, organization="B")
    claimed(queues, [other])
    assert next_ones(queues) == [first, other, second]

    for request in (second, first):
        queues.put_back(request)

    assert (queues.in_flight, queues.held, queues.may_start) == (1, 4, True)
    assert next_ones(queues) == [first, second]
    answered(queues, first)
    assert next_ones(queues) == [third]


def test_an_organization_whose_request_is_put_back_gets_the_next_turn(queues):
    ones = [a_request(number, organization=f"organization {number}") for number in range(4)]
    claimed(queues, ones)
    first, second = queues.next(), queues.next()

    queues.put_back(second)
    queues.put_back(first)

    assert next_ones(queues) == ones


def test_the_webhooks_of_an_organization_keep_their_turns_when_requests_are_put_back(queues):
    ones = [*requests(2, 1), *requests(2, 2)]
    claimed(queues, ones, concurrency=2)
    taken = [queues.next(), queues.next()]

    for request in reversed(taken):
        queues.put_back(request)

    assert next_ones(queues) == [ones[0], ones[2], ones[1], ones[3]]


def test_a_replay_that_is_put_back_keeps_its_turn_among_live_requests(queues):
    live, (replay,) = requests(5), [one._replace(is_replay=True) for one in requests(1)]
    claimed(queues, [*live, replay], concurrency=2)
    for one in live[:3]:
        assert queues.next() == one
        answered(queues, one)
    assert queues.next() == replay
    queues.put_back(replay)

    assert next_ones(queues) == [replay, live[3]]
