"""``python -m tests.year.host``: the training system, which people work with.

Each line of the standard input is the name of a function and its arguments, in JSON; it prints what the function returns.
"""

import json
import random
import sys
import time
from datetime import timedelta

import django
from django.db import Error, connection, transaction
from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

LEARNERS, COURSES = 30, 4
# Of each organization, so that its tables do not grow for a year.
MOST = {"TrainingClass": 20, "ClassEnrollment": 400, "CourseAssignment": 300, "Voucher": 100, "CourseFeedback": 100}


def make(number, port):
    """Make organizations, each with a webhook that gets everything, then what their people work with; describe them."""
    from example_project.training import factories
    from example_project.training.models import ApiKey
    from tests.integration.delivery.rows import subscribed

    known = []
    for n in range(1, number + 1):
        own = factories.OrganizationFactory()
        webhook = subscribed(url=f"http://127.0.1.{n}:{port}/hook", organization=own)
        _key, clear = ApiKey.objects.create_key(name="Mirror", organization=own)
        (secret,) = webhook.signing_secrets(timezone.now())
        known.append({"key": f"Api-Key {clear}", "secret": secret, "webhook": webhook.public_id})
        # From here on, each change is an event, that of the organization, too.
        own.name = f"Organization {n}"
        own.save()
        factories.CourseFactory.create_batch(COURSES, organization=own)
        factories.ClassroomFactory.create_batch(3, organization=own)
        factories.UserFactory.create_batch(LEARNERS, organization=own)
    return known


# --- What people do: most changes are of many rows, as imports and nightly jobs make them ---


def edit(seed, events, number=None):
    """Change rows at random, by default of all organizations; return the number of recorded events, and of refused changes.

    What the database refuses, because it is away, is not made again: something else follows.
    """
    from example_project.training.models import Organization

    dice, refused, begun, left = random.Random(seed), 0, None, events
    while left > 0:
        try:
            begun = last_event() if begun is None else begun
            owners = list(Organization.objects.order_by("pk"))
            own = dice.choice(owners) if number is None else owners[number]
            (way,) = dice.choices(list(WAYS), WAYS.values())
            way(dice, own, min(left, 200))
            left = events - (last_event() - begun)
        except Error:
            refused += 1
            connection.close()
            time.sleep(0.1)
    return [events - left, refused]


def last_event():
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM tms_webhooks_event_id_seq")
        return cursor.fetchone()[0]


def model_of(name):
    from example_project.training import models

    return getattr(models, name)


PATHS = {"ClassEnrollment": "training_class__organization", "CourseAssignment": "user__organization"}
PATHS["CourseFeedback"] = "course__organization"


def some(dice, own, name, number):
    """Return rows of an organization at random, made if there are none."""
    rows = model_of(name).objects.filter(**{PATHS.get(name, "organization"): own})
    keys = list(rows.order_by("pk").values_list("pk", flat=True))
    if not keys:
        MAKERS[name](dice, own, number)
        return some(dice, own, name, number)
    return list(rows.filter(pk__in=dice.sample(keys, min(number, len(keys)))).order_by("pk"))


def planned(dice, own, number):
    from example_project.training.factories import TrainingClassFactory

    (course,), (room,) = some(dice, own, "Course", 1), some(dice, own, "Classroom", 1)
    one = TrainingClassFactory(organization=own, course=course, primary_classroom=room, external_id=None)
    one.instructors.set(some(dice, own, "User", 2))
    one.plan_sessions((one.start_at, one.start_at + timedelta(hours=4)))


def enrolled(dice, own, number):
    (held,), learners = some(dice, own, "TrainingClass", 1), some(dice, own, "User", number)
    rows = [model_of("ClassEnrollment")(training_class=held, user=one, enrollment_status_id=30) for one in learners]
    model_of("ClassEnrollment").objects.bulk_create(rows)


def assigned(dice, own, number):
    (course,), learners = some(dice, own, "Course", 1), some(dice, own, "User", number)
    expires_at = timezone.now() + timedelta(days=dice.randrange(5, 60))
    rows = [model_of("CourseAssignment")(course=course, user=one, expires_at=expires_at) for one in learners]
    model_of("CourseAssignment").objects.bulk_create(rows)


def sold(dice, own, number):
    (course,), now = some(dice, own, "Course", 1), timezone.now()
    expires_at = now + timedelta(days=dice.randrange(5, 60))
    rows = [
        model_of("Voucher")(order_id=f"ORD-{n}", course=course, organization=own, expires_at=expires_at)
        for n in range(min(number, 10))
    ]
    model_of("Voucher").objects.bulk_create(rows)


def praised(dice, own, number):
    rows = [
        model_of("CourseFeedback")(course=one.course, course_assignment=one, user=one.user, title="Worth the time")
        for one in some(dice, own, "CourseAssignment", min(number, 5))
    ]
    model_of("CourseFeedback").objects.bulk_create(rows)


def graded(dice, own, number):
    """Change as many rows in one statement."""
    rows = model_of("ClassEnrollment").objects.filter(
        pk__in=[one.pk for one in some(dice, own, "ClassEnrollment", number)]
    )
    rows.update(grade=dice.randrange(101), enrollment_status_id=dice.choice([20, 30, 40]))


def worked_on(dice, own, number):
    """Change each row in its own way, in one statement."""
    rows = some(dice, own, "CourseAssignment", number)
    for one in rows:
        one.started_at = timezone.now()
        one.completed_at = dice.choice([None, timezone.now()])
        one.payment_type = f"Order {dice.randrange(10_000)}"
    model_of("CourseAssignment").objects.bulk_update(rows, ["started_at", "completed_at", "payment_type"])


