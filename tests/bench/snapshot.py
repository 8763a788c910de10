"""How fast a snapshot is, what it costs the live deliveries, and how much memory its worker takes.

Run as ``python -m tests.bench.snapshot WAY …``, in processes of their own: ``fill`` makes the objects and two webhooks, ``live``
writes events for both, ``start`` starts the snapshot of the first webhook, ``state`` returns how far it is. The last line is
JSON.
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
from tests.bench.environment import Rounds, lasting, ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 300
OBJECTS = sized(20_000, least=2_000)
"""Half of them classes, half of them enrollments."""
DELAY = 0.002
RATE = 20.0
"""Live events a second, for each of the two webhooks."""
SECONDS = lasting(8.0)
"""For which live events are written in a round, without the snapshot and while it is sent."""
WARM_UP = lasting(3.0)
PATIENCE = 60.0
CHUNK = 1_000
WITHOUT_QUEUE = environment.using("curl", QUEUE="tms_webhooks.queues.SilentQueue")
WEBHOOKS = ("same", "other")
"""The webhook that gets the snapshot, and one of another organization."""

FIGURES = (
    Figure("alone", "live deliveries without a snapshot, p95 of the time from `COMMIT` to the request", "ms"),
    Figure("ratio", "live deliveries while a snapshot is sent: p95, divided by p95 without", at_most=1.2),
    Figure("rate", "objects delivered", "/s"),
    Figure("memory", "the largest resident size of a worker that sends a snapshot", "MB", table="memory"),
)


def run(*, db: str, rounds: int) -> Rounds:
    """Measure ``webhooks_drain``, which does everything in one process."""
    notes = environment.Notes()
    with environment.database(db) as url, environment.receiver(DELAY, notes=notes) as port:
        there: Mapping[str, Any] = {"url": url, "port": port, **WITHOUT_QUEUE}
        environment.figures("snapshot", "fill", **there)
        with environment.managed("webhooks_drain", **there) as worker:
            environment.figures("snapshot", "live", WARM_UP, 1, **there)
            before = environment.figures("snapshot", "live", SECONDS, rounds, **there)
            environment.figures("snapshot", "start", **there)
            during = environment.figures("snapshot", "live", SECONDS, rounds, **there)
            state = environment.figures("snapshot", "state", worker.pid, **there)
    alone, together = ([_p95s(stamps, notes) for stamps in one] for one in (before, during))
    return {
        "alone": [max(one.values()) for one in alone],
        "ratio": [
            max(ratios([one[name] for name in WEBHOOKS], [other[name] for name in WEBHOOKS]))
            for one, other in zip(together, alone, strict=True)
        ],
        "rate": [state["rate"]],
        "memory": [state["memory"]],
    }


def _p95s(stamps: Mapping[str, Mapping[str, float]], notes: environment.Notes) -> dict[str, float]:
    """Return p95 of the milliseconds from commit to arrival, by webhook."""
    return {
        name: environment.percentile([(notes.arrivals[key] - moment) * 1000 for key, moment in found.items()], 0.95)
        for name, found in stamps.items()
    }


def fill() -> None:
    """Make the objects and the webhooks."""
    from example_project.training.factories import CourseFactory, TrainingClassFactory, UserFactory
    from example_project.training.models import ClassEnrollment, TrainingClass
    from tests.bench import world

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
    world.make_webhooks(1, url, organization=course.organization)
    world.make_webhooks(1, url)
    world.analyze()


def live(seconds: str, rounds: str) -> list[dict[str, dict[str, float]]]:
    """Write events for both webhooks for so long; return when each was committed, by round, webhook and public id."""
    from django.db import transaction

    from tests.bench import neighbors, world
    from tms_webhooks.models import Webhook
    from tms_webhooks.outbox.wake import waker

    webhooks = dict(zip(WEBHOOKS, Webhook.objects.existing().order_by("pk"), strict=True))
    neighbors.wait_for_drain()
    found = []
    for _ in range(int(rounds)):
        stamps: dict[str, dict[str, float]] = {name: {} for name in webhooks}
        start = time.monotonic()
        for number in range(int(float(seconds) * RATE)):
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            for name, webhook in webhooks.items():
                with transaction.atomic():
                    (event,) = world.write_events([webhook], 1)
                stamps[name][event.public_id] = time.monotonic()
                waker.wake()
        found.append(stamps)
    _wait(_is_quiet)
    return found


def start() -> int:
    """Start the snapshot of the first webhook; return the key of its job once it is being sent."""
    from django.utils import timezone

    from tms_webhooks.choices import JobKind
    from tms_webhooks.manage.jobs import start as start_job
    from tms_webhooks.models import Delivery, Webhook

    webhook = Webhook.objects.existing().order_by("pk").first()
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class", "enrollment"], now=timezone.now())
    _wait(lambda: Delivery.objects.filter(priority=2, status="delivered").exists())
    return int(job.pk)


def state(pid: str) -> dict[str, float]:
    """Return how many objects a second were delivered so far, and a worker's peak of memory in megabytes."""
    from tms_webhooks.models import Delivery

    sent = Delivery.objects.filter(priority=2, status="delivered").order_by("finished_at")
    first, last = sent.first(), sent.last()
    assert first is not None
    assert last is not None
    assert sent.count() < OBJECTS, "The snapshot ended before the live events did; give it more OBJECTS."
    seconds = (last.finished_at - first.finished_at).total_seconds()
    return {"rate": sent.count() / seconds, "memory": _peak_of_memory(int(pid)) / 1e3}


def _peak_of_memory(pid: int) -> int:
    """Return the most kilobytes that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def _is_quiet() -> bool:
    from tms_webhooks.models import Delivery, Event

    return not (Event.objects.to_fan_out().exists() or Delivery.objects.open().filter(priority=1).exists())


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.2)


WAYS: Mapping[str, Callable[..., Any]] = {way.__name__: way for way in (fill, live, start, state)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
