"""The order in which claimed requests go out: organizations take turns, then the webhooks of each, within their limits."""

from datetime import timedelta
from math import inf

import pytest

from tests.unit.worker.requests import (
    NOW,
    a_request,
    a_webhook,
    answered,
    make_queues,
    next_ones,
    queue_of,
    read,
    requests,
)
from tms_webhooks.worker import endpoint_queues
from tms_webhooks.worker.endpoint_queues import FEW_REPLAYS


@pytest.fixture
def queues():
    return make_queues()


@pytest.fixture
def now(monkeypatch):
    """The monotonic time of the queues."""
    now = [100.0]
    monkeypatch.setattr(endpoint_queues, "monotonic", lambda: now[0])
    return now


# Limits


def test_no_more_go_out_than_the_concurrency_and_the_next_when_one_is_back(queues):
    first, second, third = found = requests(3)
    read(queues, found, concurrency=2)

    assert next_ones(queues) == [first, second]
    answered(queues, first)
    assert next_ones(queues) == [third]


def test_a_new_concurrency_holds_from_the_next_claim(queues):
    read(queues, requests(4))
    (first,) = next_ones(queues)
    read(queues, requests(1), concurrency=2)
    assert len(next_ones(queues)) == 1

    read(queues, requests(1), concurrency=1)
    answered(queues, first)

    assert next_ones(queues) == []


# Turns


def test_organizations_take_turns_however_many_webhooks_each_has(queues):
    many = [a_request(webhook_id, organization="A") for webhook_id in range(1, 7)]
    few = [*requests(2, 11, organization="B"), *requests(1, 12, organization="B")]
    read(queues, [*many, *few], concurrency=2)

    order = next_ones(queues)

    assert [one.endpoint.webhook.organization_id for one in order] == list("ABABABAAA")
    assert [one.webhook_id for one in order] == [1, 11, 2, 12, 3, 11, 4, 5, 6]


def test_an_organization_that_comes_later_gets_the_next_turn_but_one(queues):
    read(queues, [a_request(webhook_id, organization="A") for webhook_id in range(1, 9)])
    queues.next()
    read(queues, [a_request(20, organization="B")])

    assert [queues.next().endpoint.webhook.organization_id for _ in range(2)] == ["A", "B"]


def test_an_organization_leaves_a_quarter_of_the_slots_to_others_and_goes_on_when_it_has_an_answer():
    queues = make_queues(8)
    read(queues, [a_request(webhook_id, organization="A") for webhook_id in range(1, 21)])
    in_flight = next_ones(queues)
    assert len(in_flight) == 6
    read(queues, [a_request(100, organization="B")])
    assert [one.webhook_id for one in next_ones(queues)] == [100]

    answered(queues, in_flight[0])

    assert [one.endpoint.webhook.organization_id for one in next_ones(queues)] == ["A"]


# What is worth reading


def wanted(queues, *, replays=False):
    queue_of(queues).has_more = [True, True]
    return queue_of(queues).wanted[replays]


def test_of_an_unknown_webhook_two_are_wanted(queues):
    queues.lease([1])

    assert wanted(queues) == 2
    assert queues.to_read(100) == [queue_of(queues)]


@pytest.mark.parametrize("seconds, rounds", [(0.00001, 1_024), (0.01, 10), (0.049, 2), (0.15, 0)])
def test_of_a_quick_receiver_as_many_are_wanted_as_it_takes_in_a_moment(queues, seconds, rounds):
    read(queues, requests(8), concurrency=1)
    for _ in range(8):
        answered(queues, queues.next(), seconds=seconds)

    assert wanted(queues) == 1 + rounds


def test_many_webhooks_share_what_a_worker_holds(queues):
    read(queues, requests(8), concurrency=1)
    for _ in range(8):
        answered(queues, queues.next(), seconds=0.00001)
    queues.lease(range(2, 129))

    assert wanted(queues) == 1 + 8


def test_what_is_held_is_not_wanted_again(queues):
    read(queues, requests(2), concurrency=8)

    assert wanted(queues) == 0


def test_of_a_webhook_with_a_rate_limit_as_many_are_wanted_as_it_allows(queues):
    queues.lease([1])
    queue_of(queues).configure(a_webhook(rate_limit_per_second=100, state={"tokens": 1.5, "tokens_at": NOW}))

    assert wanted(queues) == 1
    queues.add(requests(1))
    assert wanted(queues) == 0


def test_a_webhook_that_waits_for_its_rate_is_read_at_its_time_and_not_before(queues):
    queues.lease([1])
    queue_of(queues).configure(a_webhook(rate_limit_per_second=1, state={"tokens": 0.5, "tokens_at": NOW}))

    assert queues.to_read(100) == []
    assert list(queues.seconds_until_allowed()) == [pytest.approx(0.51, abs=0.01)]


