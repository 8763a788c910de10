"""``python -m tests.scenarios.moving URL``: a user, a class and an organization that move, each with what moves along.

Webhooks with child organizations of the old and the new organization get everything, in order. It prints what each is to get:
pairs of a type and an id.
"""

import json
import sys

import django

EACH = 5
"""Objects that move along with each."""


def move(url):
    """Move them, and change some of what moves along before a job has emitted its events."""
    from example_project.training.factories import (
        ClassEnrollmentFactory,
        CourseAssignmentFactory,
        OrganizationFactory,
        TrainingClassFactory,
        UserFactory,
        VoucherFactory,
    )
    from tests.integration.delivery.rows import subscribed
    from tests.outbox import prune_events

    events = [f"{noun}.*" for noun in ("user", "course_assignment", "enrollment", "class", "voucher")]
    old, new, elsewhere = OrganizationFactory.create_batch(3)
    for name, one in (("old", old), ("new", new)):
        values = {"audience": "both", "include_children": True, "ordered": True}
        subscribed(url=f"{url}/{name}", organization=one, events=events, **values)
    learner, training_class = UserFactory(organization=old), TrainingClassFactory(organization=old)
    branch = OrganizationFactory(parent=old)
    along = {
        "course_assignment": CourseAssignmentFactory.create_batch(EACH, user=learner),
        "enrollment": [
            *ClassEnrollmentFactory.create_batch(EACH, user=learner, training_class__organization=elsewhere),
            *(
                ClassEnrollmentFactory(training_class=training_class, user=UserFactory(organization=elsewhere))
                for _number in range(EACH)
            ),
        ],
        "voucher": VoucherFactory.create_batch(EACH, organization=branch),
        "user": [learner],
        "class": [training_class],
    }
    prune_events()

    for one in (learner, training_class):
        one.organization = new
        one.save()
    branch.parent = new
    branch.save()
    for one in along["enrollment"]:
        one.grade = 7
        one.save()

    keys = [(noun, one.pk) for noun, found in along.items() for one in found]
    graded = [("enrollment.updated", one.pk) for one in along["enrollment"]]
    return {
        "old": [(f"{noun}.removed", key) for noun, key in keys],
        "new": [*graded, *((f"{noun}.added", key) for noun, key in keys)],
    }


if __name__ == "__main__":
    django.setup()
    print(json.dumps(move(sys.argv[1])))  # noqa: T201
