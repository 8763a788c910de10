"""How much a worker holds of a webhook, and how much of it is worth holding."""

from __future__ import annotations

import pytest

from tests.unit.worker.outgoing import outgoing, outgoing_requests
from tms_webhooks.worker import endpoint_queues as lanes_module
from tms_webhooks.worker.endpoint_queues import LOOK_AHEAD, MOST_ROUNDS, EndpointQueues


@pytest.fixture
def clock(monkeypatch):
    """The machine's clock, moved by hand."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(lanes_module, "monotonic", lambda: Clock.now)
    return Clock


def test_what_waits_and_what_is_under_way_is_held():
    priorities = EndpointQueues()
    priorities.offer(outgoing_requests(3, cap=2))
    assert priorities.held == 3
    first, second = priorities.take(), priorities.take()
    assert priorities.held == 3

    priorities.done(first, 0.1)
    assert priorities.held == 2
    priorities.withdraw()
    assert priorities.held == 1
    priorities.done(second, 0.1)
    assert priorities.held == 0


def test_what_could_go_out_now_is_short_of_hands():
    priorities = EndpointQueues()
    assert priorities.short_of_hands == 0
    priorities.offer([*outgoing_requests(5, 1, cap=2), outgoing(2)])
    assert priorities.short_of_hands == 3

    priorities.take()
    priorities.take()

    assert priorities.short_of_hands == 1  # one more of the first
    priorities.take()
    assert priorities.short_of_hands == 0


def test_of_an_unknown_receiver_no_more_is_held_than_is_sent_at_once():
    assert EndpointQueues().prefetch(1, 4) == 4


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [(0.001, MOST_ROUNDS), (0.0, MOST_ROUNDS), (0.01, 10), (0.03, 3), (0.05, 2), (0.06, 1), (LOOK_AHEAD, 1), (5.0, 1)],
)
def test_of_a_quick_one_as_much_as_it_takes_in_a_moment(seconds, rounds):
    priorities = EndpointQueues()
    (one,) = outgoing_requests(1)
    priorities.offer([one])
    priorities.done(priorities.take(), seconds)

    assert priorities.prefetch(1, 3) == 3 * rounds


def test_its_pace_is_that_of_the_last_few(clock):
    priorities = EndpointQueues()
    for seconds in (0.01, 1.0, 1.0):
        priorities.offer(outgoing_requests(1))
        priorities.done(priorities.take(), seconds)
    assert priorities.prefetch(1, 1) == 1

    for _ in range(12):
        priorities.offer(outgoing_requests(1))
        priorities.done(priorities.take(), 0.01)

    assert priorities.prefetch(1, 1) > 4


def test_of_a_quick_one_that_is_stuck_now_no_more_than_is_sent_at_once(clock):
    priorities = EndpointQueues()
    priorities.offer(outgoing_requests(2))
    priorities.done(priorities.take(), 0.001)
    priorities.take()
    assert priorities.prefetch(1, 2) == 2 * MOST_ROUNDS

    clock.now += LOOK_AHEAD + 0.001

    assert priorities.prefetch(1, 2) == 2


def test_a_pause_in_which_nothing_was_under_way_is_no_sign_of_being_stuck(clock):
    priorities = EndpointQueues()
    priorities.offer(outgoing_requests(2))
    priorities.done(priorities.take(), 0.001)
    clock.now += 60.0
    priorities.take()

    assert priorities.prefetch(1, 2) == 2 * MOST_ROUNDS
