"""A worker is killed with SIGKILL in the middle of writing down what came of its requests."""

import signal
from collections import Counter, defaultdict

import pytest

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.outcome import fill, name
from tests.scenarios.processes import stop

pytestmark = pytest.mark.slow

EVENTS = 4
# Every delivery fails once: its numbers have to go on where they were.
PATIENT = {"RETRY_DELAYS_SECONDS": [0.1], "RETRY_JITTER": 0, "PAUSE_AFTER_FAILURES": 100}


def failing_once(receiver):
    seen = Counter()

    def respond(request):
        seen[name(request)] += 1
        return Answer(status=500 if seen[name(request)] == 1 else 200)

    receiver.respond = respond


@pytest.mark.parametrize("moment", ["recording", "recorded"])
def test_what_was_not_committed_is_sent_again_as_the_same_event_and_counted_once(receiver, processes, tables, moment):
    failing_once(receiver)
    fill(processes, receiver, EVENTS)

    with processes.but(**PATIENT).start("tests.scenarios.dying", moment) as victim:
        victim.wait(PATIENCE)
    assert victim.returncode == -signal.SIGKILL
    # Attempts and deliveries tell the same, down to the last commit.
    left_behind = tables.outcome()
    assert len(left_behind["attempts"]) == sum(attempts for *_, attempts in left_behind["deliveries"]) > 0

    with processes.but(**PATIENT).drain() as heir:
        tables.wait_for({"delivered": 2 * EVENTS})
        stop(heir)

    numbers = tables.numbers()
    assert len(numbers) == 2 * EVENTS
    assert list(numbers.values()) == [list(range(1, attempts + 1)) for *_, attempts in tables.outcome()["deliveries"]]
    heard = Counter((one.headers["tms-delivery-id"], int(one.headers["tms-attempt"])) for one in receiver.received)
    assert set(heard) == {(delivery, number) for delivery in numbers for number in numbers[delivery]}
    assert moment == "recorded" or max(heard.values()) == 2
    assert_identities(receiver, tables.outcome())


def assert_identities(receiver, shown):
    """Each delivery came under one event's id and with the same bytes, however often it came."""
    came = defaultdict(set)
    for request in receiver.received:
        came[request.headers["tms-delivery-id"]].add((*name(request), request.body))
    assert {len(versions) for versions in came.values()} == {1}
    expected = {(f"/{url.rpartition('/')[2]}", event) for url, event, *_ in shown["deliveries"]}
    assert {one[:2] for versions in came.values() for one in versions} == expected
