"""How long a snapshot takes, what it costs the live deliveries, and how much memory its worker takes."""

import os
import time
from pathlib import Path

from tests.bench import environment
from tests.bench.environment import lasting, ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 300
SMALL, LARGE = 178, sized(4_000, least=400)
OBJECTS = sized(20_000, least=2_000)
"""Half of them classes, half of them enrollments."""
EDITS = 10.0
"""Edits of the objects a second, while `LARGE` of them are sent."""
DELAY = 0.005
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
    Figure("small", f"{SMALL} objects, from the start to the answer to the last event", "s", at_most=3),
    Figure("large", "4,000 objects, while 10 of them are edited a second", "s", at_most=120),
    Figure("alone", "live deliveries without a snapshot, p95 of the time from `COMMIT` to the request", "ms"),
    Figure("ratio", "live deliveries while a snapshot is sent: p95, divided by p95 without", at_most=1.3),
    Figure("rate", "objects delivered", "/s"),
    Figure("memory", "the largest resident size of a worker that sends a snapshot", "MB", table="memory"),
)


def run(*, db, rounds):
    """Measure ``webhooks_drain``, which does everything in one process."""
    notes = environment.Notes()
    with environment.database(db), environment.receiver(DELAY, notes=notes):
        environment.figures("snapshot", "fill", SMALL, **WITHOUT_QUEUE)
        with environment.managed("webhooks_drain", **WITHOUT_QUEUE) as worker:
            environment.figures("snapshot", "live", WARM_UP, 1, **WITHOUT_QUEUE)
            small = [environment.figures("snapshot", "send", 0.0, **WITHOUT_QUEUE) for _ in range(rounds)]
            environment.figures("snapshot", "fill", LARGE - SMALL, **WITHOUT_QUEUE)
            large = environment.figures("snapshot", "send", EDITS, **WITHOUT_QUEUE)
            environment.figures("snapshot", "fill", OBJECTS - LARGE, **WITHOUT_QUEUE)
            before = environment.figures("snapshot", "live", SECONDS, rounds, **WITHOUT_QUEUE)
            environment.figures("snapshot", "start", **WITHOUT_QUEUE)
            during = environment.figures("snapshot", "live", SECONDS, rounds, **WITHOUT_QUEUE)
            state = environment.figures("snapshot", "state", worker.pid, **WITHOUT_QUEUE)
    alone, together = ([_p95s(stamps, notes) for stamps in one] for one in (before, during))
    return {
        "small": small,
        "large": [large],
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


def fill(objects):
    """Make so many more objects without events, and the webhooks if there are none."""
    from example_project.training.factories import CourseFactory, TrainingClassFactory, UserFactory
    from example_project.training.models import ClassEnrollment, Course, TrainingClass
    from tests import uncaptured
    from tests.bench import world
    from tms_webhooks.models import Webhook

    course = Course.objects.first() or CourseFactory()
    places = {"organization": course.organization, "course": course, "external_id": None}
    classes = uncaptured.bulk_create(
        TrainingClass.objects.all(),
        [TrainingClassFactory.build(**places) for _ in range(objects // 2)],
        batch_size=CHUNK,
    )
    learner = UserFactory(organization=course.organization)
    uncaptured.bulk_create(
        ClassEnrollment.objects.all(),
        [ClassEnrollment(training_class=one, user=learner, enrollment_status_id=60) for one in classes],
        batch_size=CHUNK,
    )
    if not Webhook.objects.exists():
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


def send(rate):
    """Send a snapshot to its end, and edit so many objects a second; return the seconds until its last event was delivered."""
    from example_project.training.models import TrainingClass
    from tms_webhooks.models import Delivery

    keys = list(TrainingClass.objects.values_list("pk", flat=True))
    begun_at, job = time.monotonic(), _start()
    last = Delivery.objects.filter(
        event__type="webhook.snapshot_completed", event__snapshot_job=job.pk, status="delivered"
    )
    edits = 0
    while not last.exists():
        if (time.monotonic() - begun_at) * rate > edits:
            training_class = TrainingClass.objects.get(pk=keys[edits * 7 % len(keys)])
            training_class.name = f"Edit {edits}"
            training_class.save()
            edits += 1
        time.sleep(0.02)
        assert time.monotonic() < begun_at + TIMEOUT, "The snapshot does not end."
    return time.monotonic() - begun_at


def start():
    """Start the snapshot of the first webhook; return the key of its job once it is being sent."""
    from tms_webhooks.models import Delivery

    job = _start()
    environment.wait(lambda: Delivery.objects.filter(job=job.pk, status="delivered").exists())
    return int(job.pk)


def _start():
    from django.utils import timezone

    from tms_webhooks.choices import JobKind
    from tms_webhooks.manage.jobs import start as start_job
    from tms_webhooks.models import Webhook

    webhook = Webhook.objects.existing().order_by("pk").first()
    return start_job(JobKind.SNAPSHOT, webhook, nouns=["class", "enrollment"], now=timezone.now())


def state(pid):
    """Return how many objects a second were delivered of the last snapshot, and a worker's peak of memory in megabytes."""
    from tms_webhooks.models import Delivery, Job

    job = Job.objects.latest("pk").pk
    sent = Delivery.objects.filter(job=job, status="delivered").order_by("finished_at")
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
