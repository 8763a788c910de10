"""Two hosts whose clocks differ by five minutes share the work: nothing is sent twice, in a wrong order or too fast."""

from __future__ import annotations

import signal
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager

import pytest
from django.db import connection

from tests.integration.delivery.objects import happen
from tests.integration.delivery.rows import distinct, subscribed, write, write_events
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.outcome import name, wait_until_all
from tests.scenarios.processes import LEASE, stop, tally_of
from tms_webhooks.models import Delivery, Webhook

pytestmark = pytest.mark.django_db(transaction=True)

AHEAD = 300.0
DELAY = 0.15
"""Seconds that the receiver takes for each answer."""
CAP = 2
RATE = 4
EVENTS = 12
OBJECTS = 3


@pytest.fixture(autouse=True)
def hosts_apart():
    if connection.vendor == "sqlite":
        pytest.skip("the database of two hosts is a server")


def write_work(receiver):
    """Write events for webhooks with a cap, with an order, and with a rate; return the number of their deliveries."""
    capped, ordered, limited = [subscribed(max_in_flight=CAP) for _ in range(6)], subscribed(ordered=True), subscribed()
    write(limited, rate_limit_per_second=RATE)
    for path, webhook in {
        **{f"capped{n}": one for n, one in enumerate(capped)},
        "ordered": ordered,
        "limited": limited,
    }.items():
        write(webhook, url=f"http://127.0.0.1:{receiver.port}/{path}")
        if webhook is not ordered:
            write_events(webhook.organization, EVENTS)
    for number in range(EVENTS):
        happen(ordered.organization, f"object-{number % OBJECTS}")
    return EVENTS * (len(capped) + 2)


def by_path(receiver):
    """Return the requests of each webhook, in the order in which they came."""
    found = defaultdict(list)
    for request in sorted(receiver.received, key=lambda request: request.at):
        found[request.path].append(request)
    return found


def most_at_once(moments, *, seconds):
    """Return how many of these moments at most lie within so many seconds of each other."""
    return max(sum(0 <= other - moment < seconds for other in moments) for moment in moments)


@contextmanager
def two_hosts(processes, tables, receiver):
    """Start a drain whose clock is right and one whose clock is ahead, and wait until each has sent a request."""
    webhook = subscribed()
    write(webhook, url=f"http://127.0.0.1:{receiver.port}/first")
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
    receiver.respond = lambda request: Answer(delay=DELAY)
    with two_hosts(processes.but(**{"worker.drain.READ_BATCH": 4}), tables, receiver) as hosts:
        number = 2 + write_work(receiver)
        wait_until_all(receiver, number)
        tables.wait_for({"delivered": number})
        tallies = [stop(host) for host in hosts]

    assert sum(tally["sent"] for tally in tallies) == number
    assert min(tally["sent"] for tally in tallies) > 1
    assert set(Counter(name(request) for request in receiver.received).values()) == {1}
    assert distinct(Delivery, "status", "attempts") == {("delivered", 1)}
    # A receiver may refuse a timestamp that is minutes off.
    assert max(abs(int(request.headers["webhook-timestamp"]) - request.at) for request in receiver.received) < AHEAD / 2
    requests = by_path(receiver)
    for path, came in requests.items():
        cap = 1 if path == "/ordered" else CAP
        assert most_at_once([request.at for request in came], seconds=DELAY) <= cap
    # One host has the webhook: the rate is exact.
    first, *_, last = requests["/limited"]
    assert last.at - first.at >= (EVENTS - 1) / RATE - 0.1
    rows = Delivery.objects.filter(webhook__ordered=True).order_by("event_id")
    subjects = {one.event.public_id: one.event.subject_id for one in rows.select_related("event")}
    came = [request.headers["webhook-id"] for request in requests["/ordered"]]
    for subject in set(subjects.values()):
        assert [one for one in came if subjects[one] == subject] == [
            one for one in subjects if subjects[one] == subject
        ]


def test_a_host_that_is_ahead_respects_the_lease_of_a_request_in_flight(processes, tables, receiver):
    """By its own clock each lease has run out minutes ago."""
    gate = threading.Event()
    receiver.respond = lambda request: Answer(delay=0.0 if gate.wait(PATIENCE) else 1.0)
    webhook = subscribed(max_in_flight=CAP)
    Webhook.objects.update(url=receiver.url)
    write_events(webhook.organization, 1)

    with processes.drain():
        receiver.wait_for(1, seconds=PATIENCE)
        with processes.but(environment={"TMS_SCENARIO_AHEAD": str(AHEAD)}).drain(seconds=2 * LEASE) as wrong:
            tally = tally_of(wrong)
        gate.set()
        tables.wait_for({"delivered": 1})

    assert tally["sent"] == 0
    assert len(receiver.received) == 1
