"""A cluster that is alive and does nothing: ``webhooks_health`` distinguishes it from one that works.

django-q2's workers share a lock on their task queue. An idle worker that is killed takes the lock with it.
"""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from tests.patience import PATIENCE, until
from tests.scenarios.clusters import kill_an_idle_worker, send, with_queue, workers_of
from tests.scenarios.outcome import assert_all_delivered_once, fill
from tests.scenarios.queues import QUEUE, only
from tms_webhooks.models import DrainSlot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the workers are looked up in /proc"),
]

WORKERS = 2
MAX_LAG = 2.0


def health(processes):
    """Return the exit status, and what stands on the output."""
    done = processes.attempt("django", "webhooks_health", "--json", "--max-lag", str(MAX_LAG))
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["status"] == done.returncode
    return done.returncode, report["reasons"]


def reason_for_standing_still(processes):
    """Ask until the exit status is the worst: what was sent lately, and the slot of the last drain, speak against it."""
    end = time.monotonic() + PATIENCE
    seen = []
    while time.monotonic() < end:
        status, reasons = health(processes)
        seen.append(status)
        if status == 2:
            (reason,) = reasons
            return reason
    raise AssertionError(seen)


def stop_between_transactions(workers, tables):
    """Stop the workers while this process holds the only lock that a database file has, so that none of them holds it."""

    def are_stopped():
        return all(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T" for pid in workers)

    def has_stopped_them():
        try:
            with transaction.atomic(using=tables.using):
                send(signal.SIGSTOP, workers)
                until(are_stopped)
        except OperationalError:
            return False
        return True

    until(has_stopped_them)


def test_a_cluster_whose_workers_hang_is_told_from_one_that_works(receiver, processes, tables):
    clustered = with_queue(processes, tables)
    fill(clustered, receiver, 1)

    with clustered.cluster() as cluster:
        receiver.wait_for(2, seconds=PATIENCE)
        tables.wait_for({"delivered": 2})
        assert health(clustered) == (0, [])

        workers = workers_of(cluster.pid, number=WORKERS)
        stop_between_transactions(workers, tables)
        tables.add_events(1)
        reason = reason_for_standing_still(clustered)
        assert "An event has waited for its deliveries for" in reason
        assert "and no worker delivers: no worker has run a drain for" in reason
        assert f"Start or restart {import_string(QUEUE.path).workers}" in reason
        # Alive, and its guard sees nothing amiss.
        assert cluster.poll() is None
        assert workers_of(cluster.pid, number=WORKERS) == workers
        assert (len(receiver.received), tables.statuses()) == (2, {"delivered": 2})

        send(signal.SIGCONT, workers)
        tables.wait_for({"delivered": 4})
        assert health(clustered) == (0, [])


def ask_until_a_restart_is_due(processes):
    """Run a supervisor's check until it fails; return the line that it printed."""
    began = time.monotonic()
    while True:
        done = processes.attempt("django", "webhooks_health", "--restart-hint", "--max-lag", str(MAX_LAG))
        assert done.stderr == ""
        if done.returncode:
            assert done.returncode == 1
            return done.stdout
        assert time.monotonic() - began < PATIENCE, done.stdout


@only("django_q", "django-q2's workers share a lock")
def test_a_cluster_that_lost_an_idle_worker_is_restarted_by_its_supervisor(receiver, processes, tables):
    clustered = with_queue(processes, tables).but(**{"monitoring.liveness.MAX_SECONDS_WITHOUT_DRAIN": 5.0})
    fill(clustered, receiver, 1)

    with clustered.cluster() as cluster:
        receiver.wait_for(2, seconds=PATIENCE)
        tables.wait_for({"delivered": 2})
        kill_an_idle_worker(cluster.pid, tables)
        # The drain at work is the last one.
        tables.wait_until(lambda: not DrainSlot.objects.db_manager(tables.using).held(timezone.now()).exists())
        tables.add_events(2)

        line = ask_until_a_restart_is_due(clustered)

        assert line.startswith("RESTART: ")
        assert "has run a drain for " in line
        # It is alive, and its sentinel has replaced the worker in vain.
        assert cluster.poll() is None
        assert len(workers_of(cluster.pid, number=WORKERS)) == WORKERS
        assert (len(receiver.received), tables.statuses()) == (2, {"delivered": 2})

    # As a supervisor restarts it: it does not heed SIGTERM any more, and is killed.
    with clustered.cluster():
        tables.wait_for({"delivered": 6})
        assert clustered.run("django", "webhooks_health", "--restart-hint").startswith("OK: ")

    assert len(receiver.received) == 6
    assert_all_delivered_once(tables.outcome(), events=3)