# Which webhooks are read


def test_a_webhook_with_more_due_is_read_again_as_soon_as_it_has_a_free_slot(queues):
    read(queues, [*requests(1, 1), *requests(1, 2)], full={1})
    first, second = next_ones(queues)
    assert not any(queues.wanting())

    answered(queues, first)
    answered(queues, second)

    assert queues.to_read(100) == [queue_of(queues, 1)]


def test_an_ordered_webhook_is_read_again_when_its_result_is_written(queues):
    (one,) = requests(1)
    one.endpoint.webhook.ordered = True
    read(queues, [one])
    result = answered(queues, queues.next())
    assert not any(queues.wanting())

    queues.written(result)

    assert queues.to_read(100) == [queue_of(queues)]


def test_a_webhook_is_not_read_again_before_an_answer(queues):
    read(queues, requests(2), concurrency=2, full={1})
    answered(queues, next_ones(queues)[0])
    read(queues, requests(1), concurrency=2, full={1})
    next_ones(queues)

    assert wanted(queues) == wanted(queues, replays=True) == 0


def test_a_read_is_of_a_few_webhooks_of_each_organization(queues):
    for key in range(1, 9):
        queues.lease([key])
        queue_of(queues, key).configure(a_webhook(key, organization_id="A" if key < 8 else "B"))

    assert {queue.webhook.organization_id for queue in queues.to_read(8)} == {"A", "B"}


def test_requests_that_wait_for_a_second_are_read_again(queues, now):
    read(queues, requests(3), concurrency=2)
    first, _second = next_ones(queues)
    now[0] += 1.1
    answered(queues, first)

    assert next_ones(queues) == []
    assert queues.to_read(100) == [queue_of(queues)]


def test_what_was_due_before_the_last_read_is_looked_for_after_ten_seconds(queues, now):
    queues.lease([1])
    queue, webhook = queue_of(queues), a_webhook()
    quotas = queue.quotas(webhook, NOW)
    assert {quota.after for quota in quotas} == {None}
    queue.note_read(quotas, [], NOW)
    queue.has_more = [True, True]

    after = {quota.priority: quota.after for quota in queue.quotas(webhook, NOW)}
    # A user may have one sent now that is long due.
    assert after == {0: None, 1: NOW - timedelta(seconds=1), 2: NOW - timedelta(seconds=1)}
    now[0] += 10.0
    assert {quota.after for quota in queue.quotas(webhook, NOW)} == {None}


# Halted and given back


def test_waiting_requests_are_dropped_and_those_in_flight_are_waited_for(queues):
    first, second, third = requests(3)
    other = a_request(2)
    read(queues, [first, second, third, other])
    queues.next()

    queues.drop([1])

    assert next_ones(queues) == [other]
    assert queue_of(queues).held == {first.delivery_id}
    assert queues.closed == {}
    queues.written(answered(queues, first))
    assert set(queues.closed) == {1}
    assert queues.keys == {2}


def test_a_webhook_that_is_leased_again_while_its_last_request_is_in_flight_keeps_its_queue(queues):
    first, second = requests(2)
    read(queues, [first])
    queues.next()
    queues.drop([1])
    queues.lease([1])
    queue_of(queues).has_more[False] = True

    assert queue_of(queues).held == {first.delivery_id}
    queues.add([second])
    assert next_ones(queues) == []
    queues.written(answered(queues, first))
    assert next_ones(queues) == [second]


def test_more_than_the_share_is_given_back_the_least_busy_first(queues):
    read(queues, [*requests(2, 1), *requests(1, 2), *requests(1, 3)], concurrency=2)
    next_ones(queues)
    queues.lease([4])

    queues.leave(2)

    assert set(queues.closed) == {4}
    assert [queue_of(queues, key).is_leaving for key in (1, 2, 3)] == [False, True, False]
    queues.leave(1)
    assert [queue_of(queues, key).is_leaving for key in (1, 2, 3)] == [False, True, False]


def test_a_webhook_without_work_is_unused_after_two_seconds(queues, now):
    read(queues, requests(1))
    queues.written(answered(queues, queues.next()))
    now[0] += 1.9
    queues.drop_unused()
    assert queues.keys == {1}
    now[0] += 0.2
    queue_of(queues).has_more[False] = True
    queues.drop_unused()
    assert queues.keys == {1}
    queue_of(queues).has_more[False] = False

    queues.drop_unused()

    assert queues.keys == set()


def test_a_halted_queue_waits_until_its_result_is_written_and_is_read_again(queues):
    (first, second), other = requests(2), a_request(2)
    read(queues, [first, second, other], concurrency=2)
    queues.next()
    result = answered(queues, first, status=500)
    # It was ready, and goes out no more; others do.
    assert next_ones(queues) == [other]
    assert not any(queues.wanting())

    queues.written(result)

    # The webhook may be paused now.
    assert next_ones(queues) == []
    assert queues.to_read(100) == [queue_of(queues)]
    assert queue_of(queues).held == set()


