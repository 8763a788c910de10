"""``python -m tests.scenarios.mirrored WAY …``: the objects that a customer mirrors, and edits of them.

- ``fill URL COUNT`` makes so many objects, a webhook, and a key of the API; it prints what the customer knows of them.
- ``edit COUNT`` makes so many edits, and prints how many of each kind it made.
"""

import json
import random
import sys
from collections import Counter

import django
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone


def fill(url, count):
    """Make the world before any webhook subscribes, so that no event is recorded of it."""
    from example_project.training.factories import (
        ClassEnrollmentFactory,
        CourseAssignmentFactory,
        CourseFactory,
        TrainingClassFactory,
        UserFactory,
    )
    from example_project.training.models import ApiKey
    from tests.integration.delivery.rows import subscribed

    course, of_others = CourseFactory.create_batch(2)
    own = {"organization": course.organization}
    learners = UserFactory.create_batch(max(4, count // 10), **own)
    classes = TrainingClassFactory.create_batch(count // 5 - count // 10, course=course, **own)
    classes += TrainingClassFactory.create_batch(count // 10, course=of_others, primary_instructor=UserFactory(), **own)
    for number in range(count - len(learners) - len(classes)):
        user = learners[number % len(learners)]
        if number % 2:
            CourseAssignmentFactory(course=course, user=user)
        else:
            ClassEnrollmentFactory(training_class=classes[number % len(classes)], user=user)
    webhook = subscribed(url=url, events=["*"], **own)
    _key, clear = ApiKey.objects.create_key(name="Mirror", organization=course.organization)
    (secret,) = webhook.signing_secrets(timezone.now())
    return {"WEBHOOK_ID": webhook.public_id, "WEBHOOK_SECRET": secret, "TMS_AUTHORIZATION": f"Api-Key {clear}"}


def edit(count):
    """Make edits at random, through every route."""
    dice, made = random.Random(11), Counter()
    while made.total() < count:
        way = dice.choice(WAYS)
        try:
            made[way.__name__] += way(dice)
        except OperationalError:
            # SQLite is busy.
            made["refused"] += 1
    return made


def one_of(dice, name, **conditions):
    from example_project.training import models

    return dice.choice(getattr(models, name).objects.filter(**conditions).order_by("pk"))


def class_saved(dice):
    one = one_of(dice, "TrainingClass")
    one.name, one.confirmation_status_id = f"Renamed {dice.randrange(1000)}", dice.randrange(8)
    one.save()
    return True


def class_updated(dice):
    from example_project.training.models import TrainingClass

    TrainingClass.objects.filter(pk=one_of(dice, "TrainingClass").pk).update(max_students=dice.randrange(1, 99))
    return True


def classes_updated_together(dice):
    from example_project.training.models import TrainingClass

    some = list(TrainingClass.objects.order_by("pk")[:3])
    for one in some:
        one.description = f"Part {dice.randrange(1000)}"
    TrainingClass.objects.bulk_update(some, ["description"])
    return True


def instructors_set(dice):
    one = one_of(dice, "TrainingClass")
    one.instructors.set([one_of(dice, "User", organization=one.organization_id)])
    return True


def class_made(dice):
    from example_project.training.factories import TrainingClassFactory

    organization = one_of(dice, "TrainingClass").organization
    TrainingClassFactory(organization=organization, course=one_of(dice, "Course"), external_id=None)
    return True


def course_saved(dice):
    one = one_of(dice, "Course")
    one.name = f"Renamed {dice.randrange(1000)}"
    one.save()
    return True


def class_deleted(dice):
    """Delete a class and, with it, its enrollments. Those of another organization's course stay: they show it."""
    one_of(dice, "TrainingClass", course__organization=F("organization")).delete()
    return True


def enrollment_made(dice):
    from example_project.training.factories import ClassEnrollmentFactory

    one = one_of(dice, "TrainingClass")
    ClassEnrollmentFactory(
        training_class=one, user=one_of(dice, "User", organization=one.organization_id), external_id=None
    )
    return True


def enrollment_saved(dice):
    one = one_of(dice, "ClassEnrollment")
    one.enrollment_status_id, one.grade = dice.choice([0, 10, 20, 30, 40, 50, 60]), dice.randrange(101)
    one.save()
    return True


def enrollment_deleted(dice):
    from example_project.training.models import ClassEnrollment

    ClassEnrollment.objects.filter(pk=one_of(dice, "ClassEnrollment").pk).delete()
    return True


def user_saved(dice):
    one = one_of(dice, "User")
    one.last_name = f"Nguyen-{dice.randrange(1000)}"
    one.save(update_fields=["last_name"])
    return True


def assignment_updated(dice):
    from example_project.training.models import CourseAssignment

    one = one_of(dice, "CourseAssignment")
    CourseAssignment.objects.filter(pk=one.pk).update(payment_type=f"Invoice {dice.randrange(1000)}")
    return True


WAYS = (
    class_saved,
    class_updated,
    classes_updated_together,
    instructors_set,
    class_made,
    class_deleted,
    enrollment_made,
    enrollment_made,
    enrollment_saved,
    enrollment_deleted,
    user_saved,
    course_saved,
    assignment_updated,
)
COMMANDS = {"fill": lambda url, count: fill(url, int(count)), "edit": lambda count: edit(int(count))}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))  # noqa: T201
