"""A worker is killed with SIGKILL in the middle of a job about moves: each object's events come once, and in order."""

import json
import signal
from collections import Counter, defaultdict

import pytest

from tests.patience import PATIENCE
from tests.scenarios.processes import stop
from tms_webhooks.choices import JobStatus
from tms_webhooks.models import Delivery, Event, Job

pytestmark = pytest.mark.slow

PAGES = {"moves.PAGE": 2, "snapshot.PAGE": 2}


@pytest.mark.parametrize("moment", ["recording", "recorded"])
@pytest.mark.parametrize("writes", [2, 7], ids=["with an object", "with a branch"])
def test_what_moves_along_is_received_once_and_in_order(receiver, processes, tables, moment, writes):
    here = processes.but(**PAGES)
    expected = json.loads(here.run("tests.scenarios.moving", f"http://127.0.0.1:{receiver.port}"))
    jobs = Job.objects.using(tables.using)

    with here.start("tests.scenarios.dying", moment, "jobs", str(writes)) as victim:
        victim.wait(PATIENCE)
    assert victim.returncode == -signal.SIGKILL
    assert 0 < sum(jobs.values_list("done", flat=True)) < len(expected["old"])
    with here.drain() as heir:
        tables.wait_until(lambda: not jobs.unfinished().exists())
        tables.wait_until(lambda: not Event.objects.using(tables.using).to_fan_out().exists())
        tables.wait_until(lambda: not Delivery.objects.using(tables.using).open().exists())
        stop(heir)

    assert {*jobs.values_list("status", flat=True)} == {JobStatus.FINISHED}
    received, numbers = defaultdict(Counter), defaultdict(list)
    for request in receiver.received:
        name, event = request.path.rpartition("/")[2], request.event
        received[name][event["type"], event["data"]["id"]] += 1
        numbers[name, event["type"].partition(".")[0], event["data"]["id"]].append(event["sequence"])
    assert received == {name: Counter(map(tuple, events)) for name, events in expected.items()}
    assert [given for given in numbers.values() if given != sorted(given)] == []
