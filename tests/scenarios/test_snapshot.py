"""A snapshot with edits going on, whose worker is killed in the middle: the receiver ends equal to the database.

``TMS_SNAPSHOT_OBJECTS`` sets the number of objects, half of them classes and half of them enrollments.
"""

import json
import os
import signal
from collections import Counter
from pathlib import Path

from example_project.training.models import ClassEnrollment, TrainingClass
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.processes import stop
from tms_webhooks.choices import Priority
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Job

OBJECTS = int(os.environ.get("TMS_SNAPSHOT_OBJECTS", "200"))
SECONDS = PATIENCE + OBJECTS / 50
"""Seconds that all of it may take: many times what it does take."""
BACKLOG = 60
MOST_GROWTH = 40.0
"""Megabytes by which a worker may grow after it has sent a twentieth."""


class Copy:
    """The receiver's copy of the objects, as ``docs/howto/snapshot.md`` makes it."""

    def __init__(self):
        self.known = {}
        self.objects = {}
        self.types = Counter()
        self.completed = []

    def apply(self, request, received):
        """Apply an event unless a later one of the object is known."""
        # Not kept: there are as many as objects.
        received.clear()
        event = request.event
        noun, _, verb = event["type"].partition(".")
        self.types[event["type"]] += 1
        if noun == "webhook":
            self.completed.append(event["details"])
            return Answer()
        key = (noun, event["data"]["id"])
        if event["sequence"] >= self.known.get(key, 0):
            self.known[key] = event["sequence"]
            self.objects.pop(key, None)
            if verb != "deleted":
                self.objects[key] = event["data"]
        return Answer()

    @property
    def snapshots(self):
        return self.types["class.snapshot"] + self.types["enrollment.snapshot"]

    def state(self):
        """Return each object's status, and of a class its name."""
        return {
            (noun, key): (data["status"]["code"], *([data["name"]] if noun == "class" else []))
            for (noun, key), data in self.objects.items()
        }


def state_of(using):
    """Return the same of the database."""
    classes = TrainingClass.objects.using(using).values_list("pk", "confirmation_status_id", "name")
    enrollments = ClassEnrollment.objects.using(using).values_list("pk", "enrollment_status_id")
    return {
        **{("class", pk): (status, name) for pk, status, name in classes},
        **{("enrollment", pk): (status,) for pk, status in enrollments},
    }


def is_idle(using):
    """Return whether nothing is left to record and to send."""
    rows = Event.objects.to_fan_out(), Delivery.objects.open(), Job.objects.unfinished()
    return not any(some.using(using).exists() for some in rows)


class Sizes:
    """The resident sizes of a process, in megabytes."""

    def __init__(self, pid):
        self._statm = Path(f"/proc/{pid}/statm")
        self.seen = []

    def look(self):
        self.seen.append(int(self._statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)

    @property
    def growth(self):
        return max(self.seen) - self.seen[0]


def test_a_receiver_ends_equal_to_the_database(receiver, processes, tables):
    copy = Copy()
    receiver.respond = lambda request: copy.apply(request, receiver.received)
    here = processes.but(**{"snapshot.SNAPSHOT_BACKLOG": BACKLOG})
    with here.start("tests.scenarios.snapshots", "fill", receiver.url, str(OBJECTS)) as filler:
        made = json.loads(filler.communicate(timeout=SECONDS)[0])
    own = Delivery.objects.using(tables.using).filter(priority=2)

    with here.start("tests.scenarios.snapshots", "edit") as editor:
        with here.drain(seconds=SECONDS) as victim:
            tables.wait_until(lambda: copy.snapshots > OBJECTS // 20, seconds=SECONDS)
            sizes = Sizes(victim.pid)

            def is_in_the_middle():
                sizes.look()
                assert own.open().count() <= BACKLOG + 100
                return copy.snapshots > OBJECTS // 2

            tables.wait_until(is_in_the_middle, seconds=SECONDS)
            victim.kill()
        growth = [sizes.growth]
        assert copy.snapshots < OBJECTS
        # What it had sent and not written down is sent again, and one request may still be on its way.
        written = DeliveryAttempt.objects.using(tables.using).filter(delivery__priority=Priority.REPLAY).count()
        most_again = copy.snapshots - written + 1
        with here.drain(seconds=SECONDS) as heir:
            tables.wait_until(lambda: copy.snapshots > OBJECTS // 2 + OBJECTS // 20, seconds=SECONDS)
            sizes = Sizes(heir.pid)

            def is_over():
                sizes.look()
                return bool(copy.completed)

            tables.wait_until(is_over, seconds=SECONDS)
            growth.append(sizes.growth)
            editor.send_signal(signal.SIGTERM)
            printed, _ = editor.communicate(timeout=PATIENCE)
            edits = json.loads(printed)
            tables.wait_until(lambda: is_idle(tables.using), seconds=SECONDS)
            stop(heir)

    print({"objects": OBJECTS, "edits": edits, "growth_mb": growth, "types": dict(copy.types)})  # noqa: T201
    job = Job.objects.using(tables.using).get(pk=made["job"])
    assert (job.status, job.skipped, job.error) == ("finished", 0, "")
    (completed,) = copy.completed
    assert (completed["objects"], completed["failed"]) == (job.done, 0)
    assert job.done <= copy.snapshots <= job.done + most_again
    assert edits["made"] > 20
    assert max(growth) < MOST_GROWTH
    assert copy.state() == state_of(tables.using)
