"""Cause failures on purpose. Each function returns its result as a sentence, or raises `Failed`."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Model
from django.utils import timezone

from example_project.demo.day import Day
from example_project.demo.ledger import Endpoint, Ledger
from example_project.demo.processes import Cluster, ReceiverProcess
from example_project.training import factories, models
from example_project.training.choices import ConfirmationStatus
from example_project.training.models import CourseAssignment, SubscriptionAssignment, TrainingClass, User
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import JobKind
from tms_webhooks.event_names import TEST
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.queues import get_queue

SCAN = "tms_webhooks.tasks.scan_expiring"
SOON = 2.0
"""Seconds until the assignment of `nearly_over` expires."""

FINISHED = 100
"""Percent of a path's courses."""

LONGEST_WAIT = 120.0
"""Seconds after which a step hangs. On a busy machine it may be continued by a job that runs each minute."""

FAILURES = 2
ENOUGH_HELD = 4
"""Number of requests in flight when the cluster is killed."""

EXTENSIONS = itertools.count(2000)
"""New telephone numbers: saving an unchanged one would emit no event."""


OBJECTS: Mapping[str, tuple[type[Model], str]] = {
    "class": (models.TrainingClass, "organization"),
    "feedback": (models.CourseFeedback, "course__organization"),
    "course_assignment": (models.CourseAssignment, "user__organization"),
    "subscription": (models.SubscriptionAssignment, "user__organization"),
    "enrollment": (models.ClassEnrollment, "training_class__organization"),
    "user": (models.User, "organization"),
    "achievement": (models.UserAchievement, "user__organization"),
    "voucher": (models.Voucher, "organization"),
    "course": (models.Course, "organization"),
    "classroom": (models.Classroom, "organization"),
    "company": (models.Company, "organization"),
    "organization": (models.Organization, "pk"),
    "profile": (models.SubscriptionProfile, "organization"),
    "department": (models.Department, "organization"),
}
"""The nouns of a snapshot, each with its model and the path to the organization. Finished paths follow: no row has them."""


class Failed(Exception):
    """A step of the demo did not succeed in time."""


