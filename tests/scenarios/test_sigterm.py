"""``webhooks_drain`` is asked to stop while requests are under way."""

import signal
import threading

import pytest

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.answers import held
from tests.scenarios.outcome import assert_all_delivered_once, came, fill, wait_until_all
from tests.scenarios.processes import lease_of, stop, tally_of
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook

EVENTS = 60
ANSWERED = 40
AT_ONCE = 4
# Longer than any of these tests: nobody waits for one to run out.
LONG = {**lease_of(60.0), "MAX_IN_FLIGHT": 2}


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


def test_what_is_under_way_is_finished_and_the_rest_is_there_for_others_at_once(receiver, processes, tables, gate):
    fill(processes, receiver, EVENTS)
    # Quick at first, so that the drain claims ahead of what it sends.
    receiver.respond = lambda request: Answer() if len(receiver.received) <= ANSWERED else held(gate)

    with processes.but(**LONG).drain() as drain:
        receiver.wait_for(ANSWERED + AT_ONCE, seconds=PATIENCE)
        tables.wait_until(lambda: tables.statuses()["delivered"] == ANSWERED)

        drain.send_signal(signal.SIGTERM)

        assert drain.poll() is None
        gate.set()
        tally = tally_of(drain)

    assert (tally["sent"], tally["delivered"]) == (ANSWERED + AT_ONCE, ANSWERED + AT_ONCE)
    assert len(receiver.received) == ANSWERED + AT_ONCE
    assert tables.statuses() == {"delivered": ANSWERED + AT_ONCE, "pending": 2 * EVENTS - ANSWERED - AT_ONCE}

    with processes.but(**LONG).drain() as heir:
        wait_until_all(receiver, 2 * EVENTS)
        stop(heir)
    assert set(came(receiver).values()) == {1}
    assert_all_delivered_once(tables.outcome(), events=EVENTS)


def test_a_receiver_that_never_answers_keeps_it_no_longer_than_its_own_limit(receiver, processes, tables, gate):
    fill(processes, receiver, 1)
    Webhook.objects.using(tables.using).update(timeout_seconds=1)
    receiver.respond = lambda request: held(gate)

    with processes.but(**LONG).drain() as drain:
        receiver.wait_for(2, seconds=PATIENCE)
        drain.send_signal(signal.SIGTERM)
        tally = tally_of(drain)

    assert (tally["sent"], tally["delivered"]) == (2, 0)
    rows = Delivery.objects.using(tables.using).values_list("status", "attempts", "error_class")
    assert list(rows) == [("waiting", 1, "timeout")] * 2
    attempts = DeliveryAttempt.objects.using(tables.using).values_list("number", "status_code", "error_class")
    assert list(attempts) == [(1, None, "timeout")] * 2
