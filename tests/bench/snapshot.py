"""How fast a snapshot of 20,000 objects is, what it costs the live deliveries, and how much memory its worker takes.

Run as ``python -m tests.bench.snapshot WAY …``, in processes of their own: ``fill`` makes the objects and two webhooks, ``live``
writes events for both, ``start`` starts the snapshot of the first webhook, ``finish`` waits for its end. The
last line is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import django

from tests.bench import environment

OBJECTS = int(os.environ.get("TMS_SNAPSHOT_OBJECTS", "20000"))
"""Half of them classes, half of them enrollments. The environment may name fewer, for a try."""
DELAY = 0.002
RATE = 20.0
"""Live events a second, for each of the two webhooks."""
SECONDS = 30
"""For which live events are written, alone and while the snapshot is sent."""
WARM_UP = 5
PATIENCE = 1_800.0
CHUNK = 1_000
WITHOUT_QUEUE = {"QUEUE": "tms_webhooks.queues.silent.SilentQueue"}
NAMES = ("same", "other")
"""The webhook that gets the snapshot, and one of another organization."""


def run(*, db: str, rounds: int, variants: bool = False) -> dict[str, Any]:
    """Return the figures of ``webhooks_drain``, which does everything in one process. A round takes minutes: there is one.

    The variant is a cluster, whose processes share the work.
    """
    report = {"rounds": min(rounds, 1), "objects": OBJECTS, **_measure(db, "webhooks_drain", **WITHOUT_QUEUE)}
    return report | {"cluster": _measure(db, "qcluster")} if variants else report


def _measure(db: str, command: str, **settings: Any) -> dict[str, Any]:
    notes = environment.Notes()
    environ = environment.using(environment.transports()[0], **settings)
    with environment.database(db) as url, environment.receiver(DELAY, notes=notes) as port:
        there: Mapping[str, Any] = {"url": url, "port": port, **environ}
        written = environment.figures("snapshot", "fill", **there)
        with environment.managed(command, **there) as worker:
            environment.figures("snapshot", "live", WARM_UP, **there)
            alone = environment.figures("snapshot", "live", SECONDS, **there)
            environment.figures("snapshot", "start", **there)
            together = environment.figures("snapshot", "live", SECONDS, **there)
            ended = environment.figures("snapshot", "finish", worker.pid, **there)
    return {**written, **ended, **_ratios(alone, together, notes)}


def _ratios(
    alone: Mapping[str, dict[str, float]], together: Mapping[str, dict[str, float]], notes: environment.Notes
) -> dict[str, float]:
    report: dict[str, float] = {}
    for name in NAMES:
        before, during = (_p95(stamps[name], notes) for stamps in (alone, together))
        report |= {
            f"{name}_p95_alone_ms": round(before, 2),
            f"{name}_p95_ms": round(during, 2),
            f"{name}_p95_ratio": round(during / before, 2),
        }
    return {"p95_ratio": max(report[f"{name}_p95_ratio"] for name in NAMES), **report}


def _p95(stamps: Mapping[str, float], notes: environment.Notes) -> float:
    return environment.percentile([(notes.arrivals[key] - moment) * 1000 for key, moment in stamps.items()], 0.95)


def fill() -> dict[str, float]:
    """Make the objects and the webhooks; return how many objects a second a job writes if it need not wait."""
    from django.utils import timezone

    from example_project.training.factories import CourseFactory, TrainingClassFactory, UserFactory
    from example_project.training.models import ClassEnrollment, TrainingClass
    from tests.bench import supply, world
    from tms_webhooks.conf import app_settings
    from tms_webhooks.models import Job
    from tms_webhooks.snapshot import job as snapshot

    course = CourseFactory()
    places = {"organization": course.organization, "course": course, "external_id": None}
    classes = TrainingClass.objects.bulk_create(
        [TrainingClassFactory.build(**places) for _ in range(OBJECTS // 2)], batch_size=CHUNK
    )
    learner = UserFactory(organization=course.organization)
    ClassEnrollment.objects.bulk_create(
        [ClassEnrollment(training_class=one, user=learner, enrollment_status_id=60) for one in classes],
        batch_size=CHUNK,
    )
    url = f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook"
    # No drain runs yet, so that nothing is sent. What the job writes is cleared.
    (webhook,) = world.make_webhooks(1, url, organization=course.organization)
    world.analyze()
    job = snapshot.start(webhook, ["class", "enrollment"], now=timezone.now())
    type(app_settings).SNAPSHOT_BACKLOG = OBJECTS + CHUNK  # type: ignore[assignment]
    began = time.perf_counter()
    while snapshot.work_on(job, now=timezone.now()):
        pass
    seconds = time.perf_counter() - began
    supply.clear()
    Job.objects.all().delete()
    world.make_webhooks(1, url, organization=course.organization)
    world.make_webhooks(1, url)
    world.analyze()
    return {"written_per_second": round(job.done / seconds)}


def live(seconds: str) -> dict[str, dict[str, float]]:
    """Write events for both webhooks for so long; return when each was committed, by webhook and public id."""
    from django.db import transaction

    from tests.bench import neighbors, world
    from tms_webhooks.models import Webhook
    from tms_webhooks.outbox.wake import waker

    webhooks = dict(zip(NAMES, Webhook.objects.existing().order_by("pk"), strict=True))
    neighbors.wait_for_drain()
    stamps: dict[str, dict[str, float]] = {name: {} for name in NAMES}
    start = time.monotonic()
    for number in range(int(float(seconds) * RATE)):
        time.sleep(max(0.0, start + number / RATE - time.monotonic()))
        for name, webhook in webhooks.items():
            with transaction.atomic():
                (event,) = world.write_events([webhook], 1)
            stamps[name][event.public_id] = time.monotonic()
            waker.wake()
    _wait(_is_quiet)
    return stamps


def start() -> int:
    """Start the snapshot of the first webhook; return the key of its job once it is being sent."""
    from django.utils import timezone

    from tms_webhooks.models import Delivery, Webhook
    from tms_webhooks.snapshot import job as snapshot

    webhook = Webhook.objects.existing().order_by("pk").first()
    job = snapshot.start(webhook, ["class", "enrollment"], now=timezone.now())
    _wait(lambda: Delivery.objects.filter(priority=2, status="delivered").exists())
    return int(job.pk)


def finish(pid: str) -> dict[str, float]:
    """Wait for the end of the snapshot; return how many objects a second were delivered, and a worker's peak of memory."""
    from tms_webhooks.models import Delivery, Job

    _wait(lambda: Job.objects.get().finished_at is not None)
    job = Job.objects.get()
    sent = Delivery.objects.filter(priority=2, status="delivered").order_by("finished_at")
    first, last = sent.first(), sent.last()
    assert first is not None
    assert last is not None
    seconds = (last.finished_at - first.finished_at).total_seconds()
    return {
        "objects_per_second": round(job.done / seconds),
        "seconds": round(seconds, 1),
        "rss_peak_mb": round(max(map(_peak_of_memory, _with_descendants(int(pid)))) / 1e3, 1),
    }


def _peak_of_memory(pid: int) -> int:
    """Return the most kilobytes that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def _with_descendants(pid: int) -> list[int]:
    from tests.scenarios.clusters import children_of

    return [pid, *(one for child in children_of(pid) for one in _with_descendants(child))]


def _is_quiet() -> bool:
    from tms_webhooks.models import Delivery, Event

    return not (Event.objects.to_fan_out().exists() or Delivery.objects.open().filter(priority=1).exists())


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.2)


WAYS: Mapping[str, Callable[..., Any]] = {way.__name__: way for way in (fill, live, start, finish)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
