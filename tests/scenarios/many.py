"""``python -m tests.scenarios.many URL``: ten thousand events in one transaction, undone and then committed, and one
event of another organization right after them. Prints what was there when, as JSON.

Of each class the last event is a captured change and the others are rows, which are written many times as fast.
"""

import json
import sys
import time

import django
from django.db import transaction

CLASSES = 100
EACH = 100
EVENTS = CLASSES * EACH


class Undone(Exception):
    """What ends the first transaction."""


def main(url):
    """Make the world, and play both transactions."""
    from example_project.training.factories import CourseFactory, TrainingClassFactory
    from tests.integration.delivery.rows import subscribed

    course = CourseFactory()
    places = {"organization": course.organization, "course": course, "external_id": None}
    # Before anybody could want to be report of it.
    classes = TrainingClassFactory.create_batch(CLASSES, **places)
    subscribed(url=f"{url}/busy", organization=course.organization, max_in_flight=8)
    neighbor = subscribed(url=f"{url}/neighbor")

    report = {"classes": [one.pk for one in classes]}
    try:
        with transaction.atomic():
            tell_all(classes)
            report["inside"] = counts()
            raise Undone
    except Undone:
        report["undone"] = counts()
    started_at = time.monotonic()
    with transaction.atomic():
        tell_all(classes)
        report["written_at"] = time.time()
    report["seconds"] = time.monotonic() - started_at
    report["committed_at"] = time.time()
    tell_one(neighbor.organization)
    print(json.dumps(report))  # noqa: T201


def tell_all(classes):
    """Write the events of all classes, in the current transaction."""
    from tms_webhooks.models import Event, EventSequence

    Event.objects.bulk_create([row for one in classes for row in rows_of(one)], batch_size=500)
    EventSequence.objects.bulk_create(
        [EventSequence(subject_type="class", subject_id=str(one.pk), last=EACH - 1) for one in classes]
    )
    for one in classes:
        one.confirmation_status_id = 2
        one.save()
        # As it is read anew, should this be undone.
        one.confirmation_status_id = 0


def rows_of(training_class):
    """Return all events of a class but the last."""
    from tests.integration.delivery.rows import body_of, new_event

    whole = json.loads(body_of("class.cancelled"))
    whole["data"]["id"] = training_class.pk
    events = []
    for sequence in range(1, EACH):
        event = new_event(training_class.organization, body="")
        event.subject_id, event.sequence = str(training_class.pk), sequence
        event.body = json.dumps({**whole, "id": event.public_id, "sequence": sequence})
        events.append(event)
    return events


def tell_one(organization):
    """Write one event of an organization that has nothing to do with all this."""
    from tests.integration.delivery.rows import write_event
    from tms_webhooks.outbox.wake import waker

    write_event(organization)
    waker.wake()


def counts():
    """Return what there is of changed classes, of events and of their numbers."""
    from example_project.training.models import TrainingClass
    from tms_webhooks.models import Event, EventSequence

    return {
        "classes": TrainingClass.objects.filter(confirmation_status_id=2).count(),
        "events": Event.objects.count(),
        "numbers": EventSequence.objects.count(),
    }


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1])
