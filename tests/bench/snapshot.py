"""How fast a snapshot is, what it costs the live deliveries, and how much memory its worker takes."""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench import environment
from tests.bench.environment import lasting, ratios, sized
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


def run(*, db, rounds):
    """Measure ``webhooks_drain``, which does everything in one process."""
    notes = environment.Notes()
    with environment.database(db), environment.receiver(DELAY, notes=notes):
        environment.figures("snapshot", "fill", **WITHOUT_QUEUE)
        with environment.managed("webhooks_drain", **WITHOUT_QUEUE) as worker:
            environment.figures("snapshot", "live", WARM_UP, 1, **WITHOUT_QUEUE)
            before = environment.figures("snapshot", "live", SECONDS, rounds, **WITHOUT_QUEUE)
            environment.figures("snapshot", "start", **WITHOUT_QUEUE)
            during = environment.figures("snapshot", "live", SECONDS, rounds, **WITHOUT_QUEUE)
            state = environment.figures("snapshot", "state", worker.pid, **WITHOUT_QUEUE)
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


def _p95s(stamps, notes):
    """Return p95 of the milliseconds from commit to arrival, by webhook."""
    return {
        name: environment.percentile([(notes.arrivals[key] - moment) * 1000 for key, moment in found.items()], 0.95)
        for name, found in stamps.items()
    }


def fill():
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


def live(seconds, rounds):
    """Write events for both webhooks for so long; return when each was committed, by round, webhook and public id."""
    from tests.bench import neighbors
    from tms_webhooks.models import Webhook

    webhooks = dict(zip(WEBHOOKS, Webhook.objects.existing().order_by("pk"), strict=True))
    neighbors.wait_for_drain()
    found = []
    for _ in range(rounds):
        plan = ((number / RATE, one) for number in range(int(seconds * RATE)) for one in webhooks.values())
        stamps = neighbors.write_steadily(plan)
        found.append({name: stamps[webhook] for name, webhook in webhooks.items()})
    environment.wait(_is_quiet)
    return found


def start():
    """Start the snapshot of the first webhook; return the key of its job once it is being sent."""
    from django.utils import timezone

    from tms_webhooks.choices import JobKind
    from tms_webhooks.manage.jobs import start as start_job
    from tms_webhooks.models import Delivery, Webhook

    webhook = Webhook.objects.existing().order_by("pk").first()
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class", "enrollment"], now=timezone.now())
    environment.wait(lambda: Delivery.objects.filter(priority=2, status="delivered").exists())
    return int(job.pk)


def state(pid):
    """Return how many objects a second were delivered so far, and a worker's peak of memory in megabytes."""
    from tms_webhooks.models import Delivery

    sent = Delivery.objects.filter(priority=2, status="delivered").order_by("finished_at")
    first, last = sent.first(), sent.last()
    assert first is not None
    assert last is not None
    assert sent.count() < OBJECTS, "The snapshot ended before the live events did; give it more OBJECTS."
    seconds = (last.finished_at - first.finished_at).total_seconds()
    return {"rate": sent.count() / seconds, "memory": _peak_of_memory(pid) / 1e3}


def _peak_of_memory(pid):
    """Return the most kilobytes that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def _is_quiet():
    from tms_webhooks.models import Delivery, Event

    return not (Event.objects.to_fan_out().exists() or Delivery.objects.open().filter(priority=1).exists())
