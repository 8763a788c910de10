"""``python -m tests.scenarios.snapshots WAY …``: classes and enrollments that a snapshot sends, and edits of them.

- ``fill URL COUNT`` makes so many objects, a webhook, and the job that sends them; it prints the job's key.
- ``edit`` makes one edit after the other until SIGTERM, and prints how many it made.
"""

import json
import random
import sys

import django
from django.db import OperationalError

PAUSE = 0.01
"""Seconds between two edits, so that others get to write, too."""
CHUNK = 1_000


def fill(url, count):
    """Make the world before any webhook subscribes, so that no event is recorded of it."""
    from django.utils import timezone

    from example_project.training.factories import CourseFactory, TrainingClassFactory, UserFactory
    from example_project.training.models import ClassEnrollment, TrainingClass
    from tests.integration.delivery.rows import subscribed
    from tms_webhooks.choices import JobKind
    from tms_webhooks.manage import jobs

    course = CourseFactory()
    places = {"organization": course.organization, "course": course, "external_id": None}
    classes = [TrainingClassFactory.build(**places) for _ in range(count // 2)]
    classes = TrainingClass.objects.bulk_create(classes, batch_size=CHUNK)
    learners = UserFactory.create_batch(20, organization=course.organization)
    ClassEnrollment.objects.bulk_create(
        [
            ClassEnrollment(training_class=one, user=learners[number % 20], enrollment_status_id=60)
            for number, one in enumerate(classes)
        ],
        batch_size=CHUNK,
    )
    webhook = subscribed(url=url, organization=course.organization, events=["class.*", "enrollment.*"])
    job = jobs.start(JobKind.SNAPSHOT, webhook, nouns=["class", "enrollment"], now=timezone.now())
    return {"job": job.pk, "webhook": webhook.pk}


def edit():
    """Edit, create and delete objects at random."""
    from example_project.training.models import ClassEnrollment, TrainingClass
    from tms_webhooks.management.base import stop_on_signal

    dice, made, refused = random.Random(7), 0, 0
    course = TrainingClass.objects.order_by("pk").first().course
    ways = (_edit_class, _edit_class, _edit_enrollment, _edit_enrollment, _create, _delete)
    keys = {
        model: list(model.objects.order_by("pk").values_list("pk", flat=True))
        for model in (TrainingClass, ClassEnrollment)
    }
    with stop_on_signal() as stop:
        while not stop.wait(PAUSE):
            try:
                dice.choice(ways)(dice, keys, course)
                made += 1
            except OperationalError:
                # SQLite is busy.
                refused += 1
    return {"made": made, "refused": refused}


def _edit_class(dice, keys, _course):
    from example_project.training.models import TrainingClass

    one = TrainingClass.objects.filter(pk=dice.choice(keys[TrainingClass])).first()
    if one is not None:
        one.confirmation_status_id = dice.randrange(8)
        one.name = f"Renamed {dice.randrange(1000)}"
        one.save()


def _edit_enrollment(dice, keys, _course):
    from example_project.training.models import ClassEnrollment

    one = ClassEnrollment.objects.filter(pk=dice.choice(keys[ClassEnrollment])).first()
    if one is not None:
        one.enrollment_status_id = dice.choice([0, 10, 20, 30, 40, 50, 60])
        one.save()


def _create(dice, keys, course):
    from example_project.training.factories import TrainingClassFactory
    from example_project.training.models import TrainingClass

    one = TrainingClassFactory.build(organization=course.organization, course=course, external_id=None)
    one.save()
    keys[TrainingClass].append(one.pk)


def _delete(dice, keys, _course):
    """Delete a class that has no enrollments, or an enrollment where its deletion is an event."""
    from example_project.training.models import ClassEnrollment, TrainingClass
    from tms_webhooks import event_names

    if event_names.is_known("enrollment.deleted") and dice.random() < 0.5:
        ClassEnrollment.objects.filter(pk=dice.choice(keys[ClassEnrollment])).delete()
    else:
        TrainingClass.objects.filter(pk=dice.choice(keys[TrainingClass]), enrollments=None).delete()


WAYS = {"fill": lambda url, count: fill(url, int(count)), "edit": edit}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))  # noqa: T201
