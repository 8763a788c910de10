"""Ten thousand events in one transaction: all of them or none, each delivered once, and a neighbor does not wait."""

import json
import threading
import time
from collections import Counter, defaultdict

import pytest

from tests.integration.net.servers import Server, reply
from tests.patience import PATIENCE
from tests.scenarios.logged import logged
from tests.scenarios.many import CLASSES, EACH, EVENTS
from tests.scenarios.processes import Processes, lease_of, settings_for, stop
from tms_webhooks.models import Delivery, DeliveryAttempt

pytestmark = pytest.mark.slow

THINKING = 0.01


class Counting:
    """A receiver that notes the path and the body of each request, and when it came."""

    def __init__(self):
        self.received = []
        self._all = threading.Event()
        self._neighbor_came = threading.Event()
        self._awaited = EVENTS + 1
        self.server = Server(self._handle)

    def wait(self, drain):
        """Wait until everything has come, as long as there is somebody to bring it."""
        end = time.monotonic() + PATIENCE
        while not self._all.wait(0.5):
            drain.assert_alive()
            assert time.monotonic() < end, f"{len(self.received)} of {self._awaited} requests came"

    def _handle(self, visit):
        visit.sock.settimeout(PATIENCE)
        while (request := visit.read()) is not None:
            path = request.lines[0].split(" ")[1]
            self.received.append((time.time(), path, request.body))
            if len(self.received) == self._awaited:
                self._all.set()
            if path == "/neighbor":
                self._neighbor_came.set()
            # As slow as a receiver is, until it is known who had to wait for it.
            self._neighbor_came.wait(THINKING)
            visit.write(reply())


@pytest.fixture
def counting():
    receiver = Counting()
    yield receiver
    receiver.server.close()


def sequences(bodies):
    """Return the numbers of each object's events, in their order."""
    found = defaultdict(list)
    for body in bodies:
        event = json.loads(body)
        found[event["data"]["id"]].append(event["sequence"])
    return {key: sorted(numbers) for key, numbers in found.items()}


def test_ten_thousand_events_are_all_or_nothing_delivered_once_and_keep_no_neighbor_waiting(
    processes, tables, counting, tmp_path
):
    processes = Processes(processes.url, {**settings_for(counting.server.port), **lease_of(30.0)})
    with logged(processes, tmp_path / "drain.log", "django", "webhooks_drain", "--skip-checks", "--json") as drain:
        with logged(processes, tmp_path / "many.log", "tests.scenarios.many", counting.server.url("")) as writer:
            report = json.loads(writer.finish(seconds=PATIENCE))
        counting.wait(drain)
        tally = stop(drain.process)

    # Inside the transaction they were all there, and after it, undone, none.
    assert report["inside"] == {"classes": CLASSES, "events": EVENTS, "numbers": CLASSES}
    assert report["undone"] == {"classes": 0, "events": 0, "numbers": 0}
    # And no request was sent before the other one was committed.
    assert counting.received[0][0] > report["written_at"]

    busy = [body for _at, path, body in counting.received if path == "/busy"]
    assert sequences(busy) == {key: list(range(1, EACH + 1)) for key in report["classes"]}
    assert len({json.loads(body)["id"] for body in busy}) == len(busy) == EVENTS
    assert (tally["events"], tally["sent"], tally["delivered"]) == (EVENTS + 1, EVENTS + 1, EVENTS + 1)
    rows = Delivery.objects.using(tables.using).values_list("status", "attempts")
    assert Counter(rows) == {("delivered", 1): EVENTS + 1}
    assert DeliveryAttempt.objects.using(tables.using).filter(number=1).count() == EVENTS + 1

    (turn,) = [turn for turn, (_at, path, _body) in enumerate(counting.received) if path == "/neighbor"]
    assert turn < EVENTS / 2