def moved(dice, own, number):
    """Save row by row, as forms do."""
    for one in some(dice, own, "User", min(number, 5)):
        one.city, one.cost_center = f"City {dice.randrange(1000)}", str(dice.randrange(10_000))
        one.save()


def renamed(dice, own, number):
    for name in ("Course", "TrainingClass", "Classroom"):
        (one,) = some(dice, own, name, 1)
        one.name = f"{one.name.partition(',')[0]}, {dice.randrange(1000)}"
        one.save()


def regretted(dice, own, number):
    """Roll everything back."""
    with transaction.atomic():
        moved(dice, own, number)
        enrolled(dice, own, number)
        transaction.set_rollback(True)


def tidied(dice, own, number):
    """Delete the oldest rows of each model that has too many, with all that refers to them."""
    for name, most in MOST.items():
        rows = model_of(name).objects.filter(**{PATHS.get(name, "organization"): own}).order_by("pk")
        if keys := list(rows.values_list("pk", flat=True))[:-most]:
            model_of(name).objects.filter(pk__in=keys[:number]).delete()


WAYS = {enrolled: 8, graded: 12, worked_on: 8, assigned: 5, sold: 2, praised: 2, moved: 4, renamed: 1, regretted: 1}
WAYS |= {planned: 2, tidied: 4}
MAKERS = {"TrainingClass": planned, "ClassEnrollment": enrolled, "CourseAssignment": assigned}


# --- What operators do ---


def webhook(number):
    from tms_webhooks.models import Webhook

    return Webhook.objects.order_by("pk")[number]


def rotate(number, days):
    """Give a webhook a new secret, beside which the old one is valid for so many days; return it."""
    from tms_webhooks.manage import secrets

    return secrets.rotate(webhook(number), overlap=timedelta(days=days), now=timezone.now())


def recover(number, days):
    """Enable a webhook again, and send what failed in so many days, and what was missed; return why it was disabled."""
    from tms_webhooks.choices import JobKind
    from tms_webhooks.manage import jobs, webhooks

    one, now = webhook(number), timezone.now()
    reason = one.disabled_reason
    webhooks.enable(one, now=now)
    for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED):
        jobs.start(kind, one, since=now - timedelta(days=days), now=now)
    return reason


# --- What the simulation asks ---


def settle():
    """Wait until nothing can be sent, and the periodic jobs are not far behind; return when something comes due.

    While a receiver is down, its webhook pauses: its deliveries are open, and not due.
    """
    from tests.patience import PATIENCE
    from tms_webhooks.outbox.wake import waker

    end, state = time.monotonic() + PATIENCE, None
    waker.wake()
    while time.monotonic() < end:
        try:
            if not (state := busy()):
                return next_due()
        except Error:
            connection.close()
        time.sleep(0.02)
    raise SystemExit(f"Not settled: {state}")


def busy():
    """Return what is unfinished, or an empty text."""
    from tms_webhooks.models import Delivery, Event, Job, PeriodicRun
    from tms_webhooks.queues import periodic_jobs

    now = timezone.now()
    if Event.objects.to_fan_out().exists():
        return "events"
    if sendable(Delivery.objects.due(now), now).exists():
        return "deliveries"
    if Job.objects.unfinished().exists():
        return "jobs"
    begun = PeriodicRun.objects.started(now=now)
    late = [
        one.name
        for one in periodic_jobs()
        if begun.get(one.function, now - timedelta(days=9)) < now - timedelta(minutes=2 * max(one.minutes, 60))
    ]
    return f"periodic jobs {late}" if late else ""


def sendable(rows, now):
    """Keep the deliveries whose webhook takes them: a paused one takes retries only."""
    state = "webhook__state"
    paused = Q(**{f"{state}__paused_until__gt": now}) & ~Q(status="waiting")
    return rows.filter(webhook__enabled=True).exclude(paused).exclude(**{f"{state}__held_until__gt": now})


def next_due():
    """Return when the next delivery may be sent, in seconds since 1970; None without one."""
    from tms_webhooks.models import Delivery, WebhookState

    now = timezone.now()
    later = Delivery.objects.filter(due_at__gt=now, webhook__enabled=True).aggregate(at=Min("due_at"))["at"]
    paused = WebhookState.objects.filter(paused_until__gt=now, webhook__enabled=True).aggregate(at=Min("paused_until"))[
        "at"
    ]
    moments = [one.timestamp() for one in (later, paused) if one is not None]
    return min(moments, default=None)


def drains():
    """Return how many drains run."""
    from tms_webhooks.models import DrainSlot

    return DrainSlot.objects.held(timezone.now()).count()


def figures():
    """Return the sizes of our tables, and what is in them."""
    from tms_webhooks.choices import TotalSpan
    from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Event, EventSequence

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relname LIKE 'tms_webhooks_%'"
        )
        sizes = dict(cursor.fetchall())
    whole = Event.objects.exclude(body="")
    return {
        "sizes": sizes,
        "events": Event.objects.count(),
        "whole": whole.count(),
        "attempts": DeliveryAttempt.objects.count(),
        "statuses": dict(Delivery.objects.values_list("status").annotate(Count("pk"))),
        "open": Delivery.objects.open().count(),
        "numbers": EventSequence.objects.exclude(subject_type="webhook").aggregate(all=Sum("last"))["all"],
        "delivered": DeliveryTotal.objects.filter(span=TotalSpan.DAY).aggregate(all=Sum("delivered"))["all"],
        "oldest": [
            (timezone.now() - rows.aggregate(at=Min("occurred_at"))["at"]).total_seconds() / 86_400
            for rows in (whole, Event.objects.all())
        ],
        "expiries": Event.objects.filter(type__in=("course_assignment.expired", "voucher.expiring")).count(),
    }


if __name__ == "__main__":
    django.setup()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(globals()[name](*arguments)), flush=True)