def test_a_queue_halted_twice_waits_for_both_results(queues):
    read(queues, requests(2), concurrency=2)
    results = [answered(queues, one, status=500) for one in next_ones(queues)]

    queues.written(results[0])
    assert not any(queues.wanting())
    queues.written(results[1])

    assert any(queues.wanting())


def test_a_result_that_is_lost_keeps_its_delivery_from_being_sent_again(queues):
    (one,) = requests(1)
    read(queues, [one])
    result = answered(queues, queues.next())

    queues.written(result, is_lost=True)

    assert queue_of(queues).held == {one.delivery_id}


# Replays


def replays(number):
    return [request._replace(is_replay=True) for request in requests(number)]


def with_limit(limit, *, seconds=inf):
    """Return queues whose first webhook has so many requests in flight at most, and answers in so many seconds."""
    queues = make_queues(100)
    read(queues, [], concurrency=limit, full=[1])
    adaptive = queue_of(queues).limit
    adaptive.limit, adaptive.seconds_each = limit, seconds
    return queues


def kinds(found):
    return "".join("R" if one.is_replay else "L" for one in found)


@pytest.mark.parametrize(
    "limit, sent",
    # While it is sent, each request is answered before the next one.
    [(1, "RLLLRLLLRLLL"), (2, "RLLLRLLLRLLL"), (8, "RLLLRLLLRLLL")],
)
def test_reserved_replays_ones_every_fourth_request_is_a_replay(limit, sent):
    queues = with_limit(limit)
    read(queues, [*replays(6), *requests(18)], concurrency=limit)

    found = []
    for _ in sent:
        found.append(queues.next())
        answered(queues, found[-1])

    assert kinds(found) == sent


def test_replays_that_wait_take_no_place_from_other_deliveries():
    queues = with_limit(4)
    empty = wanted(queues)
    read(queues, replays(9), concurrency=4, full=[1])

    assert wanted(queues) == empty
    assert len(next_ones(queues)) == 4


@pytest.mark.parametrize(
    "seconds, quiet, number",
    [(inf, True, 8), (0.5, True, 8), (0.02, True, 48), (inf, False, 2), (0.02, False, 12)],
)
def test_so_many_replays_are_worth_reading_as_a_receiver_takes_in_the_next_moment(seconds, quiet, number):
    queues = with_limit(8, seconds=seconds)
    queue_of(queues).has_more = [not quiet, True]

    assert queue_of(queues).wanted[True] == number


def test_for_a_second_after_a_live_request_of_any_webhook_few_replays_are_read_together(now):
    queues = with_limit(8, seconds=0.001)
    read(queues, [a_request(2, organization="B")])
    queue_of(queues).has_more = [False, True]
    quiet = queue_of(queues).wanted[True]

    queues.next()

    assert queue_of(queues).wanted[True] == FEW_REPLAYS < quiet
    queue_of(queues).has_more[False] = True
    assert queue_of(queues).wanted == [quiet, FEW_REPLAYS // 4]
    queue_of(queues).has_more[False] = False
    now[0] += 1.1
    assert queue_of(queues).wanted[True] == quiet


def test_beside_live_requests_of_others_a_slow_receiver_with_one_slot_gets_its_replays(now):
    queues = with_limit(1, seconds=2.0)
    read(queues, [a_request(2, organization="B")])
    queues.next()
    queue_of(queues).has_more, queue_of(queues).live_since_replay = [False, True], 0

    assert queue_of(queues).wanted[True] == 1


# Requests that were not started


def test_a_request_that_is_put_back_is_the_next_one_and_occupies_no_slot(queues):
    first, second, third = found = requests(3)
    read(queues, found, concurrency=2)
    other = a_request(2, organization="B")
    read(queues, [other])
    assert next_ones(queues) == [first, other, second]

    for request in (second, first):
        queues.put_back(request)

    assert (queues.in_flight, queues.may_start) == (1, True)
    assert next_ones(queues) == [first, second]
    answered(queues, first)
    assert next_ones(queues) == [third]


def test_a_replay_that_is_put_back_keeps_its_turn_among_live_requests(queues):
    live, (replay,) = requests(5), [one._replace(is_replay=True) for one in requests(1)]
    read(queues, [*live, replay], concurrency=2)
    queue_of(queues).live_since_replay = 0
    for one in live[:3]:
        assert queues.next() == one
        answered(queues, one)
    assert queues.next() == replay
    queues.put_back(replay)

    assert next_ones(queues) == [replay, live[3]]
