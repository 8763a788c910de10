"""Real clusters: the workers of the queue, and its schedules."""

import os
import signal
import time
from pathlib import Path

from django.utils import timezone
from django_q.models import OrmQ, Schedule

from tests.scenarios.queues import NAME, QUEUE
from tms_webhooks.models import DrainSlot, PeriodicRun
from tms_webhooks.models.drain import LONG_AGO

START_DUE_JOBS = "from tms_webhooks.queues import enqueue; enqueue('tms_webhooks.tasks.enqueue_due_jobs')"


def with_queue(processes, tables):
    """Return processes with the queue under test, and its schedules in the database; a drain there is a short one."""
    QUEUE.skip_if_missing()
    clustered = processes.but(QUEUE=QUEUE.path, DRAIN_BUDGET_SECONDS=1.0)
    clustered.run("django", "migrate", "--verbosity", "0")
    return clustered


def let_the_sweep_come(processes, tables):
    """Do now what the queue does when the sweep is due; Django's tasks, which have no schedules, when they are migrated."""
    PeriodicRun.objects.using(tables.using).update(started_at=LONG_AGO)
    if NAME == "django_q":
        assert Schedule.objects.using(tables.using).update(next_run=timezone.now()) == 1
        processes.run("django", "shell", "--command", "from django_q.scheduler import scheduler; scheduler()")
    else:
        processes.run("django", "shell", "--command", START_DUE_JOBS)


def empty_queue(tables):
    """Delete the tasks that no worker has begun from the queue's table; return their number."""
    if NAME == "django_q":
        return OrmQ.objects.using(tables.using).all().delete()[0]
    from django_tasks_db.models import DBTaskResult

    return DBTaskResult.objects.using(tables.using).filter(started_at=None).delete()[0]


def kill_an_idle_worker(cluster, tables):
    """Kill a worker that waits for a task, while the only other one runs a drain; return its process id.

    The one that waits holds the lock of the task queue, and no other process can release it.
    """
    for _ in range(200):
        workers = workers_of(cluster, number=2)
        held = DrainSlot.objects.db_manager(tables.using).held(timezone.now())
        busy = {int(owner.split(":")[1]) for owner in held.values_list("owner", flat=True)}
        idle = [pid for pid in workers if pid not in busy and waits_for_a_task(pid)]
        # While no worker runs a drain, the other one may be about to begin the next.
        if busy and len(idle) == 1:
            os.kill(idle[0], signal.SIGKILL)
            return idle[0]
        time.sleep(0.02)
    raise AssertionError("no worker was idle")


def waits_for_a_task(worker):
    """Return whether a worker reads the pipe of django-q2's tasks, and so holds their lock.

    One without a drain may also begin a task, end one, or wait for its slot.
    """
    try:
        sleeps_in = Path(f"/proc/{worker}/wchan").read_text()
    except OSError:
        sleeps_in = "0"
    if sleeps_in not in ("", "0"):
        return "pipe_read" in sleeps_in
    # It runs, or the kernel hides it. One that waits for its slot looks every 20 ms; one that waits for a task sleeps.
    before = _rest_of(worker)
    time.sleep(0.1)
    return before == _rest_of(worker) and before[0].startswith("S")


def _rest_of(worker):
    """Return the state of a process, and how often it has begun to wait."""
    lines = Path(f"/proc/{worker}/status").read_text().splitlines()
    values = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return values["State"], values["voluntary_ctxt_switches"]


def workers_of(cluster, *, number):
    """Return the process ids of a cluster's workers: the first that it, or django-q2's sentinel, has started.

    Of Celery, these include its beat.
    """
    if NAME == "django_q":
        (cluster,) = children_of(cluster)
    return children_of(cluster)[: number + 1 if NAME == "celery" else number]


def children_of(parent):
    """Return the ids of a process's children, the oldest first."""
    children = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                # After the name, which may hold anything: state, parent, ..., and as the 20th the time of its start.
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                children.append((int(fields[19]), int(directory.name)))
    return [pid for _started, pid in sorted(children)]


def send(number, pids):
    """Send a signal to each of these processes."""
    for pid in pids:
        os.kill(pid, number)
