"""``python -m tests.scenarios.mirrored WAY …``: the objects that a customer mirrors, and edits of them.

- ``fill URL COUNT`` makes so many objects, a webhook, a pull-only one, and a key of the API; it prints what the customer
  knows of them.
- ``edit COUNT`` makes so many edits, and prints how many it made, in how many ways.
- ``edit_steadily RATE`` edits so many objects a second until SIGTERM, and prints how many. Each edit has an event, and
  nothing else differs by it. Objects with odd ids stay as they are.
- ``truth WEBHOOK`` prints all objects as a snapshot of the webhook would send them now.
- ``foreign`` prints the nouns and ids of the objects of the organization that the customer only sees in its own ones.
"""

import json
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from functools import partial
from time import sleep

import django
from django.db import OperationalError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

NOW = timezone.now()


def fill(url, count):
    """Make the world before any webhook subscribes, so that no event is recorded of it."""
    from example_project.training import factories
    from example_project.training.models import ApiKey
    from tests.integration.delivery.rows import subscribed

    own = factories.OrganizationFactory()
    branch = factories.OrganizationFactory(parent=own)
    for one in (own, branch, factories.OrganizationFactory()):
        for make in OTHERS.values():
            make(organization=one)
    for role in ("Student", "Instructor", "Manager"):
        factories.RoleFactory(name=role)
    dice = random.Random(5)
    for _ in range(max(6, count // 10)):
        factories.UserFactory(organization=dice.choice([own, own, branch]), external_id=None)
    models = [name for name in NOUNS if name != "User"]
    for number in range(count - max(6, count // 10)):
        # What others refer to comes first.
        name = models[number] if number < len(models) else dice.choices(models, (2, 4, 4, 1, 1, 1, 1))[0]
        made(dice, name)
    for number in range(4):
        path = factories.LearningPathFactory(organization=own)
        path.subscription_profiles.set(model_of("SubscriptionProfile").objects.all())
        for course in some(dice, "Course", 1 + number % 2):
            factories.LearningPathCourseFactory(learning_path=path, course=course)
    # Some of them are completed.
    for assignment in some(dice, "CourseAssignment", count // 6, user__organization__isnull=False):
        factories.SubscriptionAssignmentFactory(user=assignment.user, profile=one_of(dice, "SubscriptionProfile"))
        assignment.complete(at=past(dice) or NOW)
    webhook = subscribed(url=url, events=["*"], organization=own, include_children=True)
    pulled = subscribed(url="", pull_only=True, events=["*"], organization=own, include_children=True)
    _key, clear = ApiKey.objects.create_key(name="Mirror", organization=own)
    (secret,) = webhook.signing_secrets(timezone.now())
    return {
        "WEBHOOK_ID": webhook.public_id,
        "PULLED": pulled.public_id,
        "WEBHOOK_SECRET": secret,
        "TMS_AUTHORIZATION": f"Api-Key {clear}",
    }


def edit(count):
    """Make edits at random: of every noun through every route, and those that change several at once."""
    dice, done = random.Random(11), Counter()
    ways = [(f"{name} {route.__name__}", partial(route, dice, name)) for name in NOUNS for route in ROUTES]
    ways += [(way.__name__, partial(way, dice)) for way in SPECIAL]
    rare = {"deleted", "deleted_together"}
    weights = [1 if label.rpartition(" ")[2] in rare else 3 for label, _way in ways]
    # Each once, in any order; then any.
    first = dice.sample(ways, min(len(ways), count))
    for label, way in [*first, *dice.choices(ways, weights, k=count - len(first))]:
        try:
            way()
            done[label] += 1
        except OperationalError:
            # SQLite is busy.
            done["refused"] += 1
        except (ProtectedError, IndexError):
            # A class with a redeemed voucher, or a noun without a row.
            done["impossible"] += 1
    # Once more at the end, where no edit takes it back.
    while not done["the last one"]:
        try:
            path_completed(dice)
            done["the last one"] += 1
        except OperationalError:
            continue
    failed = {name: done.pop(name, 0) for name in ("refused", "impossible")}
    return {"made": done.total(), "ways": len(done), **failed}


def edit_steadily(rate):
    dice, done, ended = random.Random(7), 0, []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    while not ended:
        sleep(1 / rate)
        with suppress(OperationalError):
            # SQLite may be busy.
            dice.choice(STEADY)(dice)
            done += 1
    return done


def truth(public_id):
    """Return the ``data`` of each object, by noun and id."""
    from tms_webhooks.models import Webhook
    from tms_webhooks.snapshot import SourceReader, available
    from tms_webhooks.sources.registry import sources_of_noun

    webhook, found = Webhook.objects.get(Webhook.by_public_id(public_id)), {}
    for noun in available(webhook):
        for source in sources_of_noun(noun):
            after = ""
            while after is not None:
                page = SourceReader(webhook, source).read(after, now=timezone.now())
                after = page.end
                found.setdefault(noun, {}).update(
                    (str(data["id"]), data) for data in (json.loads(one.body)["data"] for one in page.events)
                )
    return found


def foreign():
    other = max(model_of("Organization").objects.values_list("pk", flat=True))
    found = [("organization", str(other))]
    nouns = {"SubscriptionProfile": "profile"}
    for name in ("Course", "Classroom", "Company", "SubscriptionProfile", "Department", "User"):
        keys = model_of(name).objects.filter(organization=other).values_list("pk", flat=True)
        found += [(nouns.get(name, name.lower()), str(key)) for key in keys]
    return found


# --- Objects ---


def model_of(name):
    from example_project.training import models

    return getattr(models, name)


def some(dice, name, number=1, **conditions):
    """Return rows at random, of which there must be one at least."""
    model = model_of(name)
    keys = list(model.objects.filter(**conditions).order_by("pk").values_list("pk", flat=True))
    chosen = dice.sample(keys, min(number, len(keys))) or [keys[0]]
    return list(model.objects.filter(pk__in=chosen).order_by("pk"))


def one_of(dice, name, **conditions):
    return some(dice, name, **conditions)[0]


def links(dice, name):
    """Return what a new row refers to."""
    find = {
        "organization": lambda: one_of(dice, "Organization"),
        "course": lambda: one_of(dice, "Course"),
        "user": lambda: one_of(dice, "User", organization__isnull=False),
        "training_class": lambda: one_of(dice, "TrainingClass"),
        "profile": lambda: one_of(dice, "SubscriptionProfile"),
        "achievement": lambda: one_of(dice, "Achievement"),
        "course_assignment": lambda: one_of(dice, "CourseAssignment"),
    }
    found = {one: find[one]() for one in NOUNS[name][0]}
    if name == "CourseFeedback":
        found |= {"course": found["course_assignment"].course, "user": found["course_assignment"].user}
    return found if name in ("CourseFeedback", "UserAchievement") else {**found, "external_id": None}


def factory_of(name):
    from example_project.training import factories

    return getattr(factories, f"{name}Factory")


def made(dice, name):
    values = links(dice, name)
    values.pop("external_id", None) if name == "Voucher" else None
    return factory_of(name)(**values)


def text(dice):
    return f"Text {dice.randrange(10_000)}"


def code(*codes):
    return lambda dice: dice.choice(codes)


def number(dice):
    return dice.randrange(1, 100)


def moment(dice):
    return NOW + timedelta(days=dice.randrange(40, 400))


def past(dice):
    return dice.choice([None, NOW - timedelta(days=dice.randrange(1, 40))])


def row(name):
    return lambda dice: one_of(dice, name)


STATUSES = code(0, 10, 20, 30, 40, 50, 60)
NOUNS = {
    "User": (("organization",), {"last_name": text, "city": text, "cost_center": text, "disabled": code(True, False)}),
    "TrainingClass": (
        ("organization", "course"),
        {"name": text, "confirmation_status_id": code(*range(7)), "max_students": number, "course": row("Course")},
    ),
    "ClassEnrollment": (
        ("training_class", "user"),
        {"enrollment_status_id": STATUSES, "grade": number, "purchase_order": text, "classroom": row("Classroom")},
    ),
    "CourseAssignment": (
        ("course", "user"),
        {"payment_type": text, "expires_at": moment, "completed_at": past, "started_at": past},
    ),
    "SubscriptionAssignment": (
        ("profile", "user"),
        {"expires_at": moment, "cancelled_at": past, "profile": row("SubscriptionProfile")},
    ),
    "CourseFeedback": (("course_assignment",), {"title": text, "content": text}),
    "UserAchievement": (("achievement", "user"), {"points": number}),
    "Voucher": (("organization", "course"), {"order_id": text, "expires_at": moment, "redeemed_by": row("User")}),
}
"""What a new row of each model refers to, and the fields that are edited."""

OTHERS = {}
"""The factories of courses, classrooms, companies, profiles, departments and achievements, by model. See the end of the module."""


# --- Routes ---


def edited(dice, name):
    """Return a field of a model with a new value."""
    field, value = dice.choice(list(NOUNS[name][1].items()))
    return {field: value(dice)}


def saved(dice, name):
    one = one_of(dice, name)
    for field, value in edited(dice, name).items():
        setattr(one, field, value)
    one.save()


def saved_in_part(dice, name):
    one, values = one_of(dice, name), edited(dice, name)
    for field, value in values.items():
        setattr(one, field, value)
    one.save(update_fields=list(values))


def updated(dice, name):
    model_of(name).objects.filter(pk__in=[one.pk for one in some(dice, name, 3)]).update(**edited(dice, name))


def updated_together(dice, name):
    values, rows = edited(dice, name), some(dice, name, 3)
    for one in rows:
        for field, value in values.items():
            setattr(one, field, value)
    model_of(name).objects.bulk_update(rows, list(values))


def upserted(dice, name):
    values, rows = edited(dice, name), some(dice, name, 2)
    for one in rows:
        for field, value in values.items():
            setattr(one, field, value)
    model_of(name).objects.bulk_create(rows, update_conflicts=True, unique_fields=["id"], update_fields=list(values))


def created(dice, name):
    made(dice, name)


def created_together(dice, name):
    rows = []
    for _ in range(3):
        values = links(dice, name)
        values.pop("external_id", None) if name == "Voucher" else None
        rows.append(factory_of(name).build(**values))
    model_of(name).objects.bulk_create(rows)


def deleted(dice, name):
    """Delete a row, and with it those that refer to it."""
    one_of(dice, name).delete()


def deleted_together(dice, name):
    model_of(name).objects.filter(pk__in=[one.pk for one in some(dice, name, 2)]).delete()


def by_form(dice, name):
    from django.forms import modelform_factory

    values = {field: getattr(value, "pk", value) for field, value in edited(dice, name).items()}
    form = modelform_factory(model_of(name), fields=list(values))(values, instance=one_of(dice, name))
    assert form.is_valid(), form.errors
    form.save()


def by_api(dice, name):
    from rest_framework.serializers import ModelSerializer

    values = {field: getattr(value, "pk", value) for field, value in edited(dice, name).items()}
    meta = type("Meta", (), {"model": model_of(name), "fields": list(values)})
    serializer = type("Serializer", (ModelSerializer,), {"Meta": meta})(one_of(dice, name), data=values)
    serializer.is_valid(raise_exception=True)
    serializer.save()


def rolled_back(dice, name):
    with transaction.atomic():
        saved(dice, name)
        created(dice, name)
        transaction.set_rollback(True)


def several_in_a_transaction(dice, name):
    with transaction.atomic():
        created(dice, name)
        updated(dice, name)
        saved(dice, name)


ROUTES = (
    saved,
    saved_in_part,
    updated,
    updated_together,
    upserted,
    created,
    created_together,
    deleted,
    deleted_together,
    by_form,
    by_api,
    rolled_back,
    several_in_a_transaction,
)


# --- Edits of several objects ---


def instructors_set(dice):
    one_of(dice, "TrainingClass").instructors.set(some(dice, "User", 2))


def classes_of_an_instructor_added(dice):
    one_of(dice, "User").classes_taught.add(*some(dice, "TrainingClass", 2))


def instructors_cleared(dice):
    one_of(dice, "TrainingClass", instructors__isnull=False).instructors.clear()


def roles_set(dice):
    one_of(dice, "User").roles.set(some(dice, "Role", 2))


def managed_organizations_added(dice):
    one_of(dice, "User").managed_organizations.add(one_of(dice, "Organization"))


def sessions_planned(dice):
    one = one_of(dice, "TrainingClass")
    starts = [one.start_at + timedelta(days=dice.randrange(9)) for _ in range(2)]
    one.plan_sessions(*((start, start + timedelta(hours=4)) for start in starts))


def session_deleted(dice):
    one_of(dice, "SessionTime").delete()


def leader_and_room_set(dice):
    one = one_of(dice, "TrainingClass")
    one.primary_instructor, one.primary_classroom = one_of(dice, "User"), one_of(dice, "Classroom")
    one.company, one.requested_by = one_of(dice, "Company"), one_of(dice, "User")
    one.save()


def room_deleted(dice):
    """Delete a room: its classes and enrollments have none."""
    one = one_of(dice, "Classroom")
    OTHERS["Classroom"](organization=one.organization)
    one.delete()


def department_deleted(dice):
    one = one_of(dice, "Department")
    OTHERS["Department"](organization=one.organization)
    one.delete()


def people_placed(dice):
    one = one_of(dice, "User", organization__isnull=False)
    one.manager, one.company, one.department = (one_of(dice, name) for name in ("User", "Company", "Department"))
    one.save()


def path_changed(dice):
    """Add a course to a learning path, or remove it. No event reports it."""
    path, course = one_of(dice, "LearningPath"), one_of(dice, "Course")
    if path.courses.count() > 1 and path.courses.contains(course):
        path.courses.remove(course)
    else:
        path.courses.add(course)


def path_completed(dice):
    """Have a new learner complete the courses of a learning path, in any order."""
    path = one_of(dice, "LearningPath", courses__isnull=False)
    learner = factory_of("User")(organization=path.organization, external_id=None)
    profile = path.subscription_profiles.first()
    factory_of("SubscriptionAssignment")(user=learner, profile=profile, external_id=None)
    for course in some(dice, "Course", 9, learning_paths=path):
        values = {"external_id": None, "completed_at": past(dice) or NOW}
        factory_of("CourseAssignment")(user=learner, course=course, **values)


def subscription_paid(dice):
    one = one_of(dice, "CourseAssignment")
    one.subscription = one_of(dice, "SubscriptionAssignment")
    one.save()


def voucher_redeemed(dice):
    one = one_of(dice, "Voucher")
    one.redeemed_at, one.redeemed_by, one.redeemed_class = NOW, one_of(dice, "User"), one_of(dice, "TrainingClass")
    one.save()


def feedback_on_a_class(dice):
    enrollment = one_of(dice, "ClassEnrollment")
    factory_of("CourseFeedback")(class_enrollment=enrollment)


def activity_worked_on(dice):
    one = one_of(dice, "CourseAssignment")
    activity = one.course.activities.first() or factory_of("Activity")(course=one.course)
    one.results.update_or_create(activity=activity, defaults={"score": number(dice), "completed_at": past(dice)})


def moved_to(dice, name):
    """Move an object, and what goes with it, to another organization."""
    one = one_of(dice, name, organization__isnull=False)
    one.organization = one_of(dice, "Organization")
    one.save()
    wait_for_followers()


def wait_for_followers():
    """Wait until the worker has recorded what moved along: it finds the objects that exist then."""
    from tms_webhooks.choices import JobKind
    from tms_webhooks.models import Job

    while Job.objects.unfinished().filter(kind=JobKind.MOVE).exists():
        sleep(0.05)


def user_moved(dice):
    moved_to(dice, "User")


def users_moved_together(dice):
    keys = [one.pk for one in some(dice, "User", 3)]
    model_of("User").objects.filter(pk__in=keys).update(organization=one_of(dice, "Organization"))
    wait_for_followers()


def class_moved(dice):
    moved_to(dice, "TrainingClass")


def voucher_moved(dice):
    moved_to(dice, "Voucher")


def enrollment_moved(dice):
    one_of(dice, "ClassEnrollment").move_to(one_of(dice, "TrainingClass"))


def assignment_given_to_another(dice):
    one = one_of(dice, "CourseAssignment")
    one.user = one_of(dice, "User", organization__isnull=False)
    one.save()


def accounts_merged(dice):
    one, other = some(dice, "User", 2, organization__isnull=False)
    one.merge(other)


def account_closed(dice):
    one_of(dice, "User", organization__isnull=False).close()


def renamed(dice):
    """Rename an organization, or an object that several organizations may show."""
    one = one_of(dice, dice.choice([*OTHERS, "Organization"]))
    one.name = text(dice)
    one.save()


def renamed_together(dice):
    name = dice.choice([*OTHERS, "Organization"])
    model_of(name).objects.filter(pk__in=[one.pk for one in some(dice, name, 2)]).update(name=text(dice))


SPECIAL = (
    instructors_set,
    classes_of_an_instructor_added,
    instructors_cleared,
    roles_set,
    managed_organizations_added,
    sessions_planned,
    session_deleted,
    leader_and_room_set,
    room_deleted,
    department_deleted,
    people_placed,
    path_changed,
    path_completed,
    subscription_paid,
    voucher_redeemed,
    feedback_on_a_class,
    activity_worked_on,
    user_moved,
    users_moved_together,
    class_moved,
    voucher_moved,
    enrollment_moved,
    assignment_given_to_another,
    accounts_merged,
    account_closed,
    renamed,
    renamed_together,
)
OWN_TEXTS = (
    ("User", "last_name"),
    ("User", "city"),
    ("TrainingClass", "name"),
    ("ClassEnrollment", "purchase_order"),
    ("CourseAssignment", "payment_type"),
    ("Voucher", "order_id"),
)


def even(dice, name, number=1):
    """Return objects with even ids, as `some` does: the test damages the others."""
    keys = model_of(name).objects.values_list("pk", flat=True)
    return some(dice, name, number, pk__in=[key for key in keys if key % 2 == 0])


def text_saved(dice):
    name, field = dice.choice(OWN_TEXTS)
    (one,) = even(dice, name)
    setattr(one, field, text(dice))
    one.save()


def text_updated(dice):
    name, field = dice.choice(OWN_TEXTS)
    model_of(name).objects.filter(pk__in=[one.pk for one in even(dice, name, 2)]).update(**{field: text(dice)})


def feedback_given(dice):
    made(dice, "CourseFeedback")


def feedback_deleted(dice):
    with suppress(IndexError):
        # There may be none.
        even(dice, "CourseFeedback")[0].delete()


STEADY = (text_saved, text_saved, text_updated, feedback_given, feedback_deleted)
COMMANDS = {
    "edit_steadily": lambda rate: edit_steadily(float(rate)),
    "fill": lambda url, count: fill(url, int(count)),
    "edit": lambda count: edit(int(count)),
    "truth": truth,
    "foreign": foreign,
}

if __name__ == "__main__":
    django.setup()
    for each in ("Course", "Classroom", "Company", "SubscriptionProfile", "Department", "Achievement"):
        OTHERS[each] = factory_of(each)
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))  # noqa: T201