def wait_until(condition: Callable[[], bool], goal: str) -> float:
    """Wait until ``condition`` holds; return the seconds waited. Raise `Failed` after `LONGEST_WAIT`."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > LONGEST_WAIT:
            raise Failed(f"After {LONGEST_WAIT:g} s still waiting for {goal}.")
        time.sleep(0.02)
    return time.monotonic() - start


def rollback(days: Sequence[Day]) -> str:
    """Cancel a class and enroll a learner, and roll both back."""
    for day in days:
        classes = day.tenant.classes
        day.fails_to(classes.training_class.cancel, "class.cancelled", of=classes.training_class)
        day.fails_to(classes.waitlisted.enroll, "enrollment.enrolled", of=classes.waitlisted)
    return "4 changes rolled back: none of them may arrive"


def outage(day: Day, receiver: ReceiverProcess, endpoint: Endpoint) -> None:
    """Let one receiver fail twice; `recovery` waits for its success."""

    def has_its_events() -> bool:
        return all(pair.arrival for pair in day.ledger.compare().pairs if pair.endpoint == endpoint)

    # The event that comes next is to fail, and none that is still on its way.
    wait_until(has_its_events, f"{endpoint.name} to have its events")
    receiver.fail(endpoint.path, *[503] * FAILURES)
    training_class = day.tenant.classes.training_class
    day.does(training_class.guarantee, "class.guaranteed_to_run", of=training_class, timed=False)
    day.awaits("webhook.failing", endpoint.webhook)


def recovery(ledger: Ledger, endpoint: Endpoint) -> str:
    """Wait for the attempt that succeeds."""

    def attempts() -> list[int]:
        return [arrival.attempt for arrival in list(ledger.arrivals) if arrival.path == endpoint.path]

    wait_until(lambda: max(attempts(), default=0) > FAILURES, f"{endpoint.name} to recover")
    return f"{endpoint.name} answered 503 twice and received its event with attempt {FAILURES + 1}"


def repair(day: Day, receiver: ReceiverProcess, endpoint: Endpoint) -> str:
    """Let a receiver fail until its webhook is disabled, repair it, and send the events that it missed."""
    webhook, since = Webhook.objects.get(pk=endpoint.webhook_id), timezone.now()
    receiver.fail(endpoint.path, 503, 503, 410)
    for number, events in enumerate((["exhausted"], ["exhausted", "failing"], ["exhausted", "disabled"]), start=1):
        training_class = day.does(lambda: _scheduled_class(day), "class.scheduled", timed=False)
        day.does(training_class.delete, "class.deleted", of=str(training_class.pk), timed=False)
        for event in events:
            day.awaits(f"webhook.{event}", webhook.public_id)
        wait_until(lambda at=number: _finished(webhook) == at, f"{endpoint.name} to fail")

    day.awaits("webhook.test", webhook.public_id, only=endpoint)
    day.awaits("webhook.recovered", webhook.public_id)
    webhook.refresh_from_db()
    reason = webhook.get_disabled_reason_display()
    if not send_test(webhook, actor=SYSTEM, event_type=TEST).healed:
        raise Failed(f"The test did not enable {endpoint.name}.")
    start_job(JobKind.RECOVER, webhook, now=timezone.now(), since=since)
    rotation = partial(rotate, webhook, now=timezone.now())
    day.does(rotation, "webhook.secret_rotated", of=webhook.public_id, timed=False)
    return (
        f"{endpoint.name} answered 503, 503 and 410, which disabled it ({reason.lower()}); "
        "a test enabled it, its 3 events were sent again, and it got a new secret"
    )


def start_snapshot(day: Day, endpoint: Endpoint) -> str:
    """Start to send the current state of every object of the organization to one webhook."""
    webhook, organization = Webhook.objects.get(pk=endpoint.webhook_id), day.tenant.organization
    day.does(partial(factories.CompanyFactory, organization=organization), "company.created")
    objects: list[tuple[str, Model | str]] = [
        (noun, one)
        for noun, (model, owner) in OBJECTS.items()
        for one in model._default_manager.filter(**{owner: organization.pk})
    ]
    # Learners of other organizations in its classes, and their organizations: its enrollments show them.
    guests = models.User.objects.filter(
        pk__in=models.ClassEnrollment.objects.filter(training_class__organization=organization).values("user")
    ).exclude(organization=organization)
    objects += [("user", guest) for guest in guests]
    objects += [
        ("organization", one) for one in models.Organization.objects.filter(pk__in=guests.values("organization"))
    ]
    for path in models.LearningPath.objects.filter(enabled=True):
        having = path.subscription_profiles.values("assignments__user")
        for learner in models.User.objects.filter(organization=organization, pk__in=having):
            objects += [("learning_path", f"{path.pk}:{learner.pk}")] * (path.progress(learner) == FINISHED)
    for noun, one in objects:
        day.awaits(f"{noun}.snapshot", one, only=endpoint)
    day.awaits("webhook.snapshot_completed", webhook.public_id, only=endpoint)
    start_job(JobKind.SNAPSHOT, webhook, nouns=[*OBJECTS, "learning_path"], now=timezone.now())
    return f"{len(objects)} objects, sent during the next scene"


def snapshot_ends(ledger: Ledger) -> None:
    """Wait for the event that ends a snapshot. The objects do not change until then."""
    ends = "webhook.snapshot_completed"
    wait_until(lambda: any(one.accepted and one.key[1] == ends for one in list(ledger.arrivals)), ends)


def _scheduled_class(day: Day) -> TrainingClass:
    return factories.TrainingClassFactory(
        organization=day.tenant.organization,
        course=day.tenant.courses[0],
        confirmation_status_id=ConfirmationStatus.SCHEDULED,
    )


def _finished(webhook: Webhook) -> int:
    return Delivery.objects.filter(webhook=webhook, due_at__isnull=True).count()


def first_scan(days: Sequence[Day], ledger: Ledger) -> None:
    """Run an expiry scan in a worker, and wait for the events of everything that expires in five days."""
    in_five_days = timezone.now() + timedelta(days=5)
    for day in days:
        learner = day.tenant.people.learners[2]
        day.awaits("course_assignment.expiring", day.tenant.self_paced.expiring)
        subscription = day.does(partial(_subscribe, day, learner, in_five_days), "subscription.created", timed=False)
        day.awaits("subscription.expiring", subscription)
        voucher = day.does(partial(_buy, day, in_five_days), "voucher.created", timed=False)
        day.awaits("voucher.expiring", voucher)
    get_queue().enqueue(SCAN)
    wait_until(lambda: ledger.compare().complete, "the first scan for expiry dates")


def _buy(day: Day, expires_at: datetime) -> models.Voucher:
    return factories.VoucherFactory(
        organization=day.tenant.organization, course=day.tenant.courses[0], expires_at=expires_at
    )


def nearly_over(days: Sequence[Day]) -> float:
    """Assign training that expires in two seconds; return the time after that, on the clock of `time.monotonic`."""
    for day in days:
        day.does(partial(_assign_for_a_moment, day), "course_assignment.created")
        soon = timezone.now() + timedelta(seconds=SOON)
        day.does(partial(_subscribe, day, day.tenant.people.learners[1], soon), "subscription.created")
    return time.monotonic() + SOON + 0.1


def _assign_for_a_moment(day: Day) -> CourseAssignment:
    return factories.CourseAssignmentFactory(
        course=day.tenant.courses[2],
        user=day.tenant.people.learners[0],
        expires_at=timezone.now() + timedelta(seconds=SOON),
    )


def _subscribe(day: Day, learner: User, expires_at: datetime) -> SubscriptionAssignment:
    profile = day.tenant.self_paced.profile
    return factories.SubscriptionAssignmentFactory(profile=profile, user=learner, expires_at=expires_at)


def second_scan(days: Sequence[Day]) -> None:
    """Run the scan again, after the training of `nearly_over` has expired."""
    for day in days:
        learner = day.tenant.people.learners[1]
        day.awaits("subscription.expired", SubscriptionAssignment.objects.get(user=learner))
        over = CourseAssignment.objects.get(course=day.tenant.courses[2], user=day.tenant.people.learners[0])
        day.awaits("course_assignment.expired", over)
    get_queue().enqueue(SCAN)


def kill(days: Sequence[Day], ledger: Ledger, receiver: ReceiverProcess, cluster: Cluster) -> str:
    """Kill the cluster with -9 while requests wait for their answers, and make more changes without it."""
    with receiver.holding():
        before = len(ledger.arrivals)
        _busy_hour(days, rooms=4)
        wait_until(lambda: len(ledger.arrivals) - before >= ENOUGH_HELD, "requests in flight")
        cluster.kill()
        held = len(ledger.arrivals) - before
    _busy_hour(days, rooms=2)
    waiting = sum(pair.arrival is None for pair in ledger.compare().pairs)
    return f"killed with -9, {held} requests unanswered and {waiting} more to send"


def _busy_hour(days: Sequence[Day], *, rooms: int) -> None:
    """Make many changes in a short time."""
    for number in range(rooms):
        for day in days:
            training_class, learner = day.tenant.classes.training_class, day.tenant.people.learners[number % 3]
            new_room = partial(factories.ClassroomFactory, organization=day.tenant.organization)
            room = day.does(new_room, "classroom.created", timed=False)
            day.does(partial(training_class.move_to, room), "class.updated", of=training_class, timed=False)
            day.does(partial(_call_back_later, learner), "user.updated", of=learner, timed=False)


def _call_back_later(learner: User) -> None:
    learner.phone = f"+1-312-555-{next(EXTENSIONS)}"
    learner.save(update_fields=["phone"])
