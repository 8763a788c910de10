"""Customers and a steady stream of their changes, in a process of its own."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from random import Random

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from tests.bench.metered import Meter, difference

CLASSES, SEATS, ASSIGNMENTS, FEEDBACK = 40, 5, 100, 20
"""Rows of each customer: classes, enrollments in each class, course assignments and feedback."""
KINDS = ("class", "enrollment", "started", "completed", "extended", "feedback", "deleted")
EVENTS = {
    "class": "class.cancelled",
    "enrollment": "enrollment.cancelled",
    "started": "course_assignment.started",
    "completed": "course_assignment.completed",
    "extended": "course_assignment.updated",
    "feedback": "course_feedback.created",
    "deleted": "enrollment.deleted",
}
"""The events of the kinds of change."""


def fill(count):
    """Make so many customers; return the keys of their systems."""
    from example_project.training import factories, models

    keys = []
    for _ in range(count):
        organization = factories.OrganizationFactory.create()
        _key, clear = models.ApiKey.objects.create_key(name="HR", organization=organization)
        keys.append(clear)
        course = factories.CourseFactory.create(organization=organization)
        learner = factories.UserFactory.create(organization=organization)
        pattern = factories.TrainingClassFactory.build(organization=organization, course=course, external_id=None)
        classes = _insert(_copies(pattern, CLASSES))
        _insert(models.ClassEnrollment(user=learner, training_class=one) for one in classes for _ in range(SEATS))
        assignments = _insert(
            models.CourseAssignment(user=learner, course=course, expires_at=timezone.now() + timedelta(days=90))
            for _ in range(ASSIGNMENTS)
        )
        _insert(
            models.CourseFeedback(course=course, user=learner, course_assignment=one, title=f"Good {number}")
            for number, one in enumerate(assignments[:FEEDBACK])
        )
    _age()
    return keys


def subscribe():
    """Add a webhook to each customer, with the events that replace the requests of a poll."""
    from example_project.training.models import ApiKey
    from tms_webhooks.models import Webhook

    url = f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook"
    for key in ApiKey.objects.select_related("organization"):
        webhook = Webhook.objects.create(organization=key.organization, name="HR", url=url)
        for event_type in EVENTS.values():
            webhook.subscriptions.create(event_type=event_type)


def change(start, seconds):
    """Make the changes; return the commit times by change and by event id, and the figures of this process."""
    from tms_webhooks.models import Event

    meter = Meter()
    meter.install()
    stamps = {}
    acts = list(_acts())
    before = meter.figures()
    for number, act in enumerate(acts):
        time.sleep(max(0.0, start + number * seconds / len(acts) - time.monotonic()))
        with transaction.atomic():
            kind, name, key = act()
            moment = time.monotonic()
        stamps[kind, key] = name, moment
    time.sleep(max(0.0, start + seconds - time.monotonic()))
    figures = difference(meter.figures(), before)
    events = {event.public_id: (event.type, event.subject_id) for event in Event.objects.all()}
    by_event = {(EVENTS[kind], str(key)): moment for (kind, key), (_name, moment) in stamps.items()}
    return {
        "changes": dict(stamps.values()),
        "events": {public_id: by_event[key] for public_id, key in events.items()},
        "figures": figures,
    }


def _acts():
    """Yield a change for each customer, in another order than their polls; all kinds occur equally often."""
    from example_project.training.models import ApiKey

    keys = list(ApiKey.objects.select_related("organization").order_by("organization_id"))
    Random(0).shuffle(keys)
    for number, key in enumerate(keys):
        yield _act(KINDS[number % len(KINDS)], key.organization)


def _act(kind, organization):
    """Return a function that makes a change, and returns its kind, the name by which a poller sees it, and its key."""
    from example_project.training import models

    assignment = models.CourseAssignment.objects.filter(user__organization=organization).order_by("pk").last()
    enrollments = models.ClassEnrollment.objects.filter(training_class__organization=organization)
    enrollment = enrollments.select_related("training_class").order_by("pk").first()
    assert assignment is not None
    assert enrollment is not None

    def act():
        subject = {"class": enrollment.training_class, "enrollment": enrollment, "deleted": enrollment}.get(
            kind, assignment
        )
        key = subject.pk
        match kind:
            case "class" | "enrollment":
                subject.cancel()
            case "started":
                subject.start(at=timezone.now())
            case "completed":
                subject.complete(at=timezone.now())
            case "extended":
                subject.extend(expires_at=timezone.now() + timedelta(days=120))
            case "deleted":
                subject.delete()
            case _:
                title = f"Feedback for {organization.pk}"
                fields = {"course": subject.course, "user": subject.user, "course_assignment": subject}
                subject = models.CourseFeedback.objects.create(title=title, **fields)
                return kind, f"{kind}:{title}", subject.pk
        return kind, f"{kind}:{key}", key

    return act


def _copies(pattern, count):
    fields = {field.name: getattr(pattern, field.name) for field in pattern._meta.concrete_fields if field.name != "id"}
    return (type(pattern)(**fields) for _ in range(count))


def _insert(rows):
    """Insert rows without events."""
    found = list(rows)
    return QuerySet(type(found[0])).bulk_create(found, batch_size=500)


def _age():
    """Let all rows be older than the first poll."""
    from example_project.training import models
    from tests.bench import world

    month_ago = timezone.now() - timedelta(days=30)
    for model in (models.TrainingClass, models.ClassEnrollment, models.CourseAssignment):
        QuerySet(model).update(created=month_ago, last_modified=month_ago)
    QuerySet(models.CourseFeedback).update(submitted_at=month_ago)
    world.analyze()
