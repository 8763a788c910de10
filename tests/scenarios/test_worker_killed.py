"""Workers are killed with SIGKILL while they send: what they held is delivered by others, and nothing is lost."""

import pytest

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.outcome import assert_all_delivered_once, came, fill, outcome, wait_until_all
from tests.scenarios.processes import stop


@pytest.mark.slow
def test_what_a_killed_worker_was_sending_is_delivered_by_another_when_its_lease_is_over(receiver, processes):
    fill(processes, receiver, 8)
    # The first four, two for each webhook, get no answer while their worker lives.
    receiver.respond = lambda request: Answer(delay=2 * PATIENCE if len(receiver.received) <= 4 else 0.0)

    with processes.drain() as victim:
        receiver.wait_for(4)
        victim.kill()
    interrupted = came(receiver)
    assert len(interrupted) == 4

    with processes.drain() as heir:
        wait_until_all(receiver, 16)
        # Each of the four comes once more.
        receiver.wait_for(20)
        tally = stop(heir)

    assert (tally["sent"], tally["delivered"]) == (16, 16)
    received = came(receiver)
    assert {one: count for one, count in received.items() if count > 1} == dict.fromkeys(interrupted, 2)
    assert_all_delivered_once(outcome(processes), events=8)


def test_workers_that_are_killed_one_after_the_other_lose_nothing(receiver, processes):
    fill(processes, receiver, 60)
    receiver.respond = lambda request: Answer(delay=0.01)

    for number in (25, 60):
        with processes.drain() as victim:
            receiver.wait_for(number)
            victim.kill()
    with processes.drain() as heir:
        wait_until_all(receiver, 120)
        stop(heir)

    # Four were under way at each kill; the answers of some more had come, and were not written down yet.
    assert 0 < len(receiver.received) - 120 < 2 * 60
    assert_all_delivered_once(outcome(processes), events=60)
