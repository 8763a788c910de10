"""Two clusters on one database share the work, double none of it, and one does it all when the other dies.

They have no wake-up socket in common, as on two hosts or under two users.
"""

import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.utils import timezone

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.clusters import with_queue
from tests.scenarios.logged import Logged, logged
from tests.scenarios.outcome import came, wait_until_all
from tests.scenarios.processes import lease_of
from tests.scenarios.queues import QUEUE
from tms_webhooks.models import Delivery, DrainSlot, Event
from tms_webhooks.models.drain import GRACE

pytestmark = pytest.mark.slow

WEBHOOKS = 16
EVENTS = 25
DELIVERIES = WEBHOOKS * EVENTS
DRAINS = 4
"""As many as there are workers: two in each cluster. With fewer, all of them may come to be in the same one."""
BUDGET = 2.0
LEASE = 3.0
SWEPT = 100.0
"""Seconds after which the sweep has come, if a chain of drains died with its cluster."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    processes: Logged

    def attempts(self):
        """Return the deliveries that it says it has tried, and how often."""
        return Counter(re.findall(r"attempt event=\S+ delivery=(\d+) ", self.processes.log.read_text()))

    def has_a_drain_at_work(self, tables):
        """Whether one of its drains is in the first half of its time: its successor waits in the database still."""
        self.processes.assert_alive()
        soon = timezone.now() + GRACE + timedelta(seconds=BUDGET / 2)
        held = DrainSlot.objects.using(tables.using).filter(held_until__gt=soon).exclude(owner="")
        return any(self.processes.has(int(owner.split(":")[1])) for owner in held.values_list("owner", flat=True))


@pytest.fixture
def clusters(processes, tables, receiver, tmp_path):
    """Two clusters, whose drains can hold little at a time; and webhooks for which nothing waits."""
    # With few in hand, neither can take it all for itself.
    settings = {
        "DRAINS": DRAINS,
        "DRAIN_BUDGET_SECONDS": BUDGET,
        "worker.drain.DRAIN_REST": 0.05,
        "worker.drain.DRAIN_SLEEP": 0.05,
        "worker.drain.READ_BATCH": 4,
        **lease_of(LEASE),
    }
    clustered = with_queue(processes, tables).but(**settings)
    for number in range(WEBHOOKS):
        tables.subscribe(receiver, str(number))
    with ExitStack() as stack:
        # Not below pytest's own folder: the path of a socket must be short.
        folders = [Path(stack.enter_context(TemporaryDirectory(prefix="tms-"))) for _ in range(2)]
        clusters = []
        for folder in folders:
            alone, log = clustered.but(environment={"TMPDIR": str(folder)}), tmp_path / f"{folder.name}.log"
            clusters.append(Cluster(stack.enter_context(logged(alone, log, *QUEUE.command))))
        yield clusters


def in_flight(tables):
    """Return what is in flight, as the receiver would name it."""
    rows = Delivery.objects.using(tables.using).maybe_in_flight(timezone.now())
    return {
        (f"/{row.webhook.url.rsplit('/', 1)[1]}", row.event.public_id)
        for row in rows.select_related("webhook", "event")
    }


def states(tables):
    return Counter(Delivery.objects.using(tables.using).values_list("status", "attempts"))


def keep_busy(tables):
    """Add events, unless enough wait: one cluster may do all that there is before the other one has a drain for it."""
    events = Event.objects.using(tables.using)
    if tables.statuses()["pending"] < DELIVERIES / 2 and not events.to_fan_out().exists():
        tables.add_events(EVENTS)


def test_two_clusters_share_the_work_and_double_none_of_it(clusters, tables, receiver):
    # Slow enough that the other cluster notices before all of it is done: it has no wake-up.
    receiver.respond = lambda request: Answer(delay=0.3)

    def both_have_worked():
        keep_busy(tables)
        return all(cluster.attempts() for cluster in clusters)

    tables.wait_until(both_have_worked)
    deliveries = WEBHOOKS * Event.objects.using(tables.using).count()
    wait_until_all(receiver, deliveries, seconds=PATIENCE)
    tables.wait_for({"delivered": deliveries}, seconds=PATIENCE)

    # A line is written once its row is.
    tables.wait_until(lambda: sum(len(cluster.attempts()) for cluster in clusters) >= deliveries)
    first, second = (cluster.attempts() for cluster in clusters)
    assert set(came(receiver).values()) == {1}
    assert states(tables) == {("delivered", 1): deliveries}
    assert set((first + second).values()) == {1}
    assert len(first + second) == deliveries


def test_when_one_of_two_clusters_is_killed_the_other_delivers_everything(clusters, tables, receiver):
    victim, heir = clusters
    receiver.respond = lambda request: Answer(delay=0.5)

    def both_are_at_work():
        # It can take several budgets until the heir has a drain in its first half. There must be work at that moment.
        keep_busy(tables)
        return bool(victim.attempts() and heir.attempts() and heir.has_a_drain_at_work(tables))

    tables.wait_until(both_are_at_work)
    victim.processes.kill()
    interrupted = in_flight(tables)
    before = len(heir.attempts())
    deliveries = WEBHOOKS * Event.objects.using(tables.using).count()
    assert tables.statuses()["delivered"] < deliveries
    receiver.respond = None
    wait_until_all(receiver, deliveries, seconds=SWEPT)
    tables.wait_for({"delivered": deliveries}, seconds=SWEPT)

    assert len(heir.attempts()) > before
    assert states(tables) == {("delivered", 1): deliveries}
    # Only what was under way at that moment came twice.
    times = came(receiver)
    assert {one for one, number in times.items() if number > 1} <= interrupted
    assert max(times.values()) <= 2
