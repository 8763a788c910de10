"""What a scenario's processes are given to do, and what came of it: in the receiver's hands, and in the tables."""

import json
import time
from collections import Counter

from tests.patience import PATIENCE


def fill(processes, receiver, events):
    """Write so many events for two webhooks, at ``/first`` and ``/second`` of the receiver."""
    processes.run("tests.scenarios.outbox", "fill", f"http://127.0.0.1:{receiver.port}", str(events))


def outcome(processes):
    """Return the rows, as `outbox.show` tells them."""
    return json.loads(processes.run("tests.scenarios.outbox", "show"))


def name(request):
    """Return what a request brings, and where to."""
    return (request.path, request.headers["webhook-id"])


def came(receiver):
    """Return how often each delivery came."""
    return Counter(name(request) for request in receiver.received)


def wait_until_all(receiver, deliveries, *, seconds=PATIENCE):
    """Wait until so many different deliveries have come, however often each."""
    end = time.monotonic() + seconds
    while len({name(request) for request in list(receiver.received)}) < deliveries:
        assert time.monotonic() < end, f"{len(receiver.received)} requests came"
        time.sleep(0.02)


def assert_all_delivered_once(shown, *, events):
    """Assert that the rows know of one attempt for each delivery, and that it succeeded."""
    deliveries = shown["deliveries"]
    assert len({(url, event) for url, event, _, _ in deliveries}) == len(deliveries) == 2 * events
    assert {(status, attempts) for _, _, status, attempts in deliveries} == {("delivered", 1)}
    numbered = [(delivery, number) for delivery, number, _ in shown["attempts"] if number is not None]
    assert len(set(numbered)) == len(numbered) == 2 * events
    assert {number for _, number in numbered} == {1}
