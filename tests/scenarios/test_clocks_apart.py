"""Two hosts whose clocks differ by five minutes share the work: nothing is sent twice, in a wrong order or too fast."""

import signal
import threading
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.integration.delivery.rows import distinct, subscribed, write_events
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.mixed import DELIVERIES, assert_limits_are_exact, write_mixed
from tests.scenarios.outcome import came, wait_until_all
from tests.scenarios.processes import LEASE, stop, tally_of
from tms_webhooks.models import Delivery

pytestmark = pytest.mark.slow

AHEAD = 300.0


@pytest.fixture(autouse=True)
def hosts_apart():
    if connection.vendor == "sqlite":
        pytest.skip("the database of two hosts is a server")


@contextmanager
def two_hosts(processes, tables, receiver):
    """Start a drain whose clock is right and one whose clock is ahead, and wait until each has sent a request."""
    webhook = subscribed(url=f"http://127.0.0.1:{receiver.port}/first")
    ahead = processes.but(environment={"TMS_SCENARIO_AHEAD": str(AHEAD)})
    with ahead.drain() as wrong:
        write_events(webhook.organization, 1)
        tables.wait_for({"delivered": 1})
        wrong.send_signal(signal.SIGSTOP)
        with processes.drain() as right:
            write_events(webhook.organization, 1)
            tables.wait_for({"delivered": 2})
            wrong.send_signal(signal.SIGCONT)
            yield right, wrong


def test_two_hosts_five_minutes_apart_send_everything_once_and_keep_caps_order_and_rates(processes, tables, receiver):
    number = 2 + DELIVERIES

    with two_hosts(processes.but(**{"worker.drain.READ_BATCH": 4}), tables, receiver) as hosts:
        events = write_mixed(tables, receiver)
        wait_until_all(receiver, number)
        tables.wait_for({"delivered": number})
        tallies = [stop(host) for host in hosts]

    assert sum(tally["sent"] for tally in tallies) == number
    assert min(tally["sent"] for tally in tallies) > 1
    assert set(came(receiver).values()) == {1}
    assert distinct(Delivery, "status", "attempts") == {("delivered", 1)}
    # A receiver may refuse a timestamp that is minutes off.
    assert max(abs(int(request.headers["webhook-timestamp"]) - request.at) for request in receiver.received) < AHEAD / 2
    assert_limits_are_exact(receiver, events)


def test_a_host_that_is_ahead_respects_the_lease_of_a_request_in_flight(processes, tables, receiver):
    """By its own clock each lease has run out minutes ago."""
    gate = threading.Event()
    receiver.respond = lambda request: Answer(delay=0.0 if gate.wait(PATIENCE) else 1.0)
    subscribed(url=receiver.url, happened=1)

    with processes.drain():
        receiver.wait_for(1, seconds=PATIENCE)
        with processes.but(environment={"TMS_SCENARIO_AHEAD": str(AHEAD)}).drain(seconds=2 * LEASE) as wrong:
            tally = tally_of(wrong)
        gate.set()
        tables.wait_for({"delivered": 1})

    assert tally["sent"] == 0
    assert len(receiver.received) == 1
